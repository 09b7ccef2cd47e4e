//! How much is measured. The whole run is to stay under half an hour.

use std::time::Duration;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

pub(crate) struct Plan {
    pub(crate) is_quick: bool,
    pub(crate) cold_bytes: usize,
    /// Rounds with the remote unlimited, and behind each of the two links.
    pub(crate) cold_rounds: ColdRounds,
    pub(crate) crowd_bytes: usize,
    pub(crate) crowd_rounds: usize,
    pub(crate) hit_bytes: Vec<usize>,
    pub(crate) hit_rounds: usize,
    /// How long one visit of one server for one object is timed.
    pub(crate) hit_window: Duration,
    pub(crate) slow_bytes: usize,
    /// How long the slow readers of one server read.
    pub(crate) slow_window: Duration,
    /// Rows of blobs in a large store, and how many of them are evicted.
    pub(crate) rows: usize,
    pub(crate) rows_evicted: usize,
    pub(crate) rows_starts: usize,
    /// How many orphans are cleaned up among all the rows, and how often.
    pub(crate) orphans: usize,
    pub(crate) orphan_rounds: usize,
    pub(crate) push_bytes: usize,
    pub(crate) push_rounds: usize,
    /// Of one repository.
    pub(crate) tags: usize,
    pub(crate) tags_rounds: usize,
    /// That are asked for in a round, at each place of the list.
    pub(crate) tags_pages: usize,
    /// How much smaller the layers of the images are that are replicated.
    pub(crate) replication_divisor: usize,
    pub(crate) replication_rounds: usize,
    /// Images that are pushed one by one.
    pub(crate) delivery_pushes: usize,
    /// Tags that are pushed within a minute.
    pub(crate) delivery_tags: usize,
    /// How long the steady load on a large store runs while nothing else goes on.
    pub(crate) rows_window: Duration,
}

pub(crate) struct ColdRounds {
    pub(crate) unlimited: usize,
    pub(crate) slow: usize,
    pub(crate) distant: usize,
}

impl Plan {
    pub(crate) fn full() -> Self {
        Self {
            is_quick: false,
            cold_bytes: 256 * MIB,
            cold_rounds: ColdRounds {
                unlimited: 5,
                slow: 2,
                distant: 3,
            },
            crowd_bytes: 200 * MIB,
            crowd_rounds: 3,
            hit_bytes: vec![16 * KIB, 64 * KIB, MIB, 16 * MIB, 256 * MIB],
            hit_rounds: 4,
            hit_window: Duration::from_millis(600),
            slow_bytes: 100 * MIB,
            slow_window: Duration::from_secs(12),
            rows: 1_000_000,
            rows_evicted: 10_000,
            rows_starts: 5,
            orphans: 2_000,
            orphan_rounds: 3,
            push_bytes: 256 * MIB,
            push_rounds: 5,
            tags: 100_000,
            tags_rounds: 5,
            tags_pages: 500,
            replication_divisor: 1,
            replication_rounds: 1,
            delivery_pushes: 100,
            delivery_tags: 10_000,
            rows_window: Duration::from_secs(10),
        }
    }

    pub(crate) fn quick() -> Self {
        Self {
            is_quick: true,
            cold_bytes: 32 * MIB,
            cold_rounds: ColdRounds {
                unlimited: 3,
                slow: 1,
                distant: 1,
            },
            crowd_bytes: 16 * MIB,
            crowd_rounds: 1,
            hit_rounds: 3,
            hit_window: Duration::from_millis(200),
            slow_bytes: 16 * MIB,
            slow_window: Duration::from_secs(4),
            rows: 100_000,
            rows_evicted: 1_000,
            rows_starts: 1,
            orphans: 500,
            orphan_rounds: 1,
            push_bytes: 32 * MIB,
            push_rounds: 3,
            tags_rounds: 3,
            tags_pages: 100,
            replication_divisor: 10,
            replication_rounds: 1,
            delivery_pushes: 10,
            delivery_tags: 1_000,
            rows_window: Duration::from_secs(3),
            ..Self::full()
        }
    }
}
