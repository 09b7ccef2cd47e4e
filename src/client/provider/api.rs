//! The way to a provider's service: bounded in time and size, without redirects. Plain http is for what runs on or beside
//! this machine (metadata services), and goes through no proxy.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use reqwest::redirect::Policy;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::CredentialError;
use crate::{
    client::{
        body::read_bounded,
        error::{clean, innermost},
        tls,
    },
    config,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_BODY_BYTES: u64 = 1024 * 1024;

/// HTTP to services that are not the remote itself.
#[derive(Debug, Clone)]
pub(super) struct Api {
    remote: Arc<str>,
    internet: reqwest::Client,
    local: reqwest::Client,
}

impl Api {
    /// The remote's proxy is used; its certificate authorities and `verify_tls` are not.
    pub(super) fn new(remote: &config::Remote) -> Result<Self, String> {
        let client = || -> Result<_, String> {
            Ok(reqwest::Client::builder()
                .tls_backend_preconfigured(tls::public_config()?)
                .redirect(Policy::none())
                .retry(reqwest::retry::never())
                .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
                .timeout(TIMEOUT)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(0))
        };
        let mut internet = client()?;
        if let Some(proxy) = &remote.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| error.to_string())?;
            internet = internet.proxy(proxy);
        }
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| error.to_string());
        Ok(Self {
            remote: Arc::from(remote.name.as_str()),
            internet: build(internet)?,
            local: build(client()?.no_proxy())?,
        })
    }

    fn client(&self, scheme: Option<&str>) -> &reqwest::Client {
        match scheme {
            Some("http") => &self.local,
            _ => &self.internet,
        }
    }

    pub(super) async fn get(
        &self,
        url: Url,
        headers: &[(&'static str, &str)],
    ) -> Result<Reply, CredentialError> {
        self.send(with_headers(http::Method::GET, url, headers))
            .await
    }

    pub(super) async fn post_form(
        &self,
        url: Url,
        form: &[(&str, &str)],
    ) -> Result<Reply, CredentialError> {
        let mut request = with_headers(http::Method::POST, url, &[]);
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        *request.body_mut() = Some(body.into());
        self.send(request).await
    }

    /// The answer, whatever its status.
    pub(super) async fn send(&self, request: reqwest::Request) -> Result<Reply, CredentialError> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let client = self.client(Some(request.url().scheme()));
        let response = client.execute(request).await.map_err(|error| {
            CredentialError::new(
                format!("`{host}` does not answer"),
                innermost(&error.without_url()),
            )
        })?;
        let status = response.status();
        let body = read_bounded(&self.remote, response, MAX_BODY_BYTES).await;
        let body = body.map_err(|failure| {
            CredentialError::new(
                format!("`{host}` broke off its answer"),
                failure.error.message,
            )
        })?;
        Ok(Reply { host, status, body })
    }
}

pub(super) fn with_headers(
    method: http::Method,
    url: Url,
    headers: &[(&'static str, &str)],
) -> reqwest::Request {
    let mut request = reqwest::Request::new(method, url);
    for (name, value) in headers {
        // What cannot be a header is refused by the server for want of it.
        if let Ok(mut value) = HeaderValue::try_from(*value) {
            value.set_sensitive(true);
            request.headers_mut().insert(*name, value);
        }
    }
    request
}

/// A whole answer.
pub(super) struct Reply {
    host: String,
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Reply {
    /// The document in a good answer.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, CredentialError> {
        if !self.status.is_success() {
            return Err(self.refused());
        }
        serde_json::from_slice(&self.body).map_err(|_| self.unusable())
    }

    pub(super) fn text(&self) -> Result<&str, CredentialError> {
        if !self.status.is_success() {
            return Err(self.refused());
        }
        std::str::from_utf8(&self.body).map_err(|_| self.unusable())
    }

    /// A good status with an answer that is none.
    pub(super) fn unusable(&self) -> CredentialError {
        let detail = format!("status {} without what was asked for", self.status.as_u16());
        CredentialError::new(format!("`{}` gives none", self.host), detail)
    }

    pub(super) fn refused(&self) -> CredentialError {
        self.said(&serde_json::from_slice(&self.body).unwrap_or_default())
    }

    pub(super) fn said(&self, problem: &Problem) -> CredentialError {
        let what = format!(
            "`{}` gives none (status {})",
            self.host,
            self.status.as_u16()
        );
        let detail = problem.text();
        let code = self.status.as_u16();
        // Some say by words and not by the status that it may go better later.
        let passing = ["Throttl", "LimitExceeded", "Internal", "Unavailable"];
        let is_refusal =
            code < 500 && code != 429 && !passing.iter().any(|word| detail.contains(word));
        CredentialError {
            is_refusal,
            ..CredentialError::new(what, detail)
        }
    }
}

/// The ways in which services say what is wrong.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    #[serde(alias = "__type", alias = "Code", alias = "error")]
    code: serde_json::Value,
    #[serde(alias = "Message", alias = "error_description")]
    message: serde_json::Value,
    errors: Vec<Problem>,
}

impl Problem {
    fn text(&self) -> String {
        let said = [&self.code, &self.message];
        let mut said: Vec<String> = said
            .iter()
            .filter_map(|value| value.as_str())
            .map(str::to_owned)
            .collect();
        said.extend(self.errors.first().map(Self::text));
        match said.is_empty() {
            true => "it does not say why".to_owned(),
            false => clean(&said.join(" "), 300),
        }
    }
}

/// Lets `object_store` fetch its credentials the same way.
impl HttpService for Api {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        HttpService::call(self.client(request.uri().scheme_str()), request)
    }
}

impl HttpConnector for Api {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
