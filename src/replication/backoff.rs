//! How long a task waits before it is tried again.

use std::time::Duration;

use crate::jobs::backoff;

/// The first wait; doubled each time.
pub(super) const SHORTEST: Duration = Duration::from_secs(5);

/// How long a task waits after so many attempts: at least as long as the remote asks for.
pub(super) fn wait(attempts: u64, after: Option<Duration>) -> Duration {
    backoff(SHORTEST, attempts.saturating_sub(1)).max(after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_seconds_to_minutes_and_no_further() {
        let around = |attempts, seconds: u64| {
            let wait =
                wait(attempts, None).as_secs_f64() / Duration::from_secs(seconds).as_secs_f64();
            assert!((0.79..1.21).contains(&wait), "{attempts}: {wait}");
        };
        around(1, 5);
        around(2, 10);
        around(4, 40);
        around(7, 300);
        around(u64::MAX, 300);
        assert_eq!(
            wait(1, Some(Duration::from_secs(900))),
            Duration::from_secs(900)
        );
    }
}
