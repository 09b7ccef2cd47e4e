//! Reads everything and compares it with its digest: finds what changed without anybody's doing, as on a failing disk.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use tokio::sync::Mutex;

use crate::{
    oci::{Algorithm, Digest},
    store::{Blob, Store},
    transfer::{Fills, ReconcileError, Reconciled},
};

/// What is read per second, on average.
pub const DEFAULT_BYTES_PER_SECOND: u64 = 50 * 1024 * 1024;

/// How many damaged blobs a report names.
const NAMED: usize = 1000;

/// What one run has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub blobs: u64,
    pub bytes: u64,
    /// Were deleted and are fetched anew when they are wanted; the first thousand of them.
    pub damaged: Vec<Digest>,
    /// Files that no row told of; they were deleted, too.
    pub strays: u64,
}

/// Reads all blobs at a bounded rate, never twice at once; cheap to clone.
#[derive(Clone)]
pub struct Scrubber {
    store: Store,
    fills: Fills,
    bytes_per_second: u64,
    running: Arc<Mutex<()>>,
}

impl Scrubber {
    pub fn new(store: Store, fills: Fills, bytes_per_second: u64) -> Self {
        Self {
            store,
            fills,
            bytes_per_second: bytes_per_second.max(1),
            running: Arc::default(),
        }
    }

    /// Reads every blob once; waits for a run that is under way. What is damaged goes, with the rows that say that it is
    /// here. May be dropped.
    pub async fn run_once(&self) -> Result<Scrubbed, ReconcileError> {
        let _alone = self.running.lock().await;
        let mut scrubbed = Scrubbed::default();
        let mut pace = Pace::new(self.bytes_per_second);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for first in 0..=u8::MAX {
                for digest in self.store.blobs_in(algorithm, first).await? {
                    self.scrub(&digest, &mut pace, &mut scrubbed).await?;
                }
            }
        }
        let (damaged, strays) = (scrubbed.damaged.len(), scrubbed.strays);
        tracing::info!(
            blobs = scrubbed.blobs,
            bytes = scrubbed.bytes,
            damaged,
            strays,
            "scrubbed the store: {damaged} blobs were damaged"
        );
        Ok(scrubbed)
    }

    async fn scrub(
        &self,
        digest: &Digest,
        pace: &mut Pace,
        scrubbed: &mut Scrubbed,
    ) -> Result<(), ReconcileError> {
        let Some(blob) = self.store.peek(digest).await? else {
            return Ok(());
        };
        scrubbed.blobs += 1;
        scrubbed.bytes += blob.len();
        let is_right = matches!(hash(&blob, digest, pace).await, Ok(actual) if actual == *digest);
        if !is_right
            && self.store.distrust(digest).await?.is_none()
            && scrubbed.damaged.len() < NAMED
        {
            scrubbed.damaged.push(digest.clone());
        }
        if self.fills.reconcile(digest).await? == Reconciled::FileDeleted {
            scrubbed.strays += 1;
        }
        Ok(())
    }
}

async fn hash(blob: &Blob, digest: &Digest, pace: &mut Pace) -> std::io::Result<Digest> {
    let mut hasher = digest.algorithm().hasher();
    let mut body = blob.body(0..blob.len());
    while let Some(frame) = body.frame().await {
        let bytes = frame?.into_data().unwrap_or_default();
        pace.wait(bytes.len() as u64).await;
        hasher = tokio::task::spawn_blocking(move || {
            hasher.update(&bytes);
            hasher
        })
        .await
        .expect("hashing does not panic, and is not aborted");
    }
    Ok(hasher.finish())
}

/// Keeps an average rate.
struct Pace {
    bytes_per_second: u64,
    started: Instant,
    bytes: u64,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            started: Instant::now(),
            bytes: 0,
        }
    }

    async fn wait(&mut self, bytes: u64) {
        self.bytes += bytes;
        let micros = u128::from(self.bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        let due = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let early = due.saturating_sub(self.started.elapsed());
        // Shorter pauses are taken together.
        if early > Duration::from_millis(10) {
            tokio::time::sleep(early).await;
        }
    }
}
