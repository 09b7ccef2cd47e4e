//! One fill per digest: whoever comes first leads, everybody else joins.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::future::Cache;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    FillError, Tail, fill,
    tail::{End, HOLD_BACK_BYTES},
    window::Budget,
};
use crate::{
    client::RegistryClient,
    meta::{Meta, MetaError},
    oci::{Digest, Name},
    store::Store,
    telemetry::Metrics,
};

/// How many digests that came wrong are remembered, and for how long.
const WRONG_CONTENT_KEPT: u64 = 1000;
const WRONG_CONTENT_KEPT_FOR: Duration = Duration::from_mins(10);

/// What is to be fetched, and for whom.
#[derive(Clone)]
pub struct FillRequest {
    pub digest: Digest,
    /// The local repository that asks.
    pub repository: Name,
    pub client: RegistryClient,
    /// The repository's name at the remote.
    pub remote_name: Name,
    /// What a descriptor says; it beats what the remote says.
    pub size_bytes: Option<u64>,
}

/// What [`Fills::join`] found.
#[derive(Debug)]
pub enum Joined {
    /// This call started the fill.
    Leader(Tail),
    /// A fill was running.
    Follower(Tail),
    /// A fill runs for repositories of others: ask again once this repository's own right is proven.
    NeedsRight,
    /// Nothing is to be fetched: the blob came into the store after the caller had looked there.
    Stored,
}

/// All running fills; cheap to clone.
#[derive(Clone)]
pub struct Fills {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) meta: Meta,
    pub(super) metrics: Metrics,
    pub(super) shutdown: CancellationToken,
    /// The URL to be asked first for content that came wrong from the one before.
    pub(super) wrong_content: Cache<Digest, usize>,
    /// What the windows of all fills keep in memory.
    pub(super) window_budget: Budget,
    tasks: TaskTracker,
    running: Mutex<HashMap<Digest, Fill>>,
}

/// One running fill, as others see it.
struct Fill {
    phase: watch::Receiver<Phase>,
    /// Get a row each when the blob is in place.
    repositories: BTreeSet<Name>,
    /// The remote of the leader; a follower of another remote may try its own after a failure.
    leader: Name,
}

/// Where a fill is, before its tails take over.
#[derive(Clone)]
pub(super) enum Phase {
    Connecting,
    Streaming(Tail),
    Stored,
    Failed(FillError),
}

impl Fills {
    /// `tasks` holds the fills, which end when `shutdown` is cancelled; what they fetched stays to be resumed.
    pub fn new(
        store: Store,
        meta: Meta,
        metrics: Metrics,
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let running = Mutex::default();
        Self {
            inner: Arc::new(Inner {
                store,
                meta,
                metrics,
                shutdown,
                wrong_content: Cache::builder()
                    .max_capacity(WRONG_CONTENT_KEPT)
                    .time_to_live(WRONG_CONTENT_KEPT_FOR)
                    .build(),
                window_budget: Budget::default(),
                tasks,
                running,
            }),
        }
    }

    /// Joins the fill of this digest, or starts it, and waits until its first bytes can be served.
    ///
    /// `has_right`: this repository may see the digest. Without it a fill that was started for other repositories
    /// only is not joined; the GET that a new fill makes is the proof for its own repository. Dropping the future
    /// leaves the fill running.
    pub async fn join(&self, request: &FillRequest, has_right: bool) -> Result<Joined, FillError> {
        loop {
            let (phase, led_by) = match self.enter(request, has_right) {
                Entered::NeedsRight => return Ok(Joined::NeedsRight),
                Entered::Leading(phase) => (phase, None),
                Entered::Following(phase, leader) => (phase, Some(leader)),
            };
            match (first_bytes(phase).await, led_by) {
                (Ok(None), _) => return Ok(Joined::Stored),
                (Ok(Some(tail)), None) => return Ok(Joined::Leader(tail)),
                (Ok(Some(tail)), Some(_)) => return Ok(Joined::Follower(tail)),
                // Another repository's remote failed; ours may well have it.
                (Err(_), Some(leader)) if leader != request.repository => {}
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Is this digest being filled on behalf of this repository, too, and has the remote answered? That is a right to
    /// see it: the leader's own remote gave it, and who joined had proven a right before.
    pub fn is_filling_for(&self, digest: &Digest, repository: &Name) -> bool {
        self.lock().get(digest).is_some_and(|fill| {
            fill.repositories.contains(repository)
                && matches!(*fill.phase.borrow(), Phase::Streaming(_))
        })
    }

    /// Repositories that a running fill of this digest is for.
    pub fn filling_for(&self, digest: &Digest) -> Vec<Name> {
        let running = self.lock();
        let repositories = running.get(digest).map(|fill| &fill.repositories);
        repositories.into_iter().flatten().cloned().collect()
    }

    fn enter(&self, request: &FillRequest, has_right: bool) -> Entered {
        let mut running = self.lock();
        if let Some(fill) = running.get_mut(&request.digest) {
            if !has_right && !fill.repositories.contains(&request.repository) {
                return Entered::NeedsRight;
            }
            fill.repositories.insert(request.repository.clone());
            return Entered::Following(fill.phase.clone(), fill.leader.clone());
        }
        let (sender, phase) = watch::channel(Phase::Connecting);
        let fill = Fill {
            phase: phase.clone(),
            repositories: BTreeSet::from([request.repository.clone()]),
            leader: request.repository.clone(),
        };
        running.insert(request.digest.clone(), fill);
        let permit = Permit {
            fills: self.clone(),
            digest: request.digest.clone(),
            phase: sender,
            open: true,
        };
        self.inner.tasks.spawn(fill::run(permit, request.clone()));
        Entered::Leading(phase)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Fill>> {
        // Nothing under this lock can leave the map half changed.
        self.inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entered {
    Leading(watch::Receiver<Phase>),
    Following(watch::Receiver<Phase>, Name),
    NeedsRight,
}

/// Waits for the first bytes; `None`: it is in the store. Of a blob so small that all of it is held back the end is
/// awaited, so that a failure can still be told by a status.
async fn first_bytes(mut phase: watch::Receiver<Phase>) -> Result<Option<Tail>, FillError> {
    let tail = match phase
        .wait_for(|phase| !matches!(phase, Phase::Connecting))
        .await
        .as_deref()
    {
        Ok(Phase::Streaming(tail)) => tail.clone(),
        Ok(Phase::Stored) => return Ok(None),
        Ok(Phase::Failed(error)) => return Err(error.clone()),
        Ok(Phase::Connecting) | Err(_) => return Err(FillError::Abandoned),
    };
    let mut end = tail.end.clone();
    let all_held_back = tail.total.is_some_and(|total| total <= HOLD_BACK_BYTES);
    let may_go_on = |end: &End| !all_held_back || !matches!(end, End::Running);
    match end.wait_for(may_go_on).await.as_deref() {
        Ok(End::Failed(error)) => Err(error.clone()),
        Ok(End::Running | End::Verified { .. }) => Ok(Some(tail.settled())),
        Err(_) => Err(FillError::Abandoned),
    }
}

/// The right to fill one digest. Dropped, the digest is free for the next one; who still waits for first bytes is
/// told that the fill was abandoned.
pub(super) struct Permit {
    pub(super) fills: Fills,
    pub(super) digest: Digest,
    pub(super) phase: watch::Sender<Phase>,
    /// The digest is still taken in the list of running fills.
    open: bool,
}

impl Permit {
    /// Makes the blob visible in every repository that joined, and ends the fill. Who joins while the rows are being
    /// written gets a row of its own.
    pub(super) async fn finish(&mut self, size_bytes: u64) -> Result<(), MetaError> {
        let mut linked = BTreeSet::new();
        loop {
            let waiting = self.waiting(&linked);
            if waiting.is_empty() {
                return Ok(());
            }
            self.fills
                .inner
                .meta
                .blob_link(&waiting, &self.digest, size_bytes)
                .await?;
            linked.extend(waiting);
        }
    }

    /// Repositories that joined and have no row yet; when there are none, the fill is closed under the same lock.
    fn waiting(&mut self, linked: &BTreeSet<Name>) -> Vec<Name> {
        let mut running = self.fills.lock();
        let joined = running.get(&self.digest).map(|fill| &fill.repositories);
        let waiting: Vec<Name> = joined
            .into_iter()
            .flatten()
            .filter(|name| !linked.contains(*name))
            .cloned()
            .collect();
        if waiting.is_empty() {
            running.remove(&self.digest);
            drop(running);
            self.open = false;
        }
        waiting
    }

    /// Ends the fill: the next request for this digest starts a new one.
    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.fills.lock().remove(&self.digest);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// Of a remote where nobody listens.
    fn client(folder: &std::path::Path) -> RegistryClient {
        let file = folder.join("entrepot.toml");
        let text = "builtin = false\n[[remote]]\nname = \"r\"\nurls = [\"http://127.0.0.1:1\"]";
        std::fs::write(&file, text).expect("a file");
        let mut config = config::load(Some(&file), []).expect("a valid file");
        RegistryClient::new(config.remotes.remove(0), Metrics::default()).expect("no files to read")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_blob_that_came_into_the_store_meanwhile_is_not_fetched_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let meta = Meta::open(&config::Database::Sqlite(folder.path().join("entrepot.db")))
            .await
            .expect("a database");
        let bytes = bytes::Bytes::from_static(b"content");
        let digest = Digest::sha256(&bytes);
        store.put(&digest, bytes).await.expect("room");
        let request = FillRequest {
            digest: digest.clone(),
            repository: "r/app".parse().expect("a name"),
            client: client(folder.path()),
            remote_name: "app".parse().expect("a name"),
            size_bytes: None,
        };
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let fills = Fills::new(store, meta, Metrics::default(), shutdown, tasks);
        for has_right in [false, true] {
            let joined = fills.join(&request, has_right).await;
            assert!(matches!(joined, Ok(Joined::Stored)), "{joined:?}");
            assert!(!fills.is_filling_for(&digest, &request.repository));
        }
    }
}
