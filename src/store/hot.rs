//! Small content in memory: the manifests that are asked for again and again.

use bytes::Bytes;
use moka::future::Cache;

use crate::oci::Digest;

/// Bytes of memory for content, at most.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;
/// What one entry costs beside its bytes.
const ENTRY_BYTES: u32 = 256;

/// Content by digest. What is in here was verified; whether it may be seen is decided by rows, not here.
pub(super) struct Hot(Cache<Digest, Bytes>);

impl Hot {
    pub(super) fn new() -> Self {
        let cost = |_digest: &Digest, bytes: &Bytes| {
            u32::try_from(bytes.len())
                .unwrap_or(u32::MAX)
                .saturating_add(ENTRY_BYTES)
        };
        Self(
            Cache::builder()
                .max_capacity(CAPACITY_BYTES)
                .weigher(cost)
                .build(),
        )
    }

    pub(super) async fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.0.get(digest).await
    }

    pub(super) async fn put(&self, digest: &Digest, bytes: Bytes) {
        self.0.insert(digest.clone(), bytes).await;
    }

    pub(super) async fn remove(&self, digest: &Digest) {
        self.0.invalidate(digest).await;
    }
}
