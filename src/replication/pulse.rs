//! Remotes that rules use are asked now and then whether they are there and take our login: one that is idle would be found
//! dead only when it is needed. What comes of it is kept by their clients.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream};
use rand::RngExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Replication, ReplicationError};

/// Between two rounds, more or less.
const EVERY: Duration = Duration::from_mins(4);
/// Before the first one.
const SOON: Duration = Duration::from_secs(4);
/// Remotes that are asked at once.
const AT_ONCE: usize = 4;
/// For one of them, retries and all.
const LONGEST: Duration = Duration::from_secs(30);

impl Replication {
    /// Asks until the shutdown.
    pub async fn look_after_remotes(&self, shutdown: CancellationToken) {
        let rounds = async {
            let mut pause = SOON;
            loop {
                let jitter = rand::rng().random_range(0.75..1.25);
                sleep(pause.mul_f64(jitter)).await;
                if let Err(error) = self.ping_once().await {
                    warn!(%error, "the remotes of rules cannot be looked after: {error}");
                }
                pause = EVERY;
            }
        };
        shutdown.run_until_cancelled(rounds).await;
    }

    /// Asks each remote of an enabled rule once, in its hours.
    pub async fn ping_once(&self) -> Result<(), ReplicationError> {
        let rules = self.rules().await?.into_iter().map(|known| known.rule);
        let enabled = rules.filter(|rule| rule.enabled);
        let used: BTreeSet<String> = enabled.flat_map(|rule| rule.remotes).collect();
        let open = used.iter().filter(|used| self.closed_until(used).is_none());
        let clients: Vec<_> = open
            .filter_map(|used| self.inner.parts.remotes.get(used))
            .collect();
        stream::iter(clients)
            .for_each_concurrent(AT_ONCE, |client| async move {
                // A remote that gives no answer is passed over from then on, and its status says so.
                let _ = timeout(LONGEST, client.background().ping()).await;
            })
            .await;
        Ok(())
    }
}
