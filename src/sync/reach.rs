//! Registries that nobody configured: reached by their names, with what somebody says of logins and TLS.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use url::Url;

use super::{Place, shared::SharedSource};
use crate::{
    client::{RegistryClient, SetupError},
    config::{Credentials, Provider, Remote},
    telemetry::Metrics,
    transfer::send::{Destination, RemoteSource, Source},
};

/// How a registry is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    pub credentials: Credentials,
    /// Certificates that nobody signed are accepted, and plain HTTP where there is no HTTPS.
    pub insecure: bool,
}

/// A registry with one login, as both ends of transfers. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub client: RegistryClient,
    pub source: Arc<dyn Source>,
    pub destination: Destination,
}

/// All registries that were asked for: one client for each with each login.
#[derive(Default)]
pub struct Registries {
    known: Mutex<HashMap<(String, String), Registry>>,
    metrics: Metrics,
    /// How many of them each blob may go to.
    destinations: usize,
}

impl Registries {
    /// When there is more than one to send to, each blob is read once for all.
    pub fn with_destinations(destinations: usize) -> Self {
        Self {
            destinations,
            ..Self::default()
        }
    }

    /// The registry of a place. `login` names the login among all of that registry: what has the same name is the same.
    pub fn get(
        &self,
        place: &Place,
        login: &str,
        reach: impl FnOnce() -> Reach,
    ) -> Result<Registry, SetupError> {
        let key = (place.registry.clone(), login.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = known.get(&key) {
            return Ok(registry.clone());
        }
        let remote = remote(&place.registry, reach())?;
        let client = RegistryClient::new(remote, self.metrics.clone())?;
        let source = RemoteSource::of(client.clone());
        let registry = Registry {
            source: match self.destinations {
                0 | 1 => source,
                readers => SharedSource::of(source, readers),
            },
            destination: Destination::new(&client),
            client,
        };
        known.insert(key, registry.clone());
        Ok(registry)
    }
}

/// Does Docker, too, speak plain HTTP with a registry of this name?
pub fn is_on_this_machine(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn remote(registry: &str, reach: Reach) -> Result<Remote, SetupError> {
    let (host, provider) = match registry {
        "docker.io" => ("registry-1.docker.io", Provider::DockerHub),
        other => (other, Provider::DockerRegistry),
    };
    let url = |scheme: &str| {
        Url::parse(&format!("{scheme}://{host}/")).map_err(|error| SetupError {
            remote: registry.to_owned(),
            message: error.to_string(),
        })
    };
    let mut urls = vec![url("https")?];
    if reach.insecure {
        urls.push(url("http")?);
    }
    let mut remote = Remote::new(registry.to_owned(), provider, urls);
    remote.verify_tls = !reach.insecure;
    remote.credentials = reach.credentials;
    Ok(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_comes_after_https_and_only_if_that_is_allowed() {
        let urls = |registry: &str, insecure| {
            let reach = Reach {
                credentials: Credentials::None,
                insecure,
            };
            let urls = remote(registry, reach).unwrap().urls;
            urls.iter().map(Url::to_string).collect::<Vec<_>>()
        };
        assert_eq!(urls("r.io:5000", false), ["https://r.io:5000/"]);
        assert_eq!(
            urls("r.io:5000", true),
            ["https://r.io:5000/", "http://r.io:5000/"]
        );
        assert_eq!(urls("docker.io", false), ["https://registry-1.docker.io/"]);
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for registry in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
        ] {
            assert!(is_on_this_machine(registry), "{registry}");
        }
        for registry in ["10.0.0.1:5000", "localhost.example.com", "r.io"] {
            assert!(!is_on_this_machine(registry), "{registry}");
        }
    }
}
