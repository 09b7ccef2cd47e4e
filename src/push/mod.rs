//! Hosting: takes what clients push, and serves what hosted projects have. Layer 3: knows no HTTP server and no remote.
//! Called by `v2`, which has decided who may.
//!
//! ```text
//! start ──► session (row) ──append*──► file ──finish──► verified, in place, durable ──► rows ──► 201
//!                 └ cancelled, or nothing heard of it: row and file go
//! mount: a link more, nothing is moved
//! manifest: checked, in place, durable ──► one transaction: what it names is here, references, tags, subject ──► 201
//! ```
//!
//! Nothing is acknowledged, nor can be seen, before it is durable: content first, then rows. With object storage that is an
//! object, of blobs and of manifests. A mirror is seeded by the same steps.

pub mod delete;
pub mod error;
pub mod manifest;
pub mod serve;
pub mod session;

mod allowance;
mod chunk;
mod hold;
mod intake;
mod receive;
mod stored;
mod work;

pub use chunk::Chunk;
pub use error::PushError;
pub use manifest::{ManifestUpload, PushedManifest};

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::{allowance::Allowances, work::Desks};
use crate::{
    access::Projects,
    config::{Project, ProjectKind},
    meta::Meta,
    oci::{Digest, Name},
    store::{Placed, Store},
    transfer::Fills,
};

/// Bodies of blobs that are taken in at the same time; each holds up to two batches in memory.
const RECEIVING: usize = 128;

/// A repository that is pushed to, or that is served from what was pushed.
#[derive(Debug, Clone)]
pub struct Repository {
    pub project: Arc<Project>,
    /// The whole local name, project first.
    pub name: Name,
}

impl Repository {
    /// Is a push to it seeding: of a mirror?
    fn is_seeded(&self) -> bool {
        matches!(self.project.kind, ProjectKind::Mirror { .. })
    }
}

/// What pushing is made of.
pub struct Parts {
    pub store: Store,
    pub meta: Meta,
    pub fills: Fills,
    /// How long a blob that no manifest names stays.
    pub orphan_grace: Duration,
    pub projects: Projects,
    /// Budget of all that is cached, in bytes.
    pub max_bytes: Option<u64>,
    /// Holds what goes on when its client has left.
    pub tasks: TaskTracker,
}

/// All of pushing, and of serving what was pushed; cheap to clone.
#[derive(Clone)]
pub struct Pushes {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    meta: Meta,
    fills: Fills,
    orphan_grace: Duration,
    allowances: Allowances,
    tasks: TaskTracker,
    /// One of each session that somebody works on.
    desks: Arc<Desks>,
    receiving: Semaphore,
}

impl Pushes {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            store,
            meta,
            fills,
            orphan_grace,
            projects,
            max_bytes,
            tasks,
        } = parts;
        Self {
            inner: Arc::new(Inner {
                store,
                allowances: Allowances::new(meta.clone(), projects, max_bytes),
                meta,
                fills,
                orphan_grace,
                tasks,
                desks: Arc::default(),
                receiving: Semaphore::new(RECEIVING),
            }),
        }
    }

    /// Makes the blob visible in one more repository, of another that has it: of `from`, or of any that `may_pull`
    /// allows. `false`: there is none.
    pub async fn mount(
        &self,
        repository: &Repository,
        digest: &Digest,
        from: Option<&Name>,
        may_pull: impl Fn(&Name) -> bool,
    ) -> Result<bool, PushError> {
        let meta = &self.inner.meta;
        let from = match from {
            Some(from) => may_pull(from).then(|| from.clone()),
            None => meta.blob_repository(digest, may_pull).await?,
        };
        match from {
            Some(from) => {
                let bytes = meta.blob_size(digest).await?.unwrap_or(0);
                self.inner
                    .allowances
                    .take(repository, digest, bytes)
                    .await?;
                Ok(meta.blob_mount(&repository.name, &from, digest).await?)
            }
            None => Ok(false),
        }
    }

    /// Ends a push whose rows are written: when this returns all that keeps content has it.
    async fn settle(&self, digest: &Digest, placed: Placed) -> Result<(), PushError> {
        let bytes = placed.settle().await.len();
        if let Some(tier) = self.inner.fills.tier() {
            tier.pushed(digest, bytes).await?;
        }
        Ok(())
    }

    /// What was put in place gets no rows: its file goes again, unless somebody else's rows tell of it.
    async fn take_back(&self, digest: &Digest, placed: Placed) {
        drop(placed);
        if let Err(error) = self.inner.fills.reconcile(digest).await {
            // The mark stays: it is looked into later.
            tracing::warn!(%digest, %error, "cannot make rows and file agree");
        }
    }
}
