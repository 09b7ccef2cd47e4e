//! Manifests on their way into the store: small, and in memory already.

use bytes::Bytes;

use super::{Fills, space::Reservation};
use crate::{
    oci::{Digest, Name},
    store::{Placed, StoreError},
};

/// Content that is in place while its rows are being written. Dropped without [`settle`](Kept::settle), it goes again.
#[must_use = "the content is not settled before its rows are written"]
pub struct Kept {
    fills: Fills,
    digest: Digest,
    placed: Placed,
    room: Reservation,
}

impl Kept {
    /// The rows are written.
    pub async fn settle(self) {
        let blob = self.placed.settle().await;
        if let Some(tier) = self.fills.tier() {
            tier.arrived(&self.digest, blob.len()).await;
        }
        self.room.keep(blob.len());
    }
}

impl Fills {
    /// Puts small content into the store. `None`: there is no room, so it is only passed on.
    pub async fn put(
        &self,
        repository: &Name,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<Option<Kept>, StoreError> {
        let space = &self.inner.space;
        let room = space
            .reserve(repository.first(), bytes.len() as u64, 0)
            .await?;
        let Some(room) = room else {
            return Ok(None);
        };
        match self.inner.store.put(digest, bytes).await {
            Ok(placed) => Ok(Some(Kept {
                fills: self.clone(),
                digest: digest.clone(),
                placed,
                room,
            })),
            Err(StoreError::NoSpace { .. }) => {
                room.ran_out();
                room.discard();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
