//! How many requests a client may send in a second, if the configuration says so.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use moka::sync::Cache;

use crate::access::Source;

/// Clients that are remembered; who is forgotten starts anew.
const CLIENTS: u64 = 100_000;
const FORGOTTEN_AFTER: Duration = Duration::from_mins(2);
/// What a client that was quiet may send at once.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// The rate of each client; cheap to clone.
#[derive(Clone)]
pub(super) struct Rates {
    quota: Quota,
    clients: Cache<Source, Arc<DefaultDirectRateLimiter>>,
}

impl Rates {
    /// So many requests a second, and those of ten seconds at once.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let burst = per_second.saturating_mul(BURST_SECONDS);
        Self {
            quota: Quota::per_second(per_second).allow_burst(burst),
            clients: Cache::builder()
                .max_capacity(CLIENTS)
                .time_to_idle(FORGOTTEN_AFTER)
                .build(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// How long to wait, when it is one too many.
    pub(super) fn count(&self, client: Source) -> Result<(), Duration> {
        let fresh = || Arc::new(RateLimiter::direct(self.quota));
        let limiter = self.clients.get_with(client, fresh);
        limiter
            .check()
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_too_much_waits_and_others_do_not() {
        let rates = Rates::new(NonZeroU32::new(2).unwrap());
        let [one, other] = [1, 2].map(|last| Source::of([192, 0, 2, last].into()));
        let allowed = (0..40).filter(|_| rates.count(one).is_ok()).count();
        assert!((20..25).contains(&allowed), "{allowed}");
        let wait = rates.count(one).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(rates.count(other), Ok(()));
    }
}
