//! What replicas have in common at a remote: its limits are for all of them together.

use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::debug;

use super::{RegistryClient, budget::Moment, endpoint::Endpoint};

/// What one URL of a remote said of its rate limit, in words that another replica of any version understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitNews {
    /// Of remote, URL and credentials.
    pub key: String,
    pub body: String,
}

impl RegistryClient {
    /// This process has one of so many shares of connections and bandwidth.
    pub fn set_share(&self, replicas: u32) {
        self.transport.limits.set_share(replicas);
    }

    /// What the remote said here since the last call. `now` is by a clock that the replicas share.
    pub fn limit_news(&self, now: SystemTime) -> Vec<LimitNews> {
        let now = moment(now);
        let news = self.transport.endpoints.iter().filter_map(|endpoint| {
            let told = endpoint.budget.news(now)?;
            Some(LimitNews {
                key: self.limit_key(endpoint),
                body: serde_json::to_string(&told).ok()?,
            })
        });
        news.collect()
    }

    /// Takes note of what the remote said to another replica. `false`: it was another remote.
    pub fn hear_limit(&self, news: &LimitNews, now: SystemTime) -> bool {
        let mut endpoints = self.transport.endpoints.iter();
        let Some(endpoint) = endpoints.find(|endpoint| self.limit_key(endpoint) == news.key) else {
            return false;
        };
        match serde_json::from_str(&news.body) {
            Ok(told) => endpoint.budget.hear(&told, moment(now)),
            Err(error) => {
                debug!(%error, "another replica's news of a rate limit are not understood");
            }
        }
        true
    }

    fn limit_key(&self, endpoint: &Endpoint) -> String {
        let remote = self.remote();
        // The secrets themselves are not shown.
        let text = format!(
            "{}\n{}\n{:?}",
            remote.name, endpoint.url, remote.credentials
        );
        hex::encode(Sha256::digest(text))
    }
}

fn moment(shared: SystemTime) -> Moment {
    Moment {
        here: Instant::now(),
        shared,
    }
}
