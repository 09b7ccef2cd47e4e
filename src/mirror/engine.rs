//! The handles that every question needs, in one place; the questions themselves are in the files beside this one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use moka::future::Cache;
use tokio_util::task::TaskTracker;

use super::{
    ManifestContent, MirrorError, Outcome, Projects, Repository,
    flight::{Flights, Seat},
    lists::ListKey,
    tags::Checked,
};
use crate::{
    client::RegistryClient,
    config::ProjectKind,
    meta::{ListRow, Meta},
    oci::{Digest, Name, Reference, Tag},
    store::Store,
    transfer::Fills,
};

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
    pub projects: Arc<Projects>,
    /// By the remote's name.
    pub clients: HashMap<String, RegistryClient>,
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
    projects: Arc<Projects>,
    clients: HashMap<String, RegistryClient>,
    pub(super) store: Store,
    pub(super) meta: Meta,
    offline: bool,
    pub(super) fills: Fills,
    pub(super) manifest_fetches: Flights<(Name, Reference), (ManifestContent, Outcome)>,
    pub(super) tag_checks: Flights<(Name, Tag), Checked>,
    pub(super) blob_heads: Flights<(Name, Digest), Option<u64>>,
    pub(super) list_fetches: Flights<ListKey, ListRow>,
    /// Empty lists of subjects that nothing here knows of.
    pub(super) lists_of_strangers: Cache<ListKey, ListRow>,
}

/// How many lists of strangers are remembered.
const STRANGERS: u64 = 10_000;

impl Mirror {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            projects,
            clients,
            store,
            meta,
            fills,
            offline,
            tasks,
        } = parts;
        let inner = Inner {
            projects,
            clients,
            store,
            meta,
            offline,
            fills,
            manifest_fetches: Flights::new(tasks.clone()),
            tag_checks: Flights::new(tasks.clone()),
            blob_heads: Flights::new(tasks.clone()),
            list_fetches: Flights::new(tasks),
            lists_of_strangers: Cache::new(STRANGERS),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn projects(&self) -> &Projects {
        &self.inner.projects
    }

    /// The client of the repository's remote; none when it must not be dialed.
    pub(super) fn client(&self, repository: &Repository) -> Option<RegistryClient> {
        if self.inner.offline || repository.project.offline {
            return None;
        }
        match &repository.project.kind {
            ProjectKind::Mirror { remote } => self.inner.clients.get(remote).cloned(),
            ProjectKind::Hosted => None,
        }
    }

    /// As `client`, for what is not here.
    pub(super) fn client_for(
        &self,
        repository: &Repository,
        what: &dyn std::fmt::Display,
    ) -> Result<RegistryClient, MirrorError> {
        self.client(repository)
            .ok_or_else(|| MirrorError::offline(what))
    }

    /// The bytes of a manifest, if they are here.
    pub(super) async fn manifest_bytes(
        &self,
        digest: &Digest,
    ) -> Result<Option<Bytes>, MirrorError> {
        Ok(self.inner.store.read(digest).await?)
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
