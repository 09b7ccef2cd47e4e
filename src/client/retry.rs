//! When to ask again, and what the failures of several URLs mean together. Pure decisions, and the deadline they look at.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use http::{HeaderMap, header};
use tokio::time::Instant;

use super::{ErrorKind, Patience, Priority, error::Failure};
use crate::config;

/// As long as container runtimes wait without progress.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(5);

/// Until when one operation may take, and what it stands back for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) patience: Patience,
    pub(super) priority: Priority,
    /// What was granted for the answer, for messages.
    pub(super) granted: Duration,
    answer: Instant,
    /// Until when a document must be here as a whole.
    pub(super) whole: Instant,
}

impl Deadline {
    pub(super) fn new(remote: &config::Remote, patience: Patience, priority: Priority) -> Self {
        let granted = remote.header_timeout;
        let answer = Instant::now() + granted;
        Self {
            patience,
            priority,
            granted,
            answer,
            whole: answer + granted.min(remote.retry_for),
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

    /// Gives back the time in which a body was read, so that one that breaks leaves time for another try.
    pub(super) fn read_for(&mut self, time: Duration) {
        self.answer = (self.answer + time).min(self.whole);
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
    deadline: &Deadline,
) -> Option<Duration> {
    // Who has something cached does not wait for a limit to pass: it is served from there.
    let limited = failure.error.kind == ErrorKind::RateLimited;
    if !failure.again || (limited && deadline.patience == Patience::Short) {
        return None;
    }
    let asked = failure.error.retry_after.unwrap_or_default();
    let wait = delay?.max(asked);
    (wait < deadline.remaining()).then_some(wait)
}

/// What the failures of a remote's URLs mean together, in their order. The later one decides, but "not found" stands
/// only if no URL that answered, be it nonsense, said otherwise; one that did not answer has no say. All may be asked again
/// if one may.
pub(super) fn merge(earlier: Option<Failure>, later: Failure) -> Failure {
    let Some(earlier) = earlier else {
        return later;
    };
    let again = earlier.again || later.again;
    let answered = earlier.error.status.is_some() || earlier.error.kind == ErrorKind::Invalid;
    let contradicted = later.error.kind == ErrorKind::NotFound
        && earlier.error.kind != ErrorKind::NotFound
        && answered;
    let decisive = if contradicted { earlier } else { later };
    Failure { again, ..decisive }
}

/// The reason to give for an operation that is given up: a last try that was cut short by the deadline says less than
/// the one before it.
pub(super) fn reason(earlier: Option<Failure>, last: Failure, cut_short: bool) -> Failure {
    match earlier {
        Some(earlier) if cut_short && last.silent && last.error.kind == ErrorKind::TimedOut => {
            earlier
        }
        _ => last,
    }
}

/// `Retry-After` as seconds, a date, or (Docker Hub) a Unix time.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    moment(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// How long until a moment that is given as seconds, a date or a Unix time.
pub(super) fn moment(text: &str, now: SystemTime) -> Option<Duration> {
    const UNIX_TIMES: u64 = 1_000_000_000;
    let text = text.trim();
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

    /// So much is left.
    fn deadline(patience: Patience, left: Duration) -> Deadline {
        let now = Instant::now();
        Deadline {
            patience,
            priority: Priority::Foreground,
            granted: left,
            answer: now + left,
            whole: now + left,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_the_longer_of_ours_and_theirs_if_it_fits() {
        let wait = |failure: &Failure, delay: Option<Duration>, left: u32| {
            wait_before_next(failure, delay, &deadline(Patience::Full, left * SECOND))
        };
        let mut unavailable = failure(ErrorKind::Unreachable, Some(503));
        assert_eq!(wait(&unavailable, Some(SECOND), 9), Some(SECOND));
        assert_eq!(wait(&unavailable, Some(SECOND), 1), None);
        assert_eq!(wait(&unavailable, None, 9), None);
        unavailable.error.retry_after = Some(3 * SECOND);
        assert_eq!(wait(&unavailable, Some(SECOND), 9), Some(3 * SECOND));
        assert_eq!(wait(&unavailable, Some(SECOND), 2), None);
        unavailable.again = false;
        assert_eq!(wait(&unavailable, Some(SECOND), 9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_something_cached_does_not_wait_for_a_limit_to_pass() {
        let limited = failure(ErrorKind::RateLimited, Some(429));
        let wait = |patience| {
            let deadline = deadline(patience, 9 * SECOND);
            wait_before_next(&limited, Some(SECOND), &deadline)
        };
        assert_eq!(wait(Patience::Full), Some(SECOND));
        assert_eq!(wait(Patience::Short), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_reading_is_given_back_but_not_for_ever() {
        let mut deadline = Deadline {
            whole: Instant::now() + 5 * SECOND,
            ..deadline(Patience::Full, 2 * SECOND)
        };
        deadline.read_for(SECOND);
        assert_eq!(deadline.remaining(), 3 * SECOND);
        deadline.read_for(9 * SECOND);
        assert_eq!(deadline.remaining(), 5 * SECOND);
    }

    #[test]
    fn a_last_try_that_was_cut_short_does_not_hide_the_better_reason() {
        let broken = || failure(ErrorKind::Unreachable, Some(503));
        let silent = || failure(ErrorKind::TimedOut, None);
        let kind = |earlier, last, cut_short| reason(earlier, last, cut_short).error.kind;
        assert_eq!(kind(Some(broken()), silent(), true), ErrorKind::Unreachable);
        assert_eq!(kind(Some(broken()), silent(), false), ErrorKind::TimedOut);
        assert_eq!(kind(Some(silent()), broken(), true), ErrorKind::Unreachable);
        assert_eq!(kind(None, silent(), true), ErrorKind::TimedOut);
    }

    #[test]
    fn all_urls_may_be_asked_again_if_one_may() {
        let mut never = failure(ErrorKind::Unreachable, None);
        never.again = false;
        let soon = failure(ErrorKind::Unreachable, Some(503));
        assert!(merge(Some(soon.clone()), never.clone()).again);
        assert!(merge(Some(never.clone()), soon).again);
        assert!(!merge(Some(never.clone()), never).again);
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
        let nonsense = failure(ErrorKind::Invalid, None);
        assert_eq!(kind(nonsense, missing()), ErrorKind::Invalid);
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
