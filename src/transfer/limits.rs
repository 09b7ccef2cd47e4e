//! Limits of remotes among replicas: what one is told of a rate limit the others heed, and connections and bandwidth are
//! divided by their number.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{LimitNews, RegistryClient},
    cluster::Cluster,
    meta::{Meta, MetaError, RemoteState},
};

const EVERY: Duration = Duration::from_secs(1);

/// What replicas tell each other of remotes.
pub struct SharedLimits {
    cluster: Cluster,
    meta: Meta,
    /// Those of all remotes, as they are now.
    clients: Box<dyn Fn() -> Vec<RegistryClient> + Send>,
    /// How far the others' news have been read.
    since: i64,
}

impl SharedLimits {
    /// `clients` gives those of all remotes, as they are now.
    pub fn new(
        cluster: Cluster,
        meta: Meta,
        clients: impl Fn() -> Vec<RegistryClient> + Send + 'static,
    ) -> Self {
        Self {
            cluster,
            meta,
            clients: Box::new(clients),
            since: 0,
        }
    }

    /// Shares until the shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let share = async {
            loop {
                if let Err(error) = self.run_once().await {
                    tracing::debug!(%error, "limits of remotes cannot be shared now: {error}");
                }
                sleep(EVERY).await;
            }
        };
        shutdown.run_until_cancelled(share).await;
    }

    /// Tells what is new here, and hears what is new elsewhere.
    pub async fn run_once(&mut self) -> Result<(), MetaError> {
        let clients = (self.clients)();
        let replicas = u32::try_from(self.cluster.size()).unwrap_or(u32::MAX);
        let now = self.cluster.now();
        let news = clients.iter().flat_map(|client| {
            client.set_share(replicas);
            client.limit_news(now)
        });
        let states: Vec<_> = news
            .map(|LimitNews { key, body }| RemoteState { key, body })
            .collect();
        if !states.is_empty() {
            self.meta.remote_states_put(states).await?;
        }
        let (states, since) = self.meta.remote_states_since(self.since).await?;
        for RemoteState { key, body } in states {
            let news = LimitNews { key, body };
            clients.iter().any(|client| client.hear_limit(&news, now));
        }
        self.since = since;
        Ok(())
    }
}
