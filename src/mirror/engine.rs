//! The handles that every question needs, in one place; the questions themselves are in the files beside this one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::task::TaskTracker;

use super::{
    Located, ManifestContent, ManifestSummary, MirrorError, Outcome, Repository, ResolveError,
    absent::Absences,
    flight::{Flights, Gate, Seat},
    listed::{List, ListKey, Lists},
    resolve,
    tags::Checked,
    verdict::Verdicts,
};
use crate::{
    access::{Caller, ProjectSet, Projects},
    client::Remotes,
    meta::Meta,
    oci::{Digest, Name, Reference, Tag},
    store::Store,
    transfer::Fills,
};

/// Questions to remotes at once, fills not counted. Each may hold a document of a few MiB.
const QUESTIONS: usize = 256;
/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(3);
/// Tags that are asked about behind the answers that were given; one that finds no place is asked about next time.
const REVALIDATIONS: usize = 16;

/// An answer and how it came about.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    pub content: T,
    pub outcome: Outcome,
    /// Since the remote last confirmed it; `None` when it comes from the remote just now.
    pub age: Option<Duration>,
}

/// What a mirror is made of.
pub struct Parts {
    pub projects: Projects,
    pub remotes: Remotes,
    pub store: Store,
    pub meta: Meta,
    pub fills: Fills,
    /// Never dial a remote.
    pub offline: bool,
    /// Holds questions to remotes.
    pub tasks: TaskTracker,
}

/// All of mirroring; cheap to clone.
#[derive(Clone)]
pub struct Mirror {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    projects: Projects,
    pub(super) remotes: Remotes,
    pub(super) store: Store,
    pub(super) meta: Meta,
    pub(super) offline: bool,
    pub(super) fills: Fills,
    pub(super) manifest_fetches: Flights<(Name, Reference), (ManifestContent, Outcome)>,
    /// `None`: the remote tells only with the whole manifest.
    pub(super) manifest_heads: Flights<(Name, Digest), Option<ManifestSummary>>,
    pub(super) tag_checks: Flights<(Name, Tag), Option<Checked>>,
    pub(super) blob_heads: Flights<(Name, Digest), Option<u64>>,
    pub(super) list_fetches: Flights<ListKey, List>,
    pub(super) tag_revalidations: Flights<(Name, Tag), ()>,
    pub(super) absences: Absences,
    pub(super) lists: Lists,
    pub(super) verdicts: Verdicts,
    /// Where all questions to remotes queue.
    pub(super) gate: Gate,
}

impl Mirror {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            projects,
            remotes,
            store,
            meta,
            fills,
            offline,
            tasks,
        } = parts;
        let gate = Gate::new(QUESTIONS, TURN);
        let behind = Gate::new(REVALIDATIONS, Duration::ZERO);
        let inner = Inner {
            projects,
            remotes,
            store,
            meta,
            offline,
            fills,
            manifest_fetches: Flights::new(&gate, &tasks),
            manifest_heads: Flights::new(&gate, &tasks),
            tag_checks: Flights::new(&gate, &tasks),
            blob_heads: Flights::new(&gate, &tasks),
            list_fetches: Flights::new(&gate, &tasks),
            tag_revalidations: Flights::new(&behind, &tasks),
            absences: Absences::new(),
            lists: Lists::new(),
            verdicts: Verdicts::new(&gate, &tasks),
            gate,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// All projects at this moment.
    pub fn projects(&self) -> Arc<ProjectSet> {
        self.inner.projects.now()
    }

    /// The repository that a name means to this caller ([`resolve`](resolve::resolve)).
    pub fn resolve(
        &self,
        name: &Name,
        ns: Option<&str>,
        caller: &Caller,
    ) -> Result<Repository, ResolveError> {
        resolve::resolve(&self.projects(), name, ns, caller)
    }

    /// The project that a name means, and the name that its repository has here, whoever asks.
    pub fn locate(&self, name: &Name, ns: Option<&str>) -> Option<Located> {
        resolve::locate(&self.projects(), name, ns)
    }

    /// The bytes of a manifest, if they are here, or in object storage.
    pub async fn manifest_bytes(&self, digest: &Digest) -> Result<Option<Bytes>, MirrorError> {
        let here = self.inner.store.read(digest).await?;
        let Some(tier) = self.inner.fills.tier().filter(|_| here.is_none()) else {
            return Ok(here);
        };
        Ok(tier.read(digest).await.unwrap_or_else(|error| {
            tracing::warn!(%digest, %error, "a manifest's object cannot be had; its remote is asked");
            None
        }))
    }
}

impl Seat {
    /// Who found a question under way joined it.
    pub(super) fn outcome(self, pilot: Outcome) -> Outcome {
        match (self, pilot) {
            (Self::Passenger, Outcome::Miss) => Outcome::Joined,
            _ => pilot,
        }
    }
}
