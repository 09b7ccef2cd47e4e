//! What one remote may take of us at once: connections and bytes per second.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;

/// The limits of one remote, shared by all its requests.
#[derive(Clone)]
pub(super) struct Limits {
    connections: Option<Arc<Semaphore>>,
    pub(super) bandwidth: Option<Arc<Bandwidth>>,
}

impl Limits {
    pub(super) fn new(remote: &config::Remote) -> Self {
        let connections = remote
            .max_connections
            .map(|n| Arc::new(Semaphore::new(n as usize)));
        let bandwidth = remote
            .bandwidth
            .map(|bytes| Arc::new(Bandwidth::new(bytes)));
        Self {
            connections,
            bandwidth,
        }
    }

    /// A place among `max_connections`, kept until the answer's body is gone.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let connections = Arc::clone(self.connections.as_ref()?);
        let permit = connections.acquire_owned().await;
        Some(permit.expect("the semaphore is never closed"))
    }
}

/// Bytes per second over all bodies of a remote.
pub(super) struct Bandwidth {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    burst: NonZeroU32,
}

impl Bandwidth {
    fn new(bytes_per_second: u64) -> Self {
        let rate = u32::try_from(bytes_per_second).unwrap_or(u32::MAX);
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        // A tenth of a second at once: smooth, and few wake-ups.
        let burst = NonZeroU32::new(rate.get() / 10).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self {
            limiter: RateLimiter::direct(quota),
            clock: DefaultClock::default(),
            burst,
        }
    }

    /// How many of `wanted` bytes may pass now, or how long to wait before asking again.
    pub(super) fn take(&self, wanted: usize) -> Result<usize, Duration> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let Some(piece) = NonZeroU32::new(wanted.min(self.burst.get())) else {
            return Ok(0);
        };
        match self.limiter.check_n(piece) {
            Ok(Ok(())) => Ok(piece.get() as usize),
            Ok(Err(not_yet)) => Err(not_yet.wait_time_from(self.clock.now())),
            Err(_) => unreachable!("a piece is never larger than the burst"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_waits() {
        let bandwidth = Bandwidth::new(1000);
        assert_eq!(bandwidth.take(0), Ok(0));
        assert_eq!(bandwidth.take(5000), Ok(100));
        let wait = bandwidth.take(5000).unwrap_err();
        assert!(wait <= Duration::from_millis(100) && wait > Duration::from_millis(50));
    }
}
