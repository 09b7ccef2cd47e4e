//! Guessing is slowed: after some wrong passwords one has to wait before the next is looked at, longer each time. By source
//! and name together, by source alone (many names tried from one place) and, gently, by name alone (one name tried from many
//! places): who has the right password is not to be locked out by strangers.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use moka::{future::Cache, ops::compute::Op};
use tokio::time::Instant;

use super::Source;

/// A bounded memory: the least used are forgotten first.
const REMEMBERED: u64 = 50_000;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// How one kind of repetition is slowed.
struct Rule {
    /// Wrong passwords that cost nothing.
    free: u32,
    longest: Duration,
}

const PAIR: Rule = Rule {
    free: 5,
    longest: Duration::from_secs(60),
};
const SOURCE: Rule = Rule {
    free: 50,
    longest: Duration::from_secs(60),
};
const NAME: Rule = Rule {
    free: 50,
    longest: Duration::from_secs(2),
};

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// What was wrong lately.
pub(super) struct Throttle {
    pairs: Cache<(Source, u64), Failures>,
    sources: Cache<Source, Failures>,
    names: Cache<u64, Failures>,
    /// Names are kept as hashes: they may be passwords that somebody typed into the wrong field.
    hasher: RandomState,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            pairs: cache(),
            sources: cache(),
            names: cache(),
            hasher: RandomState::new(),
        }
    }

    /// How long this source must wait before a password for this name is looked at; `None`: not at all.
    pub(super) async fn wait(&self, source: Source, name: &str) -> Option<Duration> {
        let name = self.hasher.hash_one(name);
        let waits = [
            PAIR.wait(self.pairs.get(&(source, name)).await),
            SOURCE.wait(self.sources.get(&source).await),
            NAME.wait(self.names.get(&name).await),
        ];
        waits.into_iter().flatten().max()
    }

    /// Notes a wrong password; how many there were now from this source for this name.
    pub(super) async fn failed(&self, source: Source, name: &str) -> u32 {
        let name = self.hasher.hash_one(name);
        count(&self.sources, source).await;
        count(&self.names, name).await;
        count(&self.pairs, (source, name)).await
    }

    /// Notes that this source has the right password for this name.
    pub(super) async fn succeeded(&self, source: Source, name: &str) {
        let name = self.hasher.hash_one(name);
        self.pairs.invalidate(&(source, name)).await;
    }
}

impl Rule {
    fn wait(&self, failures: Option<Failures>) -> Option<Duration> {
        let failures = failures?;
        let beyond = failures.count.checked_sub(self.free)?;
        let wait = Duration::from_secs(1 << beyond.min(16)).min(self.longest);
        let left = wait.saturating_sub(failures.last.elapsed());
        (!left.is_zero()).then_some(left)
    }
}

fn cache<K>() -> Cache<K, Failures>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(REMEMBERED)
        .time_to_idle(FORGOTTEN_AFTER)
        .build()
}

async fn count<K>(cache: &Cache<K, Failures>, key: K) -> u32
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
{
    let counted = cache.entry(key).and_compute_with(async |entry| {
        let count = entry.map_or(0, |entry| entry.into_value().count);
        Op::Put(Failures {
            count: count.saturating_add(1),
            last: Instant::now(),
        })
    });
    let counted = counted.await.into_entry();
    counted.map_or(0, |entry| entry.into_value().count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    async fn fail(throttle: &Throttle, source: Source, name: &str, times: u32) {
        for _ in 0..times {
            throttle.failed(source, name).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_typos_cost_nothing_and_then_each_costs_twice_the_time() {
        let throttle = Throttle::new();
        let wait = async || throttle.wait(source(1), "ann").await.unwrap_or_default();
        fail(&throttle, source(1), "ann", 4).await;
        assert_eq!(wait().await, Duration::ZERO);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            fail(&throttle, source(1), "ann", 1).await;
            assert_eq!(wait().await, Duration::from_secs(seconds));
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(wait().await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn others_do_not_pay_for_it() {
        let throttle = Throttle::new();
        fail(&throttle, source(1), "ann", 20).await;
        assert_eq!(throttle.wait(source(2), "ann").await, None);
        assert_eq!(throttle.wait(source(1), "bob").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_source_that_tries_many_names_is_slowed() {
        let throttle = Throttle::new();
        for index in 0..60 {
            fail(&throttle, source(1), &format!("user{index}"), 1).await;
        }
        assert!(throttle.wait(source(1), "another").await.is_some());
        assert_eq!(throttle.wait(source(2), "another").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_tried_from_everywhere_is_slowed_a_little() {
        let throttle = Throttle::new();
        for last in 0..100 {
            fail(&throttle, source(last), "ann", 1).await;
        }
        let wait = throttle.wait(source(200), "ann").await.unwrap();
        assert!(wait <= NAME.longest, "{wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_password_clears_the_typos() {
        let throttle = Throttle::new();
        fail(&throttle, source(1), "ann", 6).await;
        throttle.succeeded(source(1), "ann").await;
        assert_eq!(throttle.wait(source(1), "ann").await, None);
    }
}
