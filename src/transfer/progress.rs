//! When a fill whose remote broke asks again, and when it gives up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use super::{FillError, FillRequest, origin::OriginError};

/// How often a remote may say "not there" in the middle of a blob, and nothing else, before it is believed.
const ANSWERS_BELIEVED: u32 = 3;
/// And for how long, if `retry_for` is not shorter: of several servers behind one name, one may be late.
const ANSWERS_BELIEVED_AFTER: Duration = Duration::from_secs(10);

/// Gives up when no byte has come for a while.
pub(super) struct ProgressClock {
    retry_for: Duration,
    last_progress: Instant,
    delays: backon::ExponentialBackoff,
    /// In a row.
    answers: u32,
    first_answer: Instant,
}

impl ProgressClock {
    pub(super) fn new(retry_for: Duration) -> Self {
        Self {
            retry_for,
            last_progress: Instant::now(),
            delays: delays(),
            answers: 0,
            first_answer: Instant::now(),
        }
    }

    /// Waits before the next try, or returns the error that ends the fill.
    pub(super) async fn wait_or_give_up(
        &mut self,
        error: OriginError,
        progressed: bool,
        request: &FillRequest,
    ) -> Result<(), FillError> {
        let Some(delay) = self.next_delay(&error, progressed) else {
            return Err(error.into());
        };
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

    /// `None`: it is time to give up.
    fn next_delay(&mut self, error: &OriginError, progressed: bool) -> Option<Duration> {
        if progressed {
            self.last_progress = Instant::now();
            self.delays = delays();
        }
        // What the remote asks for may be nothing at all.
        let delay = self
            .delays
            .next()
            .unwrap_or(MAX_DELAY)
            .max(error.retry_after().unwrap_or_default());
        let gives_up = self.is_believed(error, progressed)
            || self.last_progress.elapsed() + delay > self.retry_for;
        (!gives_up).then_some(delay)
    }

    /// Has the remote said "not there" often enough, and for long enough?
    fn is_believed(&mut self, error: &OriginError, progressed: bool) -> bool {
        if progressed || !error.is_answer() {
            self.answers = 0;
        }
        if !error.is_answer() {
            return false;
        }
        if self.answers == 0 {
            self.first_answer = Instant::now();
        }
        self.answers += 1;
        let long = ANSWERS_BELIEVED_AFTER.min(self.retry_for);
        self.answers >= ANSWERS_BELIEVED && self.first_answer.elapsed() >= long
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::client::{ClientError, ErrorKind};

    const SECOND: Duration = Duration::from_secs(1);

    fn error(kind: ErrorKind) -> OriginError {
        OriginError::Remote(ClientError {
            kind,
            remote: "r".into(),
            message: String::new(),
            status: None,
            retry_after: None,
            tag_state: None,
        })
    }

    /// How long it takes until these errors, again and again, are the end.
    async fn patience(retry_for: Duration, errors: &[ErrorKind]) -> Duration {
        let (mut clock, begun) = (ProgressClock::new(retry_for), Instant::now());
        for kind in errors.iter().cycle() {
            let Some(delay) = clock.next_delay(&error(*kind), false) else {
                break;
            };
            advance(delay).await;
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_remote_that_says_not_there_is_believed_when_it_has_for_some_seconds() {
        let not_found = [ErrorKind::NotFound];
        let waited = patience(60 * SECOND, &not_found).await;
        assert!((10 * SECOND..20 * SECOND).contains(&waited), "{waited:?}");
        let waited = patience(2 * SECOND, &not_found).await;
        assert!(waited <= 2 * SECOND, "{waited:?}");
        // One of several servers is late, and the others have trouble of another kind.
        let waited = patience(60 * SECOND, &[ErrorKind::NotFound, ErrorKind::Unreachable]).await;
        assert!(waited > 45 * SECOND, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_makes_it_forget_what_was_said() {
        let mut clock = ProgressClock::new(60 * SECOND);
        for _ in 0..20 {
            let delay = clock.next_delay(&error(ErrorKind::NotFound), true);
            assert!(delay.is_some());
            advance(9 * SECOND).await;
        }
    }
}
