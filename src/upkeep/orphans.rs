//! Clean-up of hosted projects: what was pushed there and nothing names any more. (Mirrors have budgets: `evict.rs`.)
//!
//! A link that no manifest of its repository names goes once its grace is over; where something is being pushed only
//! after the longest time that a push may take. A blob that nobody has goes, wherever it was. Pages and steps are small,
//! found along an index, and after each there is a rest as long as it took, so that pulls and pushes do not notice.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{leftovers::delete_gone, rest::rest};
use crate::{
    access::Projects,
    meta::{Grace, Meta, Removed},
    oci::{Digest, Name},
    transfer::{Fills, ReconcileError},
};

/// Between two runs at least and at most; else half of the grace.
const EVERY_AT_LEAST: Duration = Duration::from_millis(500);
const EVERY_AT_MOST: Duration = Duration::from_hours(1);

const REPOSITORIES: u32 = 100;
const LINKS: u32 = 256;
const BLOBS: u32 = 1000;
/// How many rows one transaction deletes.
const STEP: usize = 32;

/// What an [`Orphans`] is made of.
pub struct Parts {
    pub meta: Meta,
    pub fills: Fills,
    /// Content of the hosted ones is kept until nothing names it.
    pub projects: Projects,
    /// How long a blob that no manifest names stays.
    pub grace: Duration,
    /// How long a push may take, from its first blob to its manifest.
    pub longest_push: Duration,
}

/// Collects what is orphaned, never twice at once; cheap to clone.
#[derive(Clone)]
pub struct Orphans {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    running: Mutex<()>,
}

/// What one run has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// How often a blob went from a repository.
    pub links: u64,
    /// Blobs that nobody has any more, and their bytes.
    pub blobs: u64,
    pub bytes: u64,
}

impl Orphans {
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                running: Mutex::default(),
            }),
        }
    }

    /// Collects until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let every = (self.inner.parts.grace / 2).clamp(EVERY_AT_LEAST, EVERY_AT_MOST);
        let turn = async || {
            // A start reads nothing large.
            tokio::time::sleep(every).await;
            if let Err(error) = self.run_once().await {
                tracing::warn!(%error, "cannot collect what nothing names: {error}");
            }
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }

    /// Collects once; waits for a run that is under way. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> Result<Collected, ReconcileError> {
        let _alone = self.inner.running.lock().await;
        let collected = self.inner.collect().await?;
        let Collected {
            links,
            blobs,
            bytes,
        } = collected;
        if collected != Collected::default() {
            tracing::info!(
                links,
                blobs,
                bytes,
                "collected {blobs} blobs that nothing named"
            );
        }
        Ok(collected)
    }
}

impl Inner {
    async fn collect(&self) -> Result<Collected, ReconcileError> {
        let mut collected = Collected::default();
        let Parts {
            grace,
            longest_push,
            ..
        } = self.parts;
        let now = SystemTime::now();
        let ago = |duration| now.checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH);
        let grace = Grace {
            idle: ago(grace),
            busy: ago(grace.max(longest_push)),
        };
        self.collect_links(grace, &mut collected).await?;
        self.collect_blobs(grace.idle, &mut collected).await?;
        delete_gone(&self.parts.fills, &self.parts.meta).await?;
        Ok(collected)
    }

    async fn collect_links(
        &self,
        grace: Grace,
        collected: &mut Collected,
    ) -> Result<(), ReconcileError> {
        let Parts { meta, projects, .. } = &self.parts;
        let hosted: Vec<String> = projects.now().hosted().map(str::to_owned).collect();
        let mut last: Option<Name> = None;
        loop {
            let started = Instant::now();
            let after = last.as_ref().map(Name::as_str);
            let names = meta.repositories(&hosted, after, REPOSITORIES).await?;
            let Some(name) = names.last() else {
                return Ok(());
            };
            last = Some(name.clone());
            for name in &names {
                self.collect_links_of(name, grace, collected).await?;
            }
            rest(started).await;
        }
    }

    async fn collect_links_of(
        &self,
        repository: &Name,
        grace: Grace,
        collected: &mut Collected,
    ) -> Result<(), ReconcileError> {
        let Parts { meta, fills, .. } = &self.parts;
        let mut last = None;
        loop {
            let page = meta.old_links(repository, grace.idle, last.as_ref(), LINKS);
            let page = page.await?;
            for step in page.chunks(STEP) {
                let started = Instant::now();
                let links = step.iter().map(|link| link.digest.clone()).collect();
                let (count, removed) = meta.delete_unnamed(repository, links, grace).await?;
                collected.links += count;
                collected.note(&removed);
                let (project, bytes) = (repository.first(), removed.project_bytes);
                fills.space().freed(Some(project), bytes);
                if !removed.gone.is_empty() {
                    delete_gone(fills, meta).await?;
                }
                rest(started).await;
            }
            last = page.into_iter().next_back();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// Of a crash, or of a version that did not clean up behind itself.
    async fn collect_blobs(
        &self,
        before: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), ReconcileError> {
        let Parts { meta, fills, .. } = &self.parts;
        let mut last: Option<Digest> = None;
        loop {
            let started = Instant::now();
            let page = meta.orphan_blobs(before, last.as_ref(), BLOBS).await?;
            rest(started).await;
            for step in page.orphans.chunks(STEP) {
                let started = Instant::now();
                let removed = meta.delete_orphan_blobs(step.to_vec(), before).await?;
                collected.note(&removed);
                fills.space().freed(None, removed.bytes);
                delete_gone(fills, meta).await?;
                rest(started).await;
            }
            last = page.last;
            if last.is_none() {
                return Ok(());
            }
        }
    }
}

impl Collected {
    fn note(&mut self, removed: &Removed) {
        self.blobs += removed.gone.len() as u64;
        self.bytes += removed.bytes;
    }
}
