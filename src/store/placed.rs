//! Blobs in place whose rows are not written yet: they are marked, so that a crash in between leaves no file that nobody
//! knows of.

use std::fmt;

use super::{
    Blob, Store, StoreError,
    claims::Claim,
    local::blocking,
    paths::{self, Spooled},
};
use crate::oci::Digest;

/// A blob in place whose rows are to be written. Until they are nobody else fills or deletes it. Dropped without
/// [`settle`](Placed::settle), it is left to [`Store::unsettled`].
#[must_use = "the blob is not settled before its rows are written"]
pub struct Placed {
    store: Store,
    claim: Claim,
    blob: Blob,
}

impl Placed {
    pub(super) fn new(store: Store, claim: Claim, blob: Blob) -> Self {
        Self { store, claim, blob }
    }

    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The rows are written.
    pub async fn settle(self) -> Blob {
        if let Err(error) = self.store.settle(&self.claim).await {
            // It is looked into once more, which changes nothing.
            tracing::warn!(digest = %self.claim.digest(), %error, "cannot delete the mark of a placed blob");
        }
        self.blob
    }
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed")
            .field("digest", self.claim.digest())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Blobs that were put in place and whose rows may be missing: their [`Placed`] was dropped, by an error or by the
    /// end of a process. To be looked into under the claim, and settled.
    pub async fn unsettled(&self) -> Result<Vec<Digest>, StoreError> {
        let store = self.clone();
        blocking(move || {
            let placed = |(_, spooled)| match spooled {
                Spooled::Placed(digest) => Some(digest),
                Spooled::Fill(_) | Spooled::Put(_) | Spooled::Upload(_) => None,
            };
            Ok(store
                .folder
                .spooled()?
                .into_iter()
                .filter_map(placed)
                .collect())
        })
        .await
    }

    /// Rows and file of this blob agree.
    pub async fn settle(&self, claim: &Claim) -> Result<(), StoreError> {
        let (store, digest) = (self.clone(), claim.digest().clone());
        blocking(move || store.folder.delete(&paths::placed(&digest)).map(drop)).await
    }
}
