//! One fill per digest: whoever comes first leads, everybody else joins.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use moka::future::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    FillError, Origin, Passing, Space, Tail, Tier, fill,
    passing::{MAX_PASSING, TURN_TIMEOUT},
    permit::Permit,
    tail::{End, HOLD_BACK_BYTES},
    window::Budget,
};
use crate::{
    cluster::Cluster,
    meta::Meta,
    oci::{Digest, Name},
    store::Store,
    telemetry::{Metrics, traces},
};

/// How many digests that came wrong are remembered, and for how long.
const WRONG_CONTENT_KEPT: u64 = 1000;
const WRONG_CONTENT_KEPT_FOR: Duration = Duration::from_mins(10);

/// Fills that run at the same time, at most; more wait for their turn, first come, first served.
const MAX_FILLS: usize = 256;

/// What is to be fetched, and for whom.
#[derive(Clone)]
pub struct FillRequest {
    pub digest: Digest,
    /// The local repository that asks.
    pub repository: Name,
    pub origin: Origin,
    /// What a descriptor says; it beats what the remote says.
    pub size_bytes: Option<u64>,
    /// The repository has its row, and only the content is to come: the fill makes none, for it may be deleted meanwhile.
    pub is_linked: bool,
}

/// What [`Fills::join`] found.
#[derive(Debug)]
pub enum Joined {
    /// This call started the fill.
    Leader(Tail),
    /// A fill was running.
    Follower(Tail),
    /// A fill runs, here or at another replica, for repositories of others: ask again once this repository's own right is proven.
    NeedsRight,
    /// Nothing is to be fetched: the blob came into the store after the caller had looked there.
    Stored,
    /// It cannot be kept now: [`Fills::pass`] it on.
    NoRoom,
}

/// A fill as an operator sees it.
#[derive(Debug, Clone)]
pub struct RunningFill {
    pub digest: Digest,
    pub remote: String,
    /// The repository that asked first.
    pub repository: Name,
    /// Received so far.
    pub bytes: u64,
    /// Size of the whole blob, if anybody said it.
    pub total_bytes: Option<u64>,
    /// Clients that read it or wait for its first byte.
    pub waiters: usize,
    pub started_at: SystemTime,
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
    /// The place to be asked first for content that came wrong from the one before.
    pub(super) wrong_content: Cache<Digest, usize>,
    /// What the windows of all fills keep in memory.
    pub(super) window_budget: Budget,
    pub(super) space: Space,
    tier: Option<Tier>,
    pub(super) cluster: Option<Cluster>,
    pub(super) tasks: TaskTracker,
    fill_turns: Arc<Semaphore>,
    passing_turns: Arc<Semaphore>,
    running: Mutex<HashMap<Digest, Fill>>,
}

/// One running fill, as others see it.
pub(super) struct Fill {
    phase: watch::Receiver<Phase>,
    /// Get a row each when the blob is in place.
    pub(super) repositories: BTreeSet<Name>,
    /// Those of them that had a row before.
    pub(super) linked: BTreeSet<Name>,
    /// The remote of the leader; a follower of another remote may try its own after a failure.
    leader: Name,
    remote: String,
    started_at: SystemTime,
    /// Held by each client, too.
    clients: Arc<()>,
}

/// Where a fill is, before its tails take over.
#[derive(Clone)]
pub(super) enum Phase {
    Connecting,
    Streaming(Tail),
    Stored,
    NoRoom,
    /// Another replica has it, and the repository that asked has no right to it yet.
    NeedsRight,
    Failed(FillError),
}

/// What fills are made of.
pub struct Parts {
    pub store: Store,
    pub meta: Meta,
    pub metrics: Metrics,
    /// What may be kept.
    pub space: Space,
    /// Object storage, if content is to be there too.
    pub tier: Option<Tier>,
    /// The other replicas, if there are any.
    pub cluster: Option<Cluster>,
    /// Ends the fills; what they fetched stays to be resumed.
    pub shutdown: CancellationToken,
    /// Holds the fills.
    pub tasks: TaskTracker,
}

impl Fills {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            store,
            meta,
            metrics,
            space,
            tier,
            cluster,
            shutdown,
            tasks,
        } = parts;
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
                space,
                tier,
                cluster,
                tasks,
                fill_turns: Arc::new(Semaphore::new(MAX_FILLS)),
                passing_turns: Arc::new(Semaphore::new(MAX_PASSING)),
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
            let (entered, led_by) = match self.enter(request, has_right) {
                Entered::NeedsRight => return Ok(Joined::NeedsRight),
                Entered::Leading(entered) => (entered, None),
                Entered::Following(entered, leader) => (entered, Some(leader)),
            };
            match (first_bytes(entered.phase).await, led_by) {
                (Ok(First::Stored), _) => return Ok(Joined::Stored),
                (Ok(First::NoRoom), _) => return Ok(Joined::NoRoom),
                // The next one is led by a right of its own.
                (Ok(First::NeedsRight), _) if has_right => {}
                (Ok(First::NeedsRight), _) => return Ok(Joined::NeedsRight),
                (Ok(First::Bytes(tail)), None) => return Ok(Joined::Leader(tail)),
                (Ok(First::Bytes(tail)), Some(_)) => return Ok(Joined::Follower(tail)),
                // Another repository's remote failed; ours may well have it.
                (Err(_), Some(leader)) if leader != request.repository => {}
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Gets a blob from the remote for one client without keeping it. The remote's answer proves the right to see it.
    pub async fn pass(&self, request: &FillRequest) -> Result<Passing, FillError> {
        Passing::open(self.clone(), request.clone()).await
    }

    /// All fills that run now, the oldest first.
    pub fn running(&self) -> Vec<RunningFill> {
        let running = self.lock();
        let mut fills: Vec<_> = running
            .iter()
            .map(|(digest, fill)| fill.look(digest))
            .collect();
        drop(running);
        fills.sort_by_key(|fill| fill.started_at);
        fills
    }

    /// What is being filled now.
    pub fn digests(&self) -> Vec<Digest> {
        self.lock().keys().cloned().collect()
    }

    /// Object storage, if content is there too.
    pub fn tier(&self) -> Option<&Tier> {
        self.inner.tier.as_ref()
    }

    /// The other replicas, if there are any.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.inner.cluster.as_ref()
    }

    /// The ledger of what may be kept.
    pub fn space(&self) -> &Space {
        &self.inner.space
    }

    pub(super) async fn fill_turn(&self) -> Result<OwnedSemaphorePermit, FillError> {
        turn(&self.inner.fill_turns).await
    }

    pub(super) async fn passing_turn(&self) -> Result<OwnedSemaphorePermit, FillError> {
        turn(&self.inner.passing_turns).await
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
            fill.linked
                .extend(request.is_linked.then(|| request.repository.clone()));
            return Entered::Following(fill.enter(), fill.leader.clone());
        }
        let (sender, phase) = watch::channel(Phase::Connecting);
        let fill = Fill {
            phase,
            repositories: BTreeSet::from([request.repository.clone()]),
            linked: BTreeSet::from_iter(request.is_linked.then(|| request.repository.clone())),
            leader: request.repository.clone(),
            remote: request.origin.name().to_owned(),
            started_at: SystemTime::now(),
            clients: Arc::new(()),
        };
        let entry = fill.enter();
        let permit = Permit {
            fills: self.clone(),
            digest: request.digest.clone(),
            project: request.repository.first().to_owned(),
            phase: sender,
            clients: Arc::downgrade(&fill.clients),
            open: true,
        };
        running.insert(request.digest.clone(), fill);
        let span = traces::work_span("fill", Some(&request.digest));
        let run = fill::run(permit, request.clone(), has_right).instrument(span);
        self.inner.tasks.spawn(run);
        Entered::Leading(entry)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Fill>> {
        // Nothing under this lock can leave the map half changed.
        self.inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fill {
    pub(super) fn enter(&self) -> Entry {
        Entry {
            phase: self.phase.clone(),
            _client: Arc::clone(&self.clients),
        }
    }

    fn look(&self, digest: &Digest) -> RunningFill {
        let (bytes, total_bytes) = match &*self.phase.borrow() {
            Phase::Streaming(tail) => (*tail.window.received().borrow(), tail.total),
            _ => (0, None),
        };
        RunningFill {
            digest: digest.clone(),
            remote: self.remote.clone(),
            repository: self.leader.clone(),
            bytes,
            total_bytes,
            // One is the fill's own.
            waiters: Arc::strong_count(&self.clients) - 1,
            started_at: self.started_at,
        }
    }
}

/// A place among those who wait for the first bytes of a fill.
pub(super) struct Entry {
    pub(super) phase: watch::Receiver<Phase>,
    _client: Arc<()>,
}

enum Entered {
    Leading(Entry),
    Following(Entry, Name),
    NeedsRight,
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, FillError> {
    let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(turns).acquire_owned()).await;
    let turn = turn.map_err(|_elapsed| FillError::Busy)?;
    Ok(turn.expect("the semaphore is never closed"))
}

/// What became of a fill at its beginning.
pub(super) enum First {
    Bytes(Tail),
    Stored,
    NoRoom,
    NeedsRight,
}

/// Waits for the first bytes. Of a blob so small that all of it is held back the end is awaited, so that a failure can
/// still be told by a status.
pub(super) async fn first_bytes(mut phase: watch::Receiver<Phase>) -> Result<First, FillError> {
    let tail = match phase
        .wait_for(|phase| !matches!(phase, Phase::Connecting))
        .await
        .as_deref()
    {
        Ok(Phase::Streaming(tail)) => tail.clone(),
        Ok(Phase::Stored) => return Ok(First::Stored),
        Ok(Phase::NoRoom) => return Ok(First::NoRoom),
        Ok(Phase::NeedsRight) => return Ok(First::NeedsRight),
        Ok(Phase::Failed(error)) => return Err(error.clone()),
        Ok(Phase::Connecting) | Err(_) => return Err(FillError::Abandoned),
    };
    let mut end = tail.end.clone();
    let all_held_back = tail.total.is_some_and(|total| total <= HOLD_BACK_BYTES);
    let may_go_on = |end: &End| !all_held_back || !matches!(end, End::Running);
    let end = end.wait_for(may_go_on).await.map(|end| end.clone());
    // Only now, when the channel is let go: looked at twice, it locks up with who writes to it in between.
    match end {
        Ok(End::Failed(error)) => Err(error),
        Ok(End::Running | End::Verified { .. } | End::HandedOver(_)) => {
            Ok(First::Bytes(tail.settled()))
        }
        Err(_) => Err(FillError::Abandoned),
    }
}

#[cfg(test)]
#[path = "inflight_tests.rs"]
mod tests;
