//! May this tag be served without asking its remote? Pure decisions.

use std::time::{Duration, SystemTime};

use crate::config::{Freshness, FreshnessMode, StaleIfError};

/// True while the cached answer needs no question to the remote.
pub fn is_fresh(rule: &Freshness, age: Duration) -> bool {
    match rule.mode {
        FreshnessMode::Immutable => true,
        FreshnessMode::Always => false,
        FreshnessMode::Ttl => age < rule.ttl,
    }
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

    #[test]
    fn a_ttl_is_fresh_until_it_has_passed() {
        let rule = rule(FreshnessMode::Ttl, StaleIfError::Unlimited);
        assert!(is_fresh(&rule, Duration::from_secs(59)));
        assert!(!is_fresh(&rule, Duration::from_secs(60)));
    }

    #[test]
    fn immutable_is_never_asked_again_and_always_is_asked_each_time() {
        let year = Duration::from_secs(31_536_000);
        assert!(is_fresh(
            &rule(FreshnessMode::Immutable, StaleIfError::Unlimited),
            year
        ));
        assert!(!is_fresh(
            &rule(FreshnessMode::Always, StaleIfError::Unlimited),
            Duration::ZERO
        ));
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
