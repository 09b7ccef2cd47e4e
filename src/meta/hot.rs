//! A bounded cache of rows that are asked for on every hit.
//!
//! A read that races a write must not leave the old row behind. Keys share generation counters; a read notes its
//! key's generation *before* it looks into the database, and its entry carries that number. A write raises the
//! generation after its commit and before its answer. An entry counts only while its number is the current one:
//!
//! ```text
//!   read    generation 7 ── SELECT (old row) ─────────────────────── insert (7, old): dead on arrival
//!   write                                      COMMIT ── generation 8 ── answer
//! ```

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use moka::future::Cache;

/// Counters that keys share by hash. A collision costs one more read, never a wrong row.
const GENERATIONS: usize = 1 << 14;

/// Rows by key; absence is never kept.
pub(super) struct Hot<K, V> {
    entries: Cache<K, Entry<V>>,
    generations: Box<[AtomicU64]>,
    hasher: RandomState,
}

#[derive(Clone)]
struct Entry<V> {
    generation: u64,
    row: V,
}

impl<K, V> Hot<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache of so many rows.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            entries: Cache::new(capacity),
            generations: (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The row of this key, from memory or else from the database by `read`. May be dropped at any point.
    pub(super) async fn get_or_read<E>(
        &self,
        key: K,
        read: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, E> {
        let generation = self.generation(&key).load(Ordering::Acquire);
        if let Some(entry) = self.entries.get(&key).await
            && entry.generation == generation
        {
            return Ok(Some(entry.row));
        }
        let Some(row) = read.await? else {
            return Ok(None);
        };
        if self.generation(&key).load(Ordering::Acquire) == generation {
            let entry = Entry {
                generation,
                row: row.clone(),
            };
            // Also right when a write comes right here: then the number that the entry carries is no longer current.
            self.entries.insert(key, entry).await;
        }
        Ok(Some(row))
    }

    /// Whatever is cached, or just being read, for this key is no longer true.
    pub(super) fn outdate(&self, key: &K) {
        self.generation(key).fetch_add(1, Ordering::Release);
    }

    /// Nothing that is cached, or just being read, can be believed any more.
    pub(super) fn outdate_all(&self) {
        for generation in &self.generations {
            generation.fetch_add(1, Ordering::Release);
        }
    }

    fn generation(&self, key: &K) -> &AtomicU64 {
        let hash = self.hasher.hash_one(key);
        let slot = usize::try_from(hash % GENERATIONS as u64).expect("less than GENERATIONS");
        &self.generations[slot]
    }
}
