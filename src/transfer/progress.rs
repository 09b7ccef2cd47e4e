//! When a fill whose remote broke asks again, and when it gives up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use super::{FillError, FillRequest, origin::OriginError};

/// How often a remote may say "not there" in the middle of a blob before it is believed.
const ANSWERS_BELIEVED: u32 = 3;

/// Gives up when no byte has come for a while.
pub(super) struct ProgressClock {
    retry_for: Duration,
    last_progress: Instant,
    delays: backon::ExponentialBackoff,
    answers: u32,
}

impl ProgressClock {
    pub(super) fn new(retry_for: Duration) -> Self {
        Self {
            retry_for,
            last_progress: Instant::now(),
            delays: delays(),
            answers: 0,
        }
    }

    /// Waits before the next try, or returns the error that ends the fill.
    pub(super) async fn wait_or_give_up(
        &mut self,
        error: OriginError,
        progressed: bool,
        request: &FillRequest,
    ) -> Result<(), FillError> {
        if progressed {
            self.last_progress = Instant::now();
            self.delays = delays();
            self.answers = 0;
        }
        self.answers += u32::from(error.is_answer());
        // What the remote asks for may be nothing at all.
        let delay = self
            .delays
            .next()
            .unwrap_or(MAX_DELAY)
            .max(error.retry_after().unwrap_or_default());
        let gives_up = self.answers >= ANSWERS_BELIEVED
            || self.last_progress.elapsed() + delay > self.retry_for;
        if gives_up {
            return Err(error.into());
        }
        tracing::warn!(
            digest = %request.digest,
            remote = request.origin.name(),
            %error,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "a fill broke and goes on"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

const MAX_DELAY: Duration = Duration::from_secs(5);

fn delays() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}
