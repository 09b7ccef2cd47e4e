//! When to ask again, and what the failures of several URLs mean together. Pure decisions, and the deadline they look at.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use http::{HeaderMap, header};
use tokio::time::Instant;

use super::{ErrorKind, Patience, error::Failure};
use crate::config;

/// As long as container runtimes wait without progress.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(5);

/// Until when one operation may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) patience: Patience,
    /// What was granted for the answer, for messages.
    pub(super) granted: Duration,
    answer: Instant,
    /// Until when a document must be here as a whole.
    pub(super) whole: Instant,
}

impl Deadline {
    pub(super) fn new(remote: &config::Remote, patience: Patience) -> Self {
        let (granted, body) = match patience {
            Patience::Full => (remote.header_timeout, remote.retry_for),
            Patience::Short => (remote.answer_timeout, Duration::ZERO),
        };
        let answer = Instant::now() + granted;
        Self {
            patience,
            granted,
            answer,
            whole: answer + body,
        }
    }

    /// How long to wait for a place among the remote's connections.
    pub(super) fn queue(&self) -> Duration {
        match self.patience {
            Patience::Full => QUEUE_TIMEOUT,
            Patience::Short => self.remaining(),
        }
    }

    /// Takes the time in that queue out of the account of who has nothing else to serve.
    pub(super) fn queued(&mut self, waited: Duration) {
        if self.patience == Patience::Full {
            self.answer += waited;
            self.whole += waited;
        }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.answer.saturating_duration_since(Instant::now())
    }
}

/// The waits between a handful of tries; few of them when something cached is waiting to be served.
pub(super) fn delays(patience: Patience) -> impl Iterator<Item = Duration> + Send {
    let times = match patience {
        Patience::Full => 4,
        Patience::Short => 2,
    };
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(times)
        .with_jitter()
        .build()
}

/// How long to wait before the next try; `None`: give up now.
pub(super) fn wait_before_next(
    failure: &Failure,
    delay: Option<Duration>,
    remaining: Duration,
) -> Option<Duration> {
    if !failure.again {
        return None;
    }
    let asked = failure.error.retry_after.unwrap_or_default();
    let wait = delay?.max(asked);
    (wait < remaining).then_some(wait)
}

/// What the failures of two URLs of one remote mean together, in their order. The later one decides, but "not found"
/// stands only if no URL that answered said otherwise; one that did not answer has no say.
pub(super) fn merge(earlier: Option<Failure>, later: Failure) -> Failure {
    match earlier {
        Some(earlier)
            if later.error.kind == ErrorKind::NotFound
                && earlier.error.kind != ErrorKind::NotFound
                && earlier.error.status.is_some() =>
        {
            earlier
        }
        _ => later,
    }
}

/// `Retry-After` as seconds, a date, or (Docker Hub) a Unix time.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    const UNIX_TIMES: u64 = 1_000_000_000;
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let until = match text.parse::<u64>() {
        Ok(seconds) if seconds < UNIX_TIMES => return Some(Duration::from_secs(seconds)),
        Ok(unix) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(unix))?,
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::ClientError;

    const SECOND: Duration = Duration::from_secs(1);

    fn failure(kind: ErrorKind, status: Option<u16>) -> Failure {
        let mut error = ClientError::new(kind, &Arc::from("r"), "");
        error.status = status;
        Failure::again(error)
    }

    #[test]
    fn the_wait_is_the_longer_of_ours_and_theirs_if_it_fits() {
        let mut unavailable = failure(ErrorKind::Unreachable, Some(503));
        assert_eq!(
            wait_before_next(&unavailable, Some(SECOND), 9 * SECOND),
            Some(SECOND)
        );
        assert_eq!(wait_before_next(&unavailable, Some(SECOND), SECOND), None);
        assert_eq!(wait_before_next(&unavailable, None, 9 * SECOND), None);
        unavailable.error.retry_after = Some(3 * SECOND);
        assert_eq!(
            wait_before_next(&unavailable, Some(SECOND), 9 * SECOND),
            Some(3 * SECOND)
        );
        assert_eq!(
            wait_before_next(&unavailable, Some(SECOND), 2 * SECOND),
            None
        );
        unavailable.again = false;
        assert_eq!(
            wait_before_next(&unavailable, Some(SECOND), 9 * SECOND),
            None
        );
    }

    #[test]
    fn not_found_stands_only_if_all_that_answered_said_so() {
        let kind = |earlier: Failure, later: Failure| merge(Some(earlier), later).error.kind;
        let missing = || failure(ErrorKind::NotFound, Some(404));
        let dead = || failure(ErrorKind::Unreachable, None);
        let broken = || failure(ErrorKind::Unreachable, Some(503));
        let denied = || failure(ErrorKind::Denied, Some(403));
        assert_eq!(kind(missing(), missing()), ErrorKind::NotFound);
        assert_eq!(kind(dead(), missing()), ErrorKind::NotFound);
        assert_eq!(kind(missing(), dead()), ErrorKind::Unreachable);
        assert_eq!(kind(broken(), missing()), ErrorKind::Unreachable);
        assert_eq!(kind(denied(), missing()), ErrorKind::Denied);
    }

    #[test]
    fn retry_after_is_seconds_a_date_or_a_unix_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(read("7"), Some(7 * SECOND));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(10 * SECOND));
        assert_eq!(read("1700000000"), Some(Duration::from_secs(915_888_233)));
        assert_eq!(read("soon"), None);
    }
}
