//! Rows and files are two things, and a crash, a full disk or somebody else's hand can leave one without the other.
//!
//! The one place that deletes the file of a blob because no row tells of it: under the store's claim, which a fill, a put
//! and an adoption hold until their rows are written.

use super::{Fills, space::Reservation};
use crate::{
    meta::MetaError,
    oci::{Digest, Name},
    store::{Placed, StoreError},
};

/// What it took to make rows and file agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// They did, or do now without a change to either.
    Agreed,
    /// No row told of the file.
    FileDeleted,
    /// The rows told of a file that was not there, nor an object of it: no repository has it as a blob any more. (Of a manifest the rows
    /// stay, and the next pull brings its bytes back.)
    RowsDeleted,
    /// Somebody fills, puts or adopts it right now.
    Busy,
}

/// Why rows and file may still disagree.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Meta(#[from] MetaError),
}

impl Fills {
    /// Makes a blob that is here visible in one more repository. One that has just lost its last row, and whose file is
    /// about to go, is either kept by this or gone before it.
    pub async fn adopt(
        &self,
        repository: &Name,
        digest: &Digest,
        size_bytes: u64,
    ) -> Result<(), ReconcileError> {
        let (store, meta) = (&self.inner.store, &self.inner.meta);
        let _claim = store.claim(digest).await?;
        if store.peek(digest).await?.is_some() {
            let repositories = std::slice::from_ref(repository);
            meta.blob_link(repositories, digest, size_bytes).await?;
            // Its row may have been gone, so it may not have been counted.
            self.inner.space.came(None, size_bytes);
            self.inner.space.came(Some(repository.first()), size_bytes);
        }
        Ok(())
    }

    /// Makes the rows and the file of one digest agree. May be dropped: the next time does the rest.
    pub async fn reconcile(&self, digest: &Digest) -> Result<Reconciled, ReconcileError> {
        let (store, meta) = (&self.inner.store, &self.inner.meta);
        let claim = store.try_claim(digest);
        // What is lost and on its way back is not lost.
        let Some(claim) = claim.filter(|_| !store.is_filling(digest)) else {
            return Ok(Reconciled::Busy);
        };
        let has_row = meta.blob_size(digest).await?.is_some();
        let has_file = store.peek(digest).await?.is_some();
        let reconciled = match (has_row, has_file) {
            (false, true) => {
                store.delete(&claim).await?;
                Reconciled::FileDeleted
            }
            // Of replicas another one may have the file.
            (true, false) if self.inner.cluster.is_some() => Reconciled::Agreed,
            (true, false) => {
                if meta.content_lost(digest).await? {
                    Reconciled::RowsDeleted
                } else {
                    Reconciled::Agreed
                }
            }
            (false, false) | (true, true) => Reconciled::Agreed,
        };
        store.settle(&claim).await?;
        Ok(reconciled)
    }

    /// Deletes the files of content whose rows went. What is busy is on its way back, or left to upkeep.
    pub async fn delete_files(&self, gone: Vec<Digest>) -> Result<(), ReconcileError> {
        let mut done = Vec::new();
        for digest in gone {
            if self.reconcile(&digest).await? != Reconciled::Busy {
                done.push(digest);
            }
        }
        Ok(self.inner.meta.gone_delete(done).await?)
    }

    /// The rows of what is in place could not be written: its file goes again, and with it its room. Who reads it goes on.
    pub(super) async fn take_back(
        &self,
        digest: &Digest,
        placed: Placed,
        room: Option<Reservation>,
    ) {
        let len = placed.blob().len();
        // With it goes the claim.
        drop(placed);
        let reconciled = self.reconcile(digest).await;
        if let Err(error) = &reconciled {
            // The mark stays: it is looked into later.
            tracing::warn!(%digest, %error, "cannot make rows and file agree");
        }
        match room {
            Some(room) if matches!(reconciled, Ok(Reconciled::FileDeleted)) => room.discard(),
            Some(room) => room.keep(len),
            None => {}
        }
    }
}
