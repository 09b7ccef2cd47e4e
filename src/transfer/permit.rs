//! The right to fill one digest, and what it ends with.

use std::{collections::BTreeSet, sync::Weak};

use tokio::sync::watch;

use super::{Fills, inflight::Phase};
use crate::{
    meta::MetaError,
    oci::{Digest, Name},
};

/// The right to fill one digest. Dropped, the digest is free for the next one; who still waits for first bytes is
/// told that the fill was abandoned.
pub(super) struct Permit {
    pub(super) fills: Fills,
    pub(super) digest: Digest,
    /// Of the leader.
    pub(super) project: String,
    pub(super) phase: watch::Sender<Phase>,
    /// Of the fill, for its readers.
    pub(super) clients: Weak<()>,
    /// The digest is still taken in the list of running fills.
    pub(super) open: bool,
}

impl Permit {
    /// Makes the blob visible in every repository that joined, and ends the fill. Who joins while the rows are being
    /// written gets a row of its own. `false`: none needed one, and the blob was deleted where it had one.
    pub(super) async fn finish(&mut self, size_bytes: u64) -> Result<bool, MetaError> {
        let mut linked = BTreeSet::new();
        loop {
            let waiting = self.waiting(&linked);
            if waiting.is_empty() {
                let meta = &self.fills.inner.meta;
                return Ok(!linked.is_empty() || meta.blob_size(&self.digest).await?.is_some());
            }
            self.fills
                .inner
                .meta
                .blob_link(&waiting, &self.digest, size_bytes)
                .await?;
            self.count(&waiting, size_bytes);
            linked.extend(waiting);
        }
    }

    /// The project of the leader has reserved its room; the others have it in their budgets from now on.
    fn count(&self, repositories: &[Name], size_bytes: u64) {
        let projects: BTreeSet<&str> = repositories.iter().map(Name::first).collect();
        for project in projects {
            if project != self.project {
                self.fills.inner.space.came(Some(project), size_bytes);
            }
        }
    }

    /// Repositories that joined and have no row yet; when there are none, the fill is closed under the same lock.
    fn waiting(&mut self, linked: &BTreeSet<Name>) -> Vec<Name> {
        let mut running = self.fills.lock();
        let fill = running.get(&self.digest);
        let unlinked = fill.map(|fill| fill.repositories.difference(&fill.linked));
        let waiting: Vec<Name> = unlinked
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
