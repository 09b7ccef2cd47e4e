//! OpenTelemetry's standard variables: are traces sent, and where to?

use std::collections::BTreeMap;

use url::Url;

use super::ConfigError;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// The whole URL, such as `http://collector:4318/v1/traces`.
    pub endpoint: Url,
    /// `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`, else `entrepot`.
    pub service: String,
}

impl Traces {
    /// `None`: no traces. Variables that keep traces from being sent are put into `without_effect`: they are often set for
    /// all programs of a machine, and no reason not to start.
    pub(super) fn read(
        environment: &BTreeMap<String, String>,
        without_effect: &mut Vec<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let set = |name: &str| {
            let value = environment.get(name).map(|value| value.trim());
            value.filter(|value| !value.is_empty())
        };
        let (variable, endpoint) = match (set(TRACES_ENDPOINT), set(ENDPOINT)) {
            (Some(whole), _) => (TRACES_ENDPOINT, whole.to_owned()),
            (None, Some(base)) => {
                let base = base.trim_end_matches('/');
                (ENDPOINT, format!("{base}/v1/traces"))
            }
            (None, None) => return Ok(None),
        };
        let is_off = set("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        if is_off || set("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp") {
            return Ok(None);
        }
        let protocol = PROTOCOLS.into_iter().find(|name| set(name).is_some());
        if let Some(name) = protocol.filter(|name| set(name) != Some("http/protobuf")) {
            without_effect.push(name.to_owned());
        }
        let endpoint = web_url(&endpoint).ok_or_else(|| bad_endpoint(variable, &endpoint))?;
        let service = set("OTEL_SERVICE_NAME")
            .or_else(|| set("OTEL_RESOURCE_ATTRIBUTES").and_then(service_name))
            .unwrap_or("entrepot");
        Ok(Some(Self {
            endpoint,
            service: service.to_owned(),
        }))
    }
}

fn web_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_web.then_some(url)
}

fn service_name(attributes: &str) -> Option<&str> {
    let pairs = attributes
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    let mut names = pairs.filter(|(key, _)| key.trim() == "service.name");
    names.next().map(|(_, value)| value.trim())
}

fn bad_endpoint(variable: &str, found: &str) -> ConfigError {
    ConfigError {
        file: None,
        line: None,
        key: variable.to_owned(),
        problem: format!(
            "expected the URL of a collector such as http://127.0.0.1:4318, found `{found}`"
        ),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Result<Option<Traces>, ConfigError>, Vec<String>) {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = variables.iter().map(pair).collect();
        let mut without_effect = Vec::new();
        let read = Traces::read(&environment, &mut without_effect);
        (read, without_effect)
    }

    fn endpoint(variables: &[(&str, &str)]) -> Option<String> {
        let traces = read(variables).0.expect("valid");
        traces.map(|traces| traces.endpoint.to_string())
    }

    #[test]
    fn traces_are_off_until_an_endpoint_is_set() {
        assert_eq!(endpoint(&[("OTEL_SERVICE_NAME", "x")]), None);
        assert_eq!(endpoint(&[(ENDPOINT, "")]), None);
        let base = (ENDPOINT, "http://c:4318/");
        assert_eq!(endpoint(&[base]).unwrap(), "http://c:4318/v1/traces");
        let whole = (TRACES_ENDPOINT, "https://c/own");
        assert_eq!(endpoint(&[base, whole]).unwrap(), "https://c/own");
        assert_eq!(endpoint(&[base, ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(endpoint(&[base, ("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn the_service_has_a_name_of_its_own_if_it_is_given_one() {
        let base = (ENDPOINT, "http://c:4318");
        let name = |variables: &[(&str, &str)]| read(variables).0.unwrap().unwrap().service;
        assert_eq!(name(&[base]), "entrepot");
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=edge");
        assert_eq!(name(&[base, attributes]), "edge");
        assert_eq!(
            name(&[base, attributes, ("OTEL_SERVICE_NAME", "hub")]),
            "hub"
        );
    }

    #[test]
    fn what_is_no_address_is_an_error_and_another_protocol_is_told() {
        let error = read(&[(ENDPOINT, "collector:4317")]).0.unwrap_err();
        assert!(error.to_string().contains(ENDPOINT), "{error}");
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let (traces, told) = read(&[(ENDPOINT, "http://c:4317"), grpc]);
        assert!(traces.unwrap().is_some());
        assert_eq!(told, ["OTEL_EXPORTER_OTLP_PROTOCOL"]);
    }
}
