//! What the local disk keeps of content that object storage has, too: up to a budget, and as long as there is room. What
//! was not used for longest goes first; what is not in object storage yet stays.
//!
//! Files are looked through only when the budget is exceeded or room is wanted, and never held in a list: one pass counts
//! how much is how old, another one deletes what is older than that.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    meta::Meta,
    oci::{Algorithm, Digest},
    store::{LocalFile, Store},
    transfer::{ReconcileError, Tier},
};

/// How often the budget is looked at, although nothing says that it is exceeded.
const EVERY: Duration = Duration::from_hours(1);
/// After a run that could not free enough; twice as long after each further one, up to the second.
const REST_IN_VAIN: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// A budget is kept when so much of it (a twentieth) is free again.
const HEADROOM: u64 = 20;
/// Passes over all files in one run; the last one takes whatever may go.
const PASSES: usize = 4;

/// Cheap to clone.
#[derive(Clone)]
pub struct LocalTier {
    store: Store,
    meta: Meta,
    tier: Tier,
    max_bytes: u64,
    running: Arc<Mutex<()>>,
}

impl LocalTier {
    pub fn new(store: Store, meta: Meta, tier: Tier, max_bytes: u64) -> Self {
        Self {
            store,
            meta,
            tier,
            max_bytes,
            running: Arc::default(),
        }
    }

    /// Keeps the budget until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut rest = REST_IN_VAIN;
        loop {
            let Some(kept) = shutdown.run_until_cancelled(self.run_once()).await else {
                return;
            };
            let in_vain = if kept { Duration::ZERO } else { rest };
            rest = if kept {
                REST_IN_VAIN
            } else {
                LONGEST_REST.min(rest * 2)
            };
            let pause = async {
                tokio::time::sleep(in_vain).await;
                // Until then, or until the budget is exceeded.
                let exceeded = self.tier.local_over(self.max_bytes);
                let _ = tokio::time::timeout(EVERY, exceeded).await;
            };
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Frees what is over the budget. `false`: too much of it may not go yet. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> bool {
        let _alone = self.running.lock().await;
        match self.keep_budget().await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "cannot keep the budget of the local disk: {error}");
                false
            }
        }
    }

    async fn keep_budget(&self) -> Result<bool, ReconcileError> {
        let ages = self.measure().await?;
        let over = ages.total().saturating_sub(self.max_bytes);
        if over == 0 {
            return Ok(true);
        }
        let wanted = over + self.max_bytes / HEADROOM;
        Ok(self.free(ages, wanted).await? >= over)
    }

    /// Frees so many bytes of the disk, if they may go; how many it were.
    pub async fn make_room(&self, bytes: u64) -> Result<u64, ReconcileError> {
        let _alone = self.running.lock().await;
        let ages = self.measure().await?;
        self.free(ages, bytes).await
    }

    async fn measure(&self) -> Result<Ages, ReconcileError> {
        let believed = self.tier.local_believed();
        let mut ages = Ages::new();
        for (algorithm, first) in folders() {
            for file in self.store.local_files(algorithm, first).await? {
                ages.add(&file);
            }
        }
        self.tier.local_measured(ages.total(), believed);
        Ok(ages)
    }

    async fn free(&self, mut ages: Ages, wanted: u64) -> Result<u64, ReconcileError> {
        let (mut freed, mut files) = (0, 0);
        for pass in 1..=PASSES {
            let oldest = if pass == PASSES {
                0
            } else {
                ages.oldest(wanted - freed)
            };
            for (algorithm, first) in folders() {
                for file in self.store.local_files(algorithm, first).await? {
                    if freed < wanted
                        && ages.bucket(&file) >= oldest
                        && self.drop_file(&file.digest).await?
                    {
                        freed += file.len;
                        files += 1;
                    }
                }
            }
            if freed >= wanted || oldest == 0 {
                break;
            }
            ages.forget(oldest);
        }
        self.tier.local_freed(freed);
        if files > 0 {
            tracing::info!(
                files,
                bytes = freed,
                "dropped {files} local files that object storage has"
            );
        }
        Ok(freed)
    }

    /// `false`: it is needed, or in use by a writer.
    async fn drop_file(&self, digest: &Digest) -> Result<bool, ReconcileError> {
        let started = Instant::now();
        let Some(claim) = self.store.try_claim(digest) else {
            return Ok(false);
        };
        let row = self.meta.blob_object(digest).await?;
        // Without a row nobody needs it: the image was evicted, by another replica perhaps.
        if row.is_some_and(|row| row.object.is_none()) {
            return Ok(false);
        }
        self.store.delete(&claim).await?;
        drop(claim);
        // As long as the step took: half of the time is for others.
        tokio::time::sleep(started.elapsed()).await;
        Ok(true)
    }
}

/// Where blobs are.
fn folders() -> impl Iterator<Item = (Algorithm, u8)> {
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512].into_iter();
    algorithms.flat_map(|algorithm| (0..=u8::MAX).map(move |first| (algorithm, first)))
}

/// How many bytes are how old, coarsely: each bucket is a fifth older than the one before.
struct Ages {
    now: SystemTime,
    bytes: Vec<u64>,
}

/// Enough for a century.
const BUCKETS: usize = 128;

impl Ages {
    fn new() -> Self {
        Self {
            now: SystemTime::now(),
            bytes: vec![0; BUCKETS],
        }
    }

    fn bucket(&self, file: &LocalFile) -> usize {
        let age = self.now.duration_since(file.used_at).unwrap_or_default();
        bucket_of(age)
    }

    fn add(&mut self, file: &LocalFile) {
        let bucket = self.bucket(file);
        self.bytes[bucket] += file.len;
    }

    fn total(&self) -> u64 {
        self.bytes.iter().sum()
    }

    /// The youngest bucket that has to go for so many bytes, together with all older ones.
    fn oldest(&self, wanted: u64) -> usize {
        let mut bytes = 0;
        let buckets = self.bytes.iter().enumerate().rev();
        let enough = |(bucket, more): (usize, &u64)| {
            bytes += more;
            (bytes >= wanted).then_some(bucket)
        };
        buckets.map(enough).find_map(|bucket| bucket).unwrap_or(0)
    }

    /// What of these buckets may go has gone.
    fn forget(&mut self, from: usize) {
        self.bytes[from..].fill(0);
    }
}

/// Four buckets to each doubling of the age in seconds.
fn bucket_of(age: Duration) -> usize {
    let seconds = age.as_secs().saturating_add(1);
    let octave = seconds.ilog2() as usize;
    // The two bits below the highest one.
    let quarter = if octave >= 2 {
        (seconds >> (octave - 2)) & 3
    } else {
        0
    };
    (octave * 4 + usize::try_from(quarter).expect("two bits")).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_files_are_in_later_buckets() {
        let mut last = 0;
        for seconds in 0..100_000 {
            let bucket = bucket_of(Duration::from_secs(seconds));
            assert!(bucket >= last, "{seconds}");
            last = bucket;
        }
        assert_eq!(bucket_of(Duration::from_secs(0)), 0);
        assert!(bucket_of(Duration::from_secs(3_200_000_000)) < BUCKETS);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn as_much_goes_as_is_wanted_and_the_oldest_first() {
        let mut ages = Ages::new();
        let now = ages.now;
        for (days, len) in [(0, 1), (1, 10), (2, 100), (30, 1000)] {
            ages.add(&LocalFile {
                digest: Digest::sha256(b""),
                len,
                used_at: now - Duration::from_hours(24 * days),
            });
        }
        let bucket = |days: u64| bucket_of(Duration::from_hours(24 * days));
        assert_eq!(ages.total(), 1111);
        assert_eq!(ages.oldest(1), bucket(30));
        assert_eq!(ages.oldest(1000), bucket(30));
        assert_eq!(ages.oldest(1001), bucket(2));
        assert_eq!(ages.oldest(1111), 0);
        assert_eq!(ages.oldest(2000), 0);
        ages.forget(bucket(30));
        assert_eq!(ages.oldest(1), bucket(2));
    }
}
