use http::{HeaderName, HeaderValue};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FOREGROUND: Priority = Priority::Foreground;
const BACKGROUND: Priority = Priority::Background;

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let list = list.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    list.collect()
}

/// A budget that was told this by a 200.
fn told(now: Instant, list: &[(&'static str, &'static str)]) -> Budget {
    let budget = Budget::new(10);
    budget.observe(StatusCode::OK, &headers(list), now);
    budget
}

fn hub(now: Instant, left: &'static str) -> Budget {
    told(
        now,
        &[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", left),
        ],
    )
}

#[tokio::test]
async fn a_remote_that_says_nothing_has_plenty() {
    let now = Instant::now();
    let budget = told(now, &[]);
    assert_eq!(budget.read(now), RateBudget::Plenty);
    assert_eq!(budget.admit(Cost::Pull, BACKGROUND, now), Ok(()));
}

#[tokio::test]
async fn the_reserve_is_left_to_the_foreground() {
    let now = Instant::now();
    let budget = hub(now, "11;w=21600");
    assert_eq!(budget.read(now), RateBudget::Plenty);
    let budget = hub(now, "10;w=21600");
    assert_eq!(budget.read(now), RateBudget::Low);
    assert_eq!(budget.admit(Cost::Pull, FOREGROUND, now), Ok(()));
    // One comes back in 216 s.
    let more = now + 216 * SECOND;
    assert_eq!(budget.admit(Cost::Pull, BACKGROUND, now), Err(more));
    assert_eq!(budget.admit(Cost::Other, BACKGROUND, now), Ok(()));
    assert_eq!(budget.read(more), RateBudget::Plenty);
}

#[tokio::test]
async fn when_nothing_is_left_only_what_counts_is_held_back() {
    let now = Instant::now();
    let budget = hub(now, "0;w=21600");
    let until = now + 216 * SECOND;
    assert_eq!(budget.read(now), RateBudget::Gone { until });
    assert_eq!(budget.admit(Cost::Pull, FOREGROUND, now), Err(until));
    assert_eq!(budget.admit(Cost::Other, FOREGROUND, now), Ok(()));
    assert_eq!(budget.admit(Cost::Pull, FOREGROUND, until), Ok(()));
    // A HEAD tells that there is more.
    budget.observe(
        StatusCode::OK,
        &headers(&[("ratelimit-remaining", "50;w=21600")]),
        now,
    );
    assert_eq!(budget.read(now), RateBudget::Plenty);
}

#[tokio::test]
async fn who_counts_everything_is_believed_until_the_reset() {
    let now = Instant::now();
    let list = [
        ("ratelimit-limit", "2000"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "30"),
    ];
    let budget = told(now, &list);
    let until = now + 30 * SECOND;
    assert_eq!(budget.admit(Cost::Other, FOREGROUND, now), Err(until));
    assert_eq!(budget.read(until), RateBudget::Plenty);
}

#[tokio::test]
async fn a_reserve_is_at_most_half_of_a_limit() {
    let now = Instant::now();
    let small = |left| {
        let list = [("ratelimit-limit", "6;w=60"), ("ratelimit-remaining", left)];
        told(now, &list).read(now)
    };
    assert_eq!(small("4;w=60"), RateBudget::Plenty);
    assert_eq!(small("3;w=60"), RateBudget::Low);
}

#[tokio::test]
async fn a_429_holds_everything_back_until_the_time_it_names() {
    let now = Instant::now();
    let budget = told(now, &[]);
    assert_eq!(
        budget.refuse(Some(60 * SECOND), Cost::Other, now),
        60 * SECOND
    );
    let until = now + 60 * SECOND;
    assert_eq!(budget.read(now), RateBudget::Gone { until });
    assert_eq!(budget.admit(Cost::Other, FOREGROUND, now), Err(until));
    assert_eq!(budget.admit(Cost::Other, FOREGROUND, until), Ok(()));
    // A second one that names less does not shorten it, and nobody names more than an hour.
    assert_eq!(budget.refuse(Some(SECOND), Cost::Other, now), 60 * SECOND);
    let day = 86_400 * SECOND;
    assert_eq!(budget.refuse(Some(day), Cost::Other, now), LONGEST_REFUSAL);
}

#[tokio::test]
async fn a_429_because_all_pulls_are_spent_holds_back_pulls_alone() {
    let now = Instant::now();
    let budget = hub(now, "0;w=21600");
    budget.refuse(Some(60 * SECOND), Cost::Pull, now);
    assert_eq!(budget.admit(Cost::Other, FOREGROUND, now), Ok(()));
    assert!(budget.admit(Cost::Pull, FOREGROUND, now).is_err());
    // Refusing what costs nothing is about something else.
    budget.refuse(Some(60 * SECOND), Cost::Other, now);
    assert!(budget.admit(Cost::Other, FOREGROUND, now).is_err());
}

#[tokio::test]
async fn refusals_without_a_time_grow_until_an_answer_comes() {
    let mut now = Instant::now();
    let budget = told(now, &[]);
    for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
        let wait = budget.refuse(None, Cost::Other, now);
        assert_eq!(wait.as_secs(), seconds);
        // Those that were under way together with it change nothing.
        assert_eq!(budget.refuse(None, Cost::Other, now), wait);
        budget.observe(StatusCode::OK, &HeaderMap::new(), now);
        now += wait;
    }
    budget.observe(StatusCode::OK, &HeaderMap::new(), now);
    assert_eq!(budget.refuse(None, Cost::Other, now), SECOND);
}

#[tokio::test]
async fn of_two_urls_the_better_counts() {
    let now = Instant::now();
    let gone = |seconds: u32| RateBudget::Gone {
        until: now + seconds * SECOND,
    };
    assert_eq!(gone(1).better(RateBudget::Low), RateBudget::Low);
    assert_eq!(RateBudget::Plenty.better(gone(1)), RateBudget::Plenty);
    assert_eq!(gone(2).better(gone(1)), gone(1));
}
