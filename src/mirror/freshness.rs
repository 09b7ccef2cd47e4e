//! May this tag be served without asking its remote? Pure decisions.

use std::time::{Duration, SystemTime};

use crate::config::{Freshness, FreshnessMode, StaleIfError};

/// True while the cached answer, of this time, needs no question to the remote.
pub fn is_fresh(rule: &Freshness, checked_at: SystemTime, now: SystemTime) -> bool {
    match rule.mode {
        FreshnessMode::Immutable => true,
        FreshnessMode::Always => false,
        FreshnessMode::Ttl => is_within(rule.ttl, checked_at, now),
    }
}

/// Not longer ago than this; a time to come was written by a clock that was wrong, and proves nothing.
pub fn is_within(ttl: Duration, then: SystemTime, now: SystemTime) -> bool {
    now.duration_since(then).is_ok_and(|age| age < ttl)
}

/// True while the cached answer may be given although the remote could not be asked (RFC 5861, 4: counted from when
/// it became stale).
pub fn may_be_stale(rule: &Freshness, age: Duration) -> bool {
    match rule.stale_if_error {
        StaleIfError::Unlimited => true,
        StaleIfError::For(longest) => age.saturating_sub(rule.ttl) <= longest,
    }
}

/// Time since `then`; zero when the clock went backwards.
pub fn age_of(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    fn rule(mode: FreshnessMode, stale_if_error: StaleIfError) -> Freshness {
        Freshness {
            tags: Pattern::parse("**").expect("a valid pattern"),
            mode,
            ttl: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error,
        }
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn fresh(mode: FreshnessMode, seconds_ago: u64) -> bool {
        let rule = rule(mode, StaleIfError::Unlimited);
        is_fresh(&rule, NOW, NOW + Duration::from_secs(seconds_ago))
    }

    #[test]
    fn a_ttl_is_fresh_until_it_has_passed() {
        assert!(fresh(FreshnessMode::Ttl, 59));
        assert!(!fresh(FreshnessMode::Ttl, 60));
    }

    #[test]
    fn what_a_wrong_clock_wrote_is_asked_again() {
        let rule = rule(FreshnessMode::Ttl, StaleIfError::Unlimited);
        assert!(!is_fresh(&rule, NOW + Duration::from_secs(5), NOW));
    }

    #[test]
    fn immutable_is_never_asked_again_and_always_is_asked_each_time() {
        assert!(fresh(FreshnessMode::Immutable, 31_536_000));
        assert!(!fresh(FreshnessMode::Always, 0));
    }

    #[test]
    fn a_stale_answer_is_given_for_as_long_as_the_rule_says_after_the_ttl() {
        let limited = rule(
            FreshnessMode::Ttl,
            StaleIfError::For(Duration::from_secs(10)),
        );
        assert!(may_be_stale(&limited, Duration::from_secs(70)));
        assert!(!may_be_stale(&limited, Duration::from_secs(71)));
        assert!(may_be_stale(
            &rule(FreshnessMode::Ttl, StaleIfError::Unlimited),
            Duration::MAX
        ));
    }

    #[test]
    fn a_clock_that_went_backwards_means_no_age() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(age_of(now + Duration::from_secs(5), now), Duration::ZERO);
    }
}
