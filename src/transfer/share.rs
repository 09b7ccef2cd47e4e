//! What other replicas may have from this one: the tail of a running fill, or a blob on the disk.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Content, Fills,
    inflight::{First, first_bytes},
};
use crate::{
    meta::MetaError,
    oci::{Digest, Name},
    store::StoreError,
};

/// How long another replica is kept waiting for a remote's first byte; then it asks again.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(20);

/// What there is of a digest.
pub enum Shared {
    Content(Content),
    /// It is there, but not for the repository that it is wanted for.
    NeedsRight,
    Nothing,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Meta(#[from] MetaError),
}

impl Fills {
    /// What this replica fills, or has, of a digest. With a repository only what is visible there: who asks has no other
    /// proof. Dropping the future leaves the fill running.
    pub async fn share(
        &self,
        digest: &Digest,
        repository: Option<&Name>,
    ) -> Result<Shared, ShareError> {
        let filling = self.lock().get(digest).map(|fill| {
            let is_for = |name: &Name| fill.repositories.contains(name);
            (fill.enter(), repository.is_none_or(is_for))
        });
        if let Some((entry, is_visible)) = filling {
            if !is_visible {
                return Ok(Shared::NeedsRight);
            }
            match timeout(FIRST_BYTES_TIMEOUT, first_bytes(entry.phase.clone())).await {
                Ok(Ok(First::Bytes(tail))) => return Ok(Shared::Content(Content::Filling(tail))),
                Ok(Ok(First::Stored)) => {}
                Ok(Ok(First::NoRoom | First::NeedsRight) | Err(_)) | Err(_) => {
                    return Ok(Shared::Nothing);
                }
            }
        }
        self.share_stored(digest, repository).await
    }

    /// As [`share`](Self::share), without what is only on its way.
    pub async fn share_stored(
        &self,
        digest: &Digest,
        repository: Option<&Name>,
    ) -> Result<Shared, ShareError> {
        let Some(blob) = self.inner.store.get(digest).await? else {
            return Ok(Shared::Nothing);
        };
        if let Some(repository) = repository
            && !self.inner.meta.blob_linked(repository, digest).await?
        {
            return Ok(Shared::NeedsRight);
        }
        Ok(Shared::Content(Content::Stored(blob)))
    }
}
