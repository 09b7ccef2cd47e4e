//! Sums over all projects and remotes since the start of the process, for those who want one number.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Requests for content by how they were answered, and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub hits: u64,
    pub misses: u64,
    pub joined: u64,
    pub stale: u64,
    pub bypassed: u64,
    /// Answered with 404.
    pub absent: u64,
    pub errors: u64,
    pub bytes_from_remotes: u64,
    pub bytes_to_clients: u64,
}

/// The sums while they grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    stale: AtomicU64,
    bypassed: AtomicU64,
    absent: AtomicU64,
    errors: AtomicU64,
    pub(super) bytes_from_remotes: AtomicU64,
    pub(super) bytes_to_clients: AtomicU64,
}

impl Counters {
    /// `outcome` as in `entrepot_requests_total`.
    pub(super) fn request(&self, outcome: &str) {
        let counter = match outcome {
            "hit" => &self.hits,
            "miss" => &self.misses,
            "joined" => &self.joined,
            "stale" => &self.stale,
            "bypass" => &self.bypassed,
            "absent" => &self.absent,
            _ => &self.errors,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Totals {
        Totals {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            joined: self.joined.load(Relaxed),
            stale: self.stale.load(Relaxed),
            bypassed: self.bypassed.load(Relaxed),
            absent: self.absent.load(Relaxed),
            errors: self.errors.load(Relaxed),
            bytes_from_remotes: self.bytes_from_remotes.load(Relaxed),
            bytes_to_clients: self.bytes_to_clients.load(Relaxed),
        }
    }
}
