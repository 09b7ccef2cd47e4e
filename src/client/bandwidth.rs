//! Bytes per second over all bodies that share them, foreground before background; can be changed while they run.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::time::Instant;

use super::Priority;

/// How long background transfers stand back once a foreground one had to wait for its share.
const STAND_BACK: Duration = Duration::from_millis(200);

/// Bytes per second over all bodies that share it.
pub struct Bandwidth {
    /// `None`: as many as there can be.
    limit: ArcSwapOption<Limit>,
    /// How many processes share it: each byte of one costs as many.
    replicas: AtomicU32,
    began: Instant,
    /// Milliseconds since `began` until which background transfers stand back.
    stand_back_until: AtomicU64,
}

struct Limit {
    bytes_per_second: u64,
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    burst: NonZeroU32,
}

impl Limit {
    fn new(bytes_per_second: u64) -> Self {
        let rate = u32::try_from(bytes_per_second).unwrap_or(u32::MAX);
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        // A tenth of a second at once: smooth, and few wake-ups.
        let burst = NonZeroU32::new(rate.get() / 10).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self {
            bytes_per_second,
            limiter: RateLimiter::direct(quota),
            clock: DefaultClock::default(),
            burst,
        }
    }
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Bandwidth {
    /// `None`: as many as there can be.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            limit: ArcSwapOption::new(bytes_per_second.map(Limit::new).map(Arc::new)),
            replicas: AtomicU32::new(1),
            began: Instant::now(),
            stand_back_until: AtomicU64::new(0),
        }
    }

    /// Holds at once, for running transfers too.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let limit = self.limit.load();
        let now = limit.as_deref().map(|limit| limit.bytes_per_second);
        if now != bytes_per_second {
            self.limit
                .store(bytes_per_second.map(Limit::new).map(Arc::new));
        }
    }

    /// This process has one of so many shares.
    pub(super) fn set_share(&self, replicas: u32) {
        self.replicas.store(replicas, Ordering::Relaxed);
    }

    /// How many of `wanted` bytes may pass now, or how long to wait before asking again. The background has what the
    /// foreground leaves: nothing while somebody of the foreground waits.
    pub fn take(&self, wanted: usize, priority: Priority) -> Result<usize, Duration> {
        let limit = self.limit.load();
        let Some(limit) = limit.as_deref() else {
            return Ok(wanted);
        };
        if priority == Priority::Background {
            self.stand_back()?;
        }
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let replicas = self.replicas.load(Ordering::Relaxed).max(1);
        let piece = wanted.min((limit.burst.get() / replicas).max(1));
        let cost = piece.saturating_mul(replicas).min(limit.burst.get());
        let Some(cost) = NonZeroU32::new(cost) else {
            return Ok(0);
        };
        match limit.limiter.check_n(cost) {
            Ok(Ok(())) => Ok(piece as usize),
            Ok(Err(not_yet)) => {
                let wait = not_yet.wait_time_from(limit.clock.now());
                if priority == Priority::Foreground {
                    self.hold_background_back(wait + STAND_BACK);
                }
                Err(wait)
            }
            Err(_) => unreachable!("a piece is never larger than the burst"),
        }
    }

    fn stand_back(&self) -> Result<(), Duration> {
        let until = self.stand_back_until.load(Ordering::Relaxed);
        match until.checked_sub(self.elapsed_ms()) {
            None | Some(0) => Ok(()),
            Some(left) => Err(Duration::from_millis(left)),
        }
    }

    fn hold_background_back(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.elapsed_ms().saturating_add(time);
        self.stand_back_until.fetch_max(until, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREGROUND: Priority = Priority::Foreground;
    const BACKGROUND: Priority = Priority::Background;

    #[tokio::test]
    async fn a_burst_passes_at_once_and_the_rest_waits() {
        let bandwidth = Bandwidth::new(Some(1000));
        assert_eq!(bandwidth.take(0, FOREGROUND), Ok(0));
        assert_eq!(bandwidth.take(5000, FOREGROUND), Ok(100));
        let wait = bandwidth.take(5000, FOREGROUND).unwrap_err();
        assert!(wait <= Duration::from_millis(100) && wait > Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn the_background_has_the_bandwidth_that_the_foreground_leaves() {
        let bandwidth = Bandwidth::new(Some(1_000_000));
        assert_eq!(bandwidth.take(10, FOREGROUND), Ok(10));
        assert_eq!(bandwidth.take(10, BACKGROUND), Ok(10));
        assert!(bandwidth.take(200_000, FOREGROUND).is_err());
        let wait = bandwidth.take(1, BACKGROUND).unwrap_err();
        assert!(wait >= STAND_BACK, "{wait:?}");
        // It alone does not hold itself back.
        tokio::time::advance(wait).await;
        assert!(bandwidth.stand_back().is_ok());
    }

    #[tokio::test]
    async fn what_is_changed_holds_at_once() {
        let bandwidth = Bandwidth::new(None);
        assert_eq!(bandwidth.take(5000, FOREGROUND), Ok(5000));
        bandwidth.set(Some(1000));
        assert_eq!(bandwidth.take(5000, FOREGROUND), Ok(100));
        assert!(bandwidth.take(5000, FOREGROUND).is_err());
        // The same again gives nobody more.
        bandwidth.set(Some(1000));
        assert!(bandwidth.take(5000, FOREGROUND).is_err());
        bandwidth.set(None);
        assert_eq!(bandwidth.take(5000, BACKGROUND), Ok(5000));
    }
}
