//! Documents that are sent to a URL which is no registry: bounded in time and size, without redirects.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use tokio::time::timeout;

use super::{
    ClientError,
    body::read_bounded,
    error::Failure,
    retry,
    tls::{self, Trust},
};
use crate::config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: u64 = 16 * 1024;
/// What an answer's body has: nobody reads it, but a connection is good again after its end.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The way to a webhook's receiver.
#[derive(Debug, Clone)]
pub struct Poster {
    name: Arc<str>,
    url: url::Url,
    client: reqwest::Client,
}

/// Why there is no way to a receiver: its files.
#[derive(Debug, thiserror::Error)]
#[error("webhook `{webhook}`: {message}")]
pub struct PosterError {
    pub webhook: String,
    pub message: String,
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    pub status: StatusCode,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Poster {
    /// The error names the file that is wrong.
    pub fn new(webhook: &config::Webhook) -> Result<Self, PosterError> {
        let failed = |message| PosterError {
            webhook: webhook.name.clone(),
            message,
        };
        let tls = tls::trusting(&Trust {
            verify: webhook.verify_tls,
            ca: webhook.ca.as_deref(),
            identity: None,
        })
        .map_err(failed)?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
            .timeout(webhook.timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT);
        if let Some(proxy) = &webhook.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone());
            builder = builder.proxy(proxy.map_err(|error| failed(error.to_string()))?);
        }
        let client = builder.build().map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            name: Arc::from(webhook.name.as_str()),
            url: webhook.url.clone(),
            client,
        })
    }

    /// Sends a document; the answer, whatever its status. The error holds no URL. May be dropped.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Posted, ClientError> {
        let request = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(body);
        let response = request.send().await;
        let response = response.map_err(|error| Failure::of_request(&self.name, error).error)?;
        let posted = Posted {
            status: response.status(),
            retry_after: retry::retry_after(response.headers(), SystemTime::now()),
        };
        let rest = read_bounded(&self.name, response, MAX_ANSWER_BYTES);
        // It has said what it says.
        let _ = timeout(BODY_TIMEOUT, rest).await;
        Ok(posted)
    }
}
