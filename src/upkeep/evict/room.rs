//! Makes room: loose links first, then images in the order of their last use.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

use futures_util::future::join;

use super::Inner;
use crate::{
    meta::{Removal, Removed, Root},
    oci::Digest,
    transfer::ReconcileError,
    upkeep::{
        demand::{Demand, Evicted, Scope},
        leftovers::delete_gone,
        rest::rest,
    },
};

/// Candidates that are looked up at a time.
const PAGE: u32 = 64;

/// Images whose files are deleted together.
const IMAGES_PER_DELETION: usize = 16;

impl Inner {
    pub(super) async fn make_room(
        &self,
        scope: Scope<'_>,
        bytes: u64,
    ) -> Result<Evicted, ReconcileError> {
        if let Err(error) = self.meta.complete_uses().await {
            tracing::warn!(%error, "cannot complete what was used: {error}");
        }
        self.flush_uses().await;
        let mut demand = Demand::new(scope, bytes);
        self.evict_loose_links(&mut demand).await?;
        self.evict_images(&mut demand).await?;
        demand.evicted.in_vain = demand.bytes > 0;
        Ok(demand.evicted)
    }

    /// Blobs that no manifest of their repository names go before any image.
    async fn evict_loose_links(&self, demand: &mut Demand<'_>) -> Result<(), ReconcileError> {
        let Some(before) = SystemTime::now().checked_sub(self.orphan_grace) else {
            return Ok(());
        };
        while demand.bytes > 0 {
            let links = self
                .meta
                .loose_links(demand.project(), before, PAGE)
                .await?;
            let mut links = links
                .into_iter()
                .filter(|link| !self.is_hosted(&link.project))
                .peekable();
            if links.peek().is_none() {
                return Ok(());
            }
            for link in links {
                let started = Instant::now();
                let removed = self.meta.loose_link_delete(&link, before).await?;
                self.note(demand, &link.project, &removed);
                rest(started).await;
                self.delete_files(demand, 1).await?;
            }
        }
        Ok(())
    }

    async fn evict_images(&self, demand: &mut Demand<'_>) -> Result<(), ReconcileError> {
        let mut last: Option<Root> = None;
        while demand.bytes > 0 {
            let roots = self
                .meta
                .eviction_candidates(demand.project(), last.as_ref(), PAGE)
                .await?;
            if roots.is_empty() {
                return Ok(());
            }
            for root in &roots {
                if demand.bytes == 0 {
                    break;
                }
                if !self.is_hosted(&root.project) {
                    self.evict_image(demand, root).await?;
                }
            }
            last = roots.into_iter().next_back();
        }
        Ok(())
    }

    async fn evict_image(
        &self,
        demand: &mut Demand<'_>,
        root: &Root,
    ) -> Result<(), ReconcileError> {
        let started = Instant::now();
        let filling: HashSet<Digest> = self.fills.digests().into_iter().collect();
        let removal = Removal::Evict {
            used_at: root.used_at,
            filling: Arc::new(filling),
        };
        let delete = self
            .meta
            .image_delete(&root.repository, &root.digest, removal);
        // Who got it just now is not to find it gone: the transaction looks at its last use once more. Both are written
        // in this order, and synced once.
        let ((), removed) = join(self.flush_uses(), delete).await;
        let removed = removed?;
        let Some(removed) = removed else {
            return Ok(());
        };
        tracing::debug!(repository = %root.repository, digest = %root.digest, bytes = removed.bytes, "evicted an image");
        demand.evicted.images += 1;
        self.note(demand, &root.project, &removed);
        rest(started).await;
        self.delete_files(demand, IMAGES_PER_DELETION).await
    }

    async fn flush_uses(&self) {
        if let Err(error) = self.meta.flush_uses().await {
            // The order is then that of a moment ago.
            tracing::warn!(%error, "cannot write down what was used: {error}");
        }
    }

    fn is_hosted(&self, project: &str) -> bool {
        self.projects.now().hosted().any(|hosted| hosted == project)
    }

    /// Counts what went.
    fn note(&self, demand: &mut Demand<'_>, project: &str, removed: &Removed) {
        self.space().freed(None, removed.bytes);
        self.space().freed(Some(project), removed.project_bytes);
        demand.note(removed);
    }

    /// Deletes files once so many images have gone.
    async fn delete_files(
        &self,
        demand: &mut Demand<'_>,
        images: usize,
    ) -> Result<(), ReconcileError> {
        if demand.undeleted < images {
            return Ok(());
        }
        demand.undeleted = 0;
        delete_gone(&self.fills, &self.meta).await?;
        Ok(())
    }
}
