//! A registry that content is sent to, with what is known to be there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::{
    client::RegistryClient,
    oci::{Digest, Name},
};

const MAX_BLOBS: u64 = 100_000;
/// What was there may be cleaned up by the destination.
const BELIEVED_FOR: Duration = Duration::from_mins(10);

/// One registry to send to; clones are one. It is kept as long as things are sent there: it remembers which blobs are in
/// which repositories, so that a blob that several images share is sent once, and mounted into the other repositories.
#[derive(Clone)]
pub struct Destination(Arc<Inner>);

struct Inner {
    client: RegistryClient,
    blobs: Cache<Digest, Arc<Mutex<Places>>>,
    /// Largest body that it took when it refused larger ones; 0: it refused none.
    piece_bytes: AtomicU64,
}

/// The repositories that have a blob. Whoever sends it holds the lock: those who want it in another repository wait, and
/// mount it then.
#[derive(Debug, Default)]
pub(super) struct Places(pub(super) Vec<Name>);

impl Destination {
    pub fn new(client: &RegistryClient) -> Self {
        Self(Arc::new(Inner {
            client: client.pushing(),
            blobs: Cache::builder()
                .max_capacity(MAX_BLOBS)
                .time_to_live(BELIEVED_FOR)
                .build(),
            piece_bytes: AtomicU64::new(0),
        }))
    }

    /// Asks with the rights to push.
    pub fn client(&self) -> &RegistryClient {
        &self.0.client
    }

    pub(super) fn places(&self, digest: &Digest) -> Arc<Mutex<Places>> {
        self.0.blobs.get_with_by_ref(digest, Arc::default)
    }

    /// Believes nothing of this blob any more.
    pub(super) fn forget(&self, digest: &Digest) {
        self.0.blobs.invalidate(digest);
    }

    /// The largest body to send, if one is known.
    pub(super) fn piece_bytes(&self) -> Option<u64> {
        Some(self.0.piece_bytes.load(Relaxed)).filter(|bytes| *bytes > 0)
    }

    pub(super) fn takes_pieces_of(&self, bytes: u64) {
        self.0.piece_bytes.store(bytes, Relaxed);
    }
}
