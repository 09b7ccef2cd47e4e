//! What one URL of a remote says of its rate limit: how much of it is left, and until when it refuses us. Pure but for a
//! lock: it is told of answers, and asked before a request leaves.
//!
//! Docker Hub counts GETs of manifests and nothing else, tells on GET and HEAD how many are left
//! (`ratelimit-remaining: 76;w=21600`), and is believed only as long as the window that it names. Others
//! (`ratelimit-remaining: 1999`, `ratelimit-reset`) count every request.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::{Priority, retry};

/// Nobody is believed who refuses us for longer.
const LONGEST_REFUSAL: Duration = Duration::from_hours(1);
/// After so long one more is tried, however slowly they are said to come back.
const LONGEST_REFILL: Duration = Duration::from_mins(15);
/// Of a limit that names no window.
const DEFAULT_WINDOW: Duration = Duration::from_mins(1);
/// After a 429 without Retry-After: doubled with each further one.
const FIRST_REFUSAL: Duration = Duration::from_secs(1);
const DOUBLINGS: u32 = 6;

/// What is left of a remote's rate limit. Reading it asks nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateBudget {
    /// No limit is known, or more is left than the reserve.
    Plenty,
    /// No more than `rate_reserve` is left: for what cannot be served otherwise.
    Low,
    /// Nothing is left, or the remote said 429: requests that count fail without being sent, until then.
    Gone { until: Instant },
}

impl RateBudget {
    /// The better of two: of two URLs the one that may still be asked is.
    pub(super) fn better(self, other: Self) -> Self {
        match (self, other) {
            (Self::Plenty, _) | (_, Self::Plenty) => Self::Plenty,
            (Self::Low, _) | (_, Self::Low) => Self::Low,
            (Self::Gone { until: one }, Self::Gone { until: two }) => Self::Gone {
                until: one.min(two),
            },
        }
    }
}

/// What a request asks for, as limits see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// GET of a manifest: counted wherever anything is.
    Pull,
    /// Counted by those who count everything.
    Other,
}

/// The limit of one URL.
pub(super) struct Budget {
    reserve: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    said: Option<Said>,
    /// Every request is refused until then.
    refused: Option<Instant>,
    /// Requests that count are, because nothing was left.
    spent: Option<Instant>,
    /// 429s in a row without Retry-After.
    refusals: u32,
    /// Something was said that the other replicas were not told yet.
    is_news: bool,
}

/// The remote's last word on what is left.
#[derive(Debug, Clone, Copy)]
struct Said {
    at: Instant,
    limit: Option<u64>,
    left: u64,
    /// In which one more comes back.
    refill: Duration,
    /// Holds no longer than until then.
    forgotten: Instant,
    pulls_only: bool,
}

impl Said {
    fn read(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let text = |name| headers.get(name)?.to_str().ok();
        let remaining = text("ratelimit-remaining")?;
        let left = number(remaining)?;
        let limit_text = text("ratelimit-limit");
        let limit = limit_text.and_then(number).filter(|limit| *limit > 0);
        let reset = text("ratelimit-reset").and_then(|at| retry::moment(at, SystemTime::now()));
        let named = window(remaining).or_else(|| limit_text.and_then(window));
        let lasts = reset.or(named).unwrap_or(DEFAULT_WINDOW);
        // All at once at the reset, else one after the other.
        let share = u32::try_from(limit.unwrap_or(1)).unwrap_or(u32::MAX);
        let refill = reset.unwrap_or(lasts / share);
        Some(Self {
            at: now,
            limit,
            left,
            refill: refill.clamp(Duration::from_millis(1), LONGEST_REFILL),
            forgotten: now + lasts.min(Duration::from_hours(24)),
            pulls_only: window(remaining).is_some(),
        })
    }

    fn counts(&self, cost: Cost) -> bool {
        cost == Cost::Pull || !self.pulls_only
    }

    fn left_at(&self, now: Instant) -> u64 {
        let refilled = now.duration_since(self.at).as_nanos() / self.refill.as_nanos();
        self.left
            .saturating_add(u64::try_from(refilled).unwrap_or(u64::MAX))
    }

    /// When more than `wanted` are left again.
    fn more_than(&self, wanted: u64) -> Instant {
        let missing = (wanted + 1).saturating_sub(self.left);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        (self.at + self.refill.saturating_mul(missing).min(LONGEST_REFUSAL)).min(self.forgotten)
    }
}

impl Budget {
    pub(super) fn new(reserve: u64) -> Self {
        Self {
            reserve,
            state: Mutex::default(),
        }
    }

    /// Takes note of what an answer tells.
    pub(super) fn observe(&self, status: StatusCode, headers: &HeaderMap, now: Instant) {
        let mut state = self.state();
        if let Some(said) = Said::read(headers, now) {
            state.said = Some(said);
            state.is_news = true;
            if said.left > 0 {
                state.spent = None;
            }
        }
        // An answer from before the refusal ends nothing.
        if status != StatusCode::TOO_MANY_REQUESTS && later(state.refused, now).is_none() {
            state.refusals = 0;
        }
    }

    /// Takes note of a 429; gives how long nothing (or, when pulls alone are spent, no pull) will be sent.
    pub(super) fn refuse(&self, asked: Option<Duration>, cost: Cost, now: Instant) -> Duration {
        let mut state = self.state();
        let said = state.current(now);
        let spent = said.is_some_and(|said| said.pulls_only && said.left_at(now) == 0);
        let spent = spent && cost == Cost::Pull;
        let before = later(if spent { state.spent } else { state.refused }, now);
        let until = match (asked.filter(|asked| !asked.is_zero()), before) {
            (Some(asked), _) => now + asked.min(LONGEST_REFUSAL),
            // Asked together with the one that was refused first.
            (None, Some(before)) => before,
            (None, None) => {
                let doublings = state.refusals.min(DOUBLINGS);
                state.refusals += 1;
                now + FIRST_REFUSAL * 2u32.pow(doublings)
            }
        };
        let until = before.map_or(until, |before| before.max(until));
        state.is_news = true;
        if spent {
            state.spent = Some(until);
        } else {
            state.refused = Some(until);
        }
        until - now
    }

    /// May such a request be sent? If not: when.
    pub(super) fn admit(
        &self,
        cost: Cost,
        priority: Priority,
        now: Instant,
    ) -> Result<(), Instant> {
        let state = self.state();
        if let Some(until) = later(state.refused, now) {
            return Err(until);
        }
        let spent = later(state.spent, now).filter(|_| cost == Cost::Pull);
        if let Some(until) = spent {
            return Err(until);
        }
        let Some(said) = state.current(now).filter(|said| said.counts(cost)) else {
            return Ok(());
        };
        let kept = match priority {
            Priority::Foreground => 0,
            Priority::Background => self.kept(&said),
        };
        if said.left_at(now) > kept {
            Ok(())
        } else {
            Err(said.more_than(kept))
        }
    }

    pub(super) fn read(&self, now: Instant) -> RateBudget {
        let state = self.state();
        let refused = later(state.refused, now).or_else(|| later(state.spent, now));
        if let Some(until) = refused {
            return RateBudget::Gone { until };
        }
        let Some(said) = state.current(now) else {
            return RateBudget::Plenty;
        };
        match said.left_at(now) {
            0 => RateBudget::Gone {
                until: said.more_than(0),
            },
            left if left <= self.kept(&said) => RateBudget::Low,
            _ => RateBudget::Plenty,
        }
    }

    /// The reserve; of a small limit no more than half, or nothing would ever be asked again.
    fn kept(&self, said: &Said) -> u64 {
        said.limit
            .map_or(self.reserve, |limit| self.reserve.min(limit / 2))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn current(&self, now: Instant) -> Option<Said> {
        self.said.filter(|said| now < said.forgotten)
    }
}

fn later(until: Option<Instant>, now: Instant) -> Option<Instant> {
    until.filter(|until| *until > now)
}

/// The number in `76;w=21600`, or the first in `100, 100;w=60`.
fn number(text: &str) -> Option<u64> {
    text.split([';', ',']).next()?.trim().parse().ok()
}

/// The window in `76;w=21600`.
fn window(text: &str) -> Option<Duration> {
    let mut parameters = text.split([';', ',']).map(str::trim);
    let seconds = parameters.find_map(|parameter| parameter.strip_prefix("w="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

mod told;

pub(super) use told::Moment;

#[cfg(test)]
mod tests;
