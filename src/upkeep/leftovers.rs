//! What unfinished work left behind: spools that are too old, blobs whose rows were never written, files whose rows are
//! gone. At start and then from time to time; looks at the spool folder and a short table, never at all blobs.

use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use super::rest::rest;
use crate::{
    meta::Meta,
    store::Store,
    transfer::{Fills, ReconcileError, Reconciled},
};

const EVERY: Duration = Duration::from_hours(1);

/// How many files are looked into before their rows of `gone` go.
const BATCH: u32 = 100;

/// Clears leftovers away; cheap to clone.
#[derive(Clone)]
pub struct Leftovers {
    pub store: Store,
    pub meta: Meta,
    pub fills: Fills,
    /// How long an unfinished fill or upload is kept to be resumed.
    pub spool_max_age: Duration,
}

impl Leftovers {
    /// Clears until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            if shutdown
                .run_until_cancelled(self.run_once())
                .await
                .is_none()
            {
                return;
            }
            let pause = tokio::time::sleep(EVERY);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Clears once. May be dropped: the next time does the rest.
    pub async fn run_once(&self) {
        self.sweep_old().await;
        if let Err(error) = self.forget_uploads().await {
            tracing::warn!(%error, "cannot end uploads that nobody goes on with: {error}");
        }
        if let Err(error) = self.settle().await {
            tracing::warn!(%error, "cannot make rows and files agree: {error}");
        }
    }

    /// Deletes spools that are too old.
    pub(super) async fn sweep_old(&self) {
        self.sweep(self.spool_max_age).await;
    }

    /// Deletes spools that nobody wrote to for so long, and counts what is left.
    pub(super) async fn sweep(&self, max_age: Duration) {
        match self.store.sweep(max_age).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "deleted {count} leftovers of unfinished fills"),
            Err(error) => tracing::warn!(%error, "cannot sweep the spool: {error}"),
        }
        match self.store.left_bytes().await {
            Ok(bytes) => self.fills.space().measured_left(bytes),
            Err(error) => tracing::warn!(%error, "cannot measure the spool: {error}"),
        }
    }

    /// Ends upload sessions of which nothing was heard for too long: first the row, so that nobody goes on without the
    /// file.
    async fn forget_uploads(&self) -> Result<(), ReconcileError> {
        let Some(before) = SystemTime::now().checked_sub(self.spool_max_age) else {
            return Ok(());
        };
        let ended = self.meta.uploads_forget(before).await?;
        if !ended.is_empty() {
            tracing::info!(count = ended.len(), "ended {} uploads", ended.len());
        }
        for id in ended {
            self.store.upload_delete(id).await?;
        }
        self.store.uploads_sweep(self.spool_max_age).await?;
        Ok(())
    }

    /// Blobs in place whose rows may be missing, and files whose rows are gone.
    async fn settle(&self) -> Result<(), ReconcileError> {
        for digest in self.store.unsettled().await? {
            if self.fills.reconcile(&digest).await? == Reconciled::FileDeleted {
                tracing::info!(%digest, "deleted a blob that no row told of");
            }
        }
        delete_gone(&self.fills, &self.meta).await?;
        Ok(())
    }
}

/// Deletes the files of content that no row tells of any more; `false` if somebody is busy with one of them.
pub(super) async fn delete_gone(fills: &Fills, meta: &Meta) -> Result<bool, ReconcileError> {
    loop {
        let gone = meta.gone(BATCH).await?;
        let wanted = gone.len();
        let mut done = Vec::new();
        for digest in gone {
            let started = Instant::now();
            if fills.reconcile(&digest).await? != Reconciled::Busy {
                done.push(digest);
            }
            rest(started).await;
        }
        // What is busy is on its way back, or its rows went before its fill was over: the table tells of it still.
        if done.is_empty() {
            return Ok(wanted == 0);
        }
        meta.gone_delete(done).await?;
    }
}
