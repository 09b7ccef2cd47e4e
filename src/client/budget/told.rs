//! What one replica was told of a rate limit, in words that another one understands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Budget, DEFAULT_WINDOW, LONGEST_REFILL, LONGEST_REFUSAL, Said, State, later};

/// The state of a [`Budget`]. Times are milliseconds since 1970, by a clock that the replicas share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::client) struct Told {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<ToldLeft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_until: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ToldLeft {
    at: u64,
    limit: Option<u64>,
    left: u64,
    refill_ms: u64,
    forgotten: u64,
    pulls_only: bool,
}

/// One moment by the clock of this process and by the one that the replicas share.
#[derive(Clone, Copy)]
pub(in crate::client) struct Moment {
    pub(in crate::client) here: Instant,
    pub(in crate::client) shared: SystemTime,
}

impl Moment {
    fn tell(&self, at: Instant) -> u64 {
        let shared = if at >= self.here {
            self.shared + (at - self.here)
        } else {
            self.shared - (self.here - at)
        };
        milliseconds(shared.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// No further away than `most`.
    fn hear(&self, told: u64, most: Duration) -> Instant {
        let now = self.tell(self.here);
        let ahead = Duration::from_millis(told.saturating_sub(now)).min(most);
        let ago = Duration::from_millis(now.saturating_sub(told)).min(most);
        (self.here + ahead).checked_sub(ago).unwrap_or(self.here)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Budget {
    /// What the remote said here since the last call, if it said anything.
    pub(in crate::client) fn news(&self, now: Moment) -> Option<Told> {
        let mut state = self.state();
        if !std::mem::take(&mut state.is_news) {
            return None;
        }
        let until = |until| later(until, now.here).map(|until| now.tell(until));
        Some(Told {
            said: state.current(now.here).map(|said| ToldLeft {
                at: now.tell(said.at),
                limit: said.limit,
                left: said.left,
                refill_ms: milliseconds(said.refill),
                forgotten: now.tell(said.forgotten),
                pulls_only: said.pulls_only,
            }),
            refused_until: until(state.refused),
            spent_until: until(state.spent),
        })
    }

    /// Takes note of what the remote said to another replica.
    pub(in crate::client) fn hear(&self, told: &Told, now: Moment) {
        let mut state = self.state();
        let day = Duration::from_hours(24);
        if let Some(said) = &told.said {
            let at = now.hear(said.at, day);
            if state.said.is_none_or(|known| known.at < at) {
                state.hear(said, at, now.hear(said.forgotten, day));
            }
        }
        let longest = |known: Option<Instant>, told: Option<u64>| {
            let told = told.map(|until| now.hear(until, LONGEST_REFUSAL));
            known.max(told)
        };
        state.refused = longest(state.refused, told.refused_until);
        state.spent = longest(state.spent, told.spent_until);
    }
}

impl State {
    fn hear(&mut self, said: &ToldLeft, at: Instant, forgotten: Instant) {
        let refill = Duration::from_millis(said.refill_ms.max(1));
        self.said = Some(Said {
            at,
            limit: said.limit,
            left: said.left,
            refill: refill.min(LONGEST_REFILL.max(DEFAULT_WINDOW)),
            forgotten,
            pulls_only: said.pulls_only,
        });
        if said.left > 0 {
            self.spent = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::super::{Cost, RateBudget};
    use super::*;

    fn now() -> Moment {
        Moment {
            here: Instant::now(),
            shared: UNIX_EPOCH + Duration::from_secs(1_000_000),
        }
    }

    fn left(text: &'static str) -> HeaderMap {
        let name = http::HeaderName::from_static("ratelimit-remaining");
        HeaderMap::from_iter([(name, HeaderValue::from_static(text))])
    }

    /// As it goes through a row.
    fn carried(told: &Told) -> Told {
        serde_json::from_str(&serde_json::to_string(told).unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_replica_was_told_the_other_heeds() {
        let (one, other) = (Budget::new(10), Budget::new(10));
        let begin = now();
        assert_eq!(one.news(begin), None);
        one.observe(StatusCode::OK, &left("5;w=21600"), begin.here);
        let told = one.news(begin).unwrap();
        assert_eq!(one.news(begin), None, "it is told once");
        // The other process began at another moment.
        tokio::time::advance(Duration::from_secs(1)).await;
        let then = Moment {
            here: Instant::now(),
            shared: begin.shared + Duration::from_secs(1),
        };
        other.hear(&carried(&told), then);
        assert_eq!(other.read(then.here), RateBudget::Low);
        assert_eq!(other.news(then), None, "what was heard is not told again");
        one.refuse(Some(Duration::from_secs(30)), Cost::Other, begin.here);
        other.hear(&carried(&one.news(begin).unwrap()), then);
        let until = then.here + Duration::from_secs(29);
        assert_eq!(other.read(then.here), RateBudget::Gone { until });
    }

    #[tokio::test(start_paused = true)]
    async fn older_news_and_absurd_ones_change_little() {
        let (one, other) = (Budget::new(10), Budget::new(10));
        let begin = now();
        one.observe(StatusCode::OK, &left("5;w=21600"), begin.here);
        let old = one.news(begin).unwrap();
        let later = begin.here + Duration::from_secs(1);
        other.observe(StatusCode::OK, &left("50;w=21600"), later);
        other.hear(&old, begin);
        assert_eq!(other.read(later), RateBudget::Plenty);
        let absurd = Told {
            said: None,
            refused_until: Some(u64::MAX),
            spent_until: None,
        };
        other.hear(&absurd, begin);
        let until = begin.here + LONGEST_REFUSAL;
        assert_eq!(other.read(later), RateBudget::Gone { until });
    }
}
