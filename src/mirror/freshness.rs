//! May a cached answer be given without asking the remote? Pure decisions.
//!
//! ```text
//!   checked ────── Fresh ──────┬── Lapsing ──┬──────── Expired ─────────
//!            served, not asked │ served, and │ asked first; the remote is down:
//!                              │ asked behind│ served as stale for `stale_if_error`
//!                             ttl   + stale_while_revalidate
//!                       (a bit earlier, see `shortened`)
//! ```

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::config::{Freshness, FreshnessMode, StaleIfError};

/// What a cached answer is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Served without asking.
    Fresh,
    /// Served at once, and the remote is asked behind it.
    Lapsing,
    /// The remote is asked first.
    Expired,
}

/// The standing of an answer about `subject` that the remote last confirmed at `checked_at`.
///
/// A time to come was written by a clock that was wrong, and proves nothing.
pub fn standing(
    rule: &Freshness,
    subject: &impl Hash,
    checked_at: SystemTime,
    now: SystemTime,
) -> Standing {
    let Ok(age) = now.duration_since(checked_at) else {
        return match rule.mode {
            FreshnessMode::Immutable => Standing::Fresh,
            FreshnessMode::Always | FreshnessMode::Ttl => Standing::Expired,
        };
    };
    let lifetime = lifetime(rule);
    if age < shortened(lifetime, subject, checked_at) {
        Standing::Fresh
    } else if !rule.stale_while_revalidate.is_zero()
        && age < lifetime.saturating_add(rule.stale_while_revalidate)
    {
        Standing::Lapsing
    } else {
        Standing::Expired
    }
}

/// True while an answer of this age may be given although the remote could not be asked (RFC 5861, 4: counted from
/// when it became stale).
pub fn may_be_stale(rule: &Freshness, age: Duration) -> bool {
    let staleness = age.saturating_sub(lifetime(rule));
    staleness.is_zero() || may_be_stale_for(rule, staleness)
}

/// True while an answer that became stale so long ago may be given although there is no better one to be had.
pub fn may_be_stale_for(rule: &Freshness, staleness: Duration) -> bool {
    match rule.stale_if_error {
        StaleIfError::Unlimited => true,
        StaleIfError::For(longest) => !longest.is_zero() && staleness <= longest,
    }
}

/// Time since `then`; zero when the clock went backwards.
pub fn age_of(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

fn lifetime(rule: &Freshness) -> Duration {
    match rule.mode {
        FreshnessMode::Ttl => rule.ttl,
        FreshnessMode::Always => Duration::ZERO,
        FreshnessMode::Immutable => Duration::MAX,
    }
}

/// Up to a tenth less, always the same for the same answer, and different for others: what a fleet pulled within a
/// second does not expire within a second. Each check draws anew, so that tags that once met part again.
fn shortened(lifetime: Duration, subject: &impl Hash, checked_at: SystemTime) -> Duration {
    const STEPS: u32 = 1000;
    if lifetime == Duration::MAX {
        return lifetime;
    }
    let since = checked_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    since.as_millis().hash(&mut hasher);
    let drawn = u32::try_from(hasher.finish() % u64::from(STEPS)).expect("less than STEPS");
    lifetime.saturating_sub(lifetime / (10 * STEPS) * drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    const TTL: Duration = Duration::from_secs(60);
    const THEN: SystemTime = SystemTime::UNIX_EPOCH;

    fn rule(mode: FreshnessMode) -> Freshness {
        Freshness {
            tags: Pattern::parse("**").expect("a valid pattern"),
            mode,
            ttl: TTL,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: StaleIfError::Unlimited,
        }
    }

    fn after(rule: &Freshness, age: Duration) -> Standing {
        standing(rule, &"tag", THEN, THEN + age)
    }

    #[test]
    fn a_ttl_is_fresh_until_it_has_passed() {
        let rule = rule(FreshnessMode::Ttl);
        assert_eq!(after(&rule, Duration::ZERO), Standing::Fresh);
        assert_eq!(after(&rule, TTL * 9 / 10), Standing::Fresh);
        assert_eq!(after(&rule, TTL), Standing::Expired);
    }

    #[test]
    fn what_a_wrong_clock_wrote_is_asked_again() {
        let second = Duration::from_secs(1);
        let asked = |mode| standing(&rule(mode), &"tag", THEN + second, THEN);
        assert_eq!(asked(FreshnessMode::Ttl), Standing::Expired);
        assert_eq!(asked(FreshnessMode::Always), Standing::Expired);
        assert_eq!(asked(FreshnessMode::Immutable), Standing::Fresh);
    }

    #[test]
    fn immutable_is_never_asked_again_and_always_is_asked_each_time() {
        let year = Duration::from_secs(31_536_000);
        assert_eq!(
            after(&rule(FreshnessMode::Immutable), year),
            Standing::Fresh
        );
        let always = rule(FreshnessMode::Always);
        assert_eq!(after(&always, Duration::ZERO), Standing::Expired);
    }

    #[test]
    fn a_lapsing_answer_is_served_at_once_for_as_long_as_the_rule_says() {
        let mut rule = rule(FreshnessMode::Ttl);
        rule.stale_while_revalidate = Duration::from_secs(10);
        assert_eq!(after(&rule, TTL * 9 / 10), Standing::Fresh);
        assert_eq!(after(&rule, TTL), Standing::Lapsing);
        assert_eq!(
            after(&rule, Duration::from_millis(69_999)),
            Standing::Lapsing
        );
        assert_eq!(after(&rule, Duration::from_secs(70)), Standing::Expired);
        rule.mode = FreshnessMode::Always;
        assert_eq!(after(&rule, Duration::from_secs(9)), Standing::Lapsing);
        assert_eq!(after(&rule, Duration::from_secs(10)), Standing::Expired);
        rule.stale_while_revalidate = Duration::MAX;
        assert_eq!(after(&rule, TTL * 1000), Standing::Lapsing);
    }

    #[test]
    fn a_stale_answer_is_given_for_as_long_as_the_rule_says_after_its_time() {
        let mut limited = rule(FreshnessMode::Ttl);
        assert!(may_be_stale(&limited, Duration::MAX));
        limited.stale_if_error = StaleIfError::For(Duration::from_secs(10));
        assert!(may_be_stale(&limited, Duration::from_secs(70)));
        assert!(!may_be_stale(&limited, Duration::from_secs(71)));
        // What is known to be stale is given for no time at all if the rule says so.
        assert!(may_be_stale_for(&limited, Duration::from_secs(10)));
        let never = Freshness {
            stale_if_error: StaleIfError::For(Duration::ZERO),
            ..limited.clone()
        };
        assert!(may_be_stale(&never, TTL) && !may_be_stale_for(&never, Duration::ZERO));
        // An answer that is asked for each time is stale from the beginning.
        limited.mode = FreshnessMode::Always;
        assert!(may_be_stale(&limited, Duration::from_secs(10)));
        assert!(!may_be_stale(&limited, Duration::from_secs(11)));
    }

    #[test]
    fn a_clock_that_went_backwards_means_no_age() {
        assert_eq!(age_of(THEN + TTL, THEN), Duration::ZERO);
    }

    #[test]
    fn answers_of_one_moment_expire_one_after_the_other_within_the_last_tenth() {
        let ends: Vec<Duration> = (0..1000)
            .map(|tag| shortened(TTL, &("docker.io/library/app", tag), THEN))
            .collect();
        assert!(ends.iter().all(|end| (TTL * 9 / 10..=TTL).contains(end)));
        for tenth in 0..10 {
            let from = TTL * 9 / 10 + TTL * tenth / 100;
            let count = ends
                .iter()
                .filter(|end| (from..from + TTL / 100).contains(*end))
                .count();
            assert!((50..200).contains(&count), "{count} of 1000 in {tenth}");
        }
    }

    #[test]
    fn the_same_answer_always_expires_at_the_same_time_and_the_next_check_draws_anew() {
        let end = |checked_at| shortened(TTL, &"tag", checked_at);
        assert_eq!(end(THEN), end(THEN));
        assert_ne!(end(THEN), end(THEN + TTL));
    }
}
