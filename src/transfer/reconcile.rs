//! Rows and files are two things, and a crash, a full disk or somebody else's hand can leave one without the other.
//!
//! The one place that deletes the file of a blob because no row tells of it: under the store's claim, which a fill, a put
//! and an adoption hold until their rows are written.

use super::Fills;
use crate::{meta::MetaError, oci::Digest, store::StoreError};

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
    /// Makes the rows and the file of one digest agree. May be dropped: the next time does the rest.
    pub async fn reconcile(&self, digest: &Digest) -> Result<Reconciled, ReconcileError> {
        let (store, meta) = (&self.inner.store, &self.inner.meta);
        let Some(claim) = store.try_claim(digest) else {
            return Ok(Reconciled::Busy);
        };
        let has_row = meta.blob_size(digest).await?.is_some();
        let has_file = store.peek(digest).await?.is_some();
        let reconciled = match (has_row, has_file) {
            (false, true) => {
                store.delete(&claim).await?;
                Reconciled::FileDeleted
            }
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
}
