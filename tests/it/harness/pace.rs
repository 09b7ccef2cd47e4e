//! A bandwidth limit: of one connection, or shared by all connections of a server.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    free_at: Mutex<Instant>,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// How much to send at once, so that the stream is even: about 10 ms worth.
    pub(super) fn chunk_bytes(&self) -> usize {
        usize::try_from(self.bytes_per_second / 100)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Waits until `bytes` may be sent.
    pub(super) async fn take(&self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a pace need not be exact")]
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            // 20 ms of credit: a timer that fires late must not lower the rate.
            let earliest = Instant::now().checked_sub(Duration::from_millis(20));
            let start = earliest.map_or(*free_at, |earliest| earliest.max(*free_at));
            *free_at = start + cost;
            *free_at
        };
        tokio::time::sleep_until(until).await;
    }
}
