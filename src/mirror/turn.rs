//! Of replicas that come to ask a remote the same question at the same time one asks, and the others read what it wrote.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Mirror, Repository};
use crate::{
    cluster::{Claim, Lease},
    oci::Reference,
};

/// How long the answer of another replica is waited for, a login at the remote included; then this one asks, too.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where something older can be served.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The turn to ask; others wait until it is dropped.
#[must_use = "dropped, the next one asks"]
pub(super) struct Turn {
    _lease: Option<Lease>,
    /// There are other replicas, whose answers must be looked for first.
    pub(super) has_others: bool,
}

impl Mirror {
    /// Waits for the turn to ask about a manifest. What others wrote until then is read anew.
    pub(super) async fn turn(
        &self,
        repository: &Repository,
        reference: &Reference,
        is_here: bool,
    ) -> Turn {
        let Some(cluster) = self.inner.fills.cluster() else {
            return Turn {
                _lease: None,
                has_others: false,
            };
        };
        let key = format!("manifest:{}:{reference}", repository.name);
        let patience = if is_here { SHORT_PATIENCE } else { PATIENCE };
        let deadline = Instant::now() + patience;
        let mut pause = PAUSE;
        let mut lease = None;
        while Instant::now() < deadline {
            match timeout(patience, cluster.claim(&key, None)).await {
                Ok(Ok(Claim::Other { .. })) => {}
                Ok(Ok(Claim::Mine(mine))) => {
                    lease = Some(mine);
                    break;
                }
                Ok(Err(_)) | Err(_) => break,
            }
            sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
        self.inner.meta.look_again(&repository.name, reference);
        Turn {
            _lease: lease,
            has_others: true,
        }
    }
}
