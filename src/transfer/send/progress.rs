//! What a transfer has done so far, for those who watch it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts that go up while something is sent; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes_total: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_skipped: AtomicU64,
    blobs_sent: AtomicU64,
    blobs_mounted: AtomicU64,
    blobs_present: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of all blobs that were found to belong to it so far.
    pub bytes_total: u64,
    /// Read from the source and handed over to the destination; goes back when some must be sent once more.
    pub bytes_sent: u64,
    /// Of blobs that were there, or were mounted.
    pub bytes_skipped: u64,
    pub blobs_sent: u64,
    pub blobs_mounted: u64,
    pub blobs_present: u64,
}

/// How a blob came to be at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    Present,
    Mounted,
    Sent,
}

impl Progress {
    pub fn read(&self) -> Counted {
        let counts = &self.0;
        Counted {
            bytes_total: counts.bytes_total.load(Relaxed),
            bytes_sent: counts.bytes_sent.load(Relaxed),
            bytes_skipped: counts.bytes_skipped.load(Relaxed),
            blobs_sent: counts.blobs_sent.load(Relaxed),
            blobs_mounted: counts.blobs_mounted.load(Relaxed),
            blobs_present: counts.blobs_present.load(Relaxed),
        }
    }

    pub(super) fn found(&self, bytes: u64) {
        self.0.bytes_total.fetch_add(bytes, Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.0.bytes_sent.fetch_add(bytes, Relaxed);
    }

    /// So many bytes were sent for nothing.
    pub(super) fn lost(&self, bytes: u64) {
        self.0.bytes_sent.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn placed(&self, how: Placed, bytes: u64) {
        let count = match how {
            Placed::Sent => &self.0.blobs_sent,
            Placed::Mounted => &self.0.blobs_mounted,
            Placed::Present => &self.0.blobs_present,
        };
        count.fetch_add(1, Relaxed);
        if how != Placed::Sent {
            self.0.bytes_skipped.fetch_add(bytes, Relaxed);
        }
    }
}
