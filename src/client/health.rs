//! Which URLs of a remote answer: a circuit breaker for each.
//!
//! ```text
//!              nobody there, or 3 bad answers in a row
//!   closed ────────────────────────────────────────────▶ open: passed over, watched by a task
//!      ▲                                                   │
//!      └── an answer to the watch's probe, or to a call ───┘
//! ```
//!
//! A URL where nobody is there is passed over at once, and who has something cached does not wait for it. That it
//! answers again is noticed by [`watch`], not at a client's cost; each opening without a good answer to a call in
//! between makes the watch begin later, so that one that answers probes and nothing else is not asked every second. One
//! that answers nothing is asked every few seconds: that it is back must not be noticed late.
//!
//! A call that waits for its answer too long for who has something cached is a first sign of silence: until it has its
//! answer, or a later one has, nobody else of them waits.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus_client::metrics::gauge::Gauge;
use rand::RngExt as _;
use tokio::time::{Instant, timeout};
use url::Url;

use super::{
    endpoint::{Endpoint, Wire},
    error::Failure,
};

/// Bad answers in a row that mean as much as none.
const STRIKES: u32 = 3;
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Before the first probe of an opening.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Between probes that nobody answers.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One URL of a remote, as it was last seen.
#[derive(Debug, Clone)]
pub struct UrlHealth {
    pub url: Url,
    /// Why it is passed over; `None` when it is asked in its turn.
    pub trouble: Option<Trouble>,
}

/// Is somebody there, as far as is known? The best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Yes, or nothing speaks against it. What is answered badly is answered.
    There,
    /// A question waits for its answer for longer than `answer_timeout`, and no later one was answered.
    Late,
    /// Nobody. That somebody is back is noticed without asking.
    Gone,
}

/// Why and since when a URL is passed over.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub since: SystemTime,
    /// For people; holds no credentials and no query strings.
    pub message: String,
}

/// The breaker of one URL.
pub(super) struct Health {
    /// 1 while it is closed.
    gauge: Gauge,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    strikes: u32,
    /// Since the last good answer to a call.
    openings: u32,
    /// Of all openings, so that a watch knows its own.
    count: u64,
    last_good: Option<Instant>,
    open: Option<Open>,
    /// Calls that wait for long already, and when the last of these began.
    late: u32,
    late_since: Option<Instant>,
}

struct Open {
    since: SystemTime,
    failure: Failure,
}

/// One opening of a breaker, to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    number: u64,
    /// Openings without a good answer in between, this one included.
    in_a_row: u32,
}

impl Health {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.set(1);
        Self {
            gauge,
            state: Mutex::default(),
        }
    }

    /// What was wrong last, while the breaker is open.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.state().open.as_ref().map(|open| open.failure.clone())
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.state().open.as_ref().map(|open| Trouble {
            since: open.since,
            message: open.failure.error.message.clone(),
        })
    }

    pub(super) fn presence(&self) -> Presence {
        let state = self.state();
        match &state.open {
            Some(open) if open.failure.silent => Presence::Gone,
            None if state.late > 0 && state.last_good < state.late_since => Presence::Late,
            _ => Presence::There,
        }
    }

    /// Waits for the answer to a call; when it does not come soon, others know.
    pub(super) async fn await_answer<T>(
        &self,
        mut answer: Pin<Box<impl Future<Output = T>>>,
        soon: Duration,
    ) -> T {
        let began = Instant::now();
        if let Ok(answer) = timeout(soon, &mut answer).await {
            return answer;
        }
        let _late = Late::new(self, began);
        answer.await
    }

    /// A call was answered, well or with a no.
    pub(super) fn answered(&self, now: Instant) {
        let mut state = self.state();
        state.strikes = 0;
        state.openings = 0;
        state.last_good = Some(now);
        self.close(&mut state);
    }

    /// A call that began then was not answered, or badly. Gives the opening, if this opened the breaker.
    pub(super) fn failed(&self, failure: &Failure, began: Instant) -> Option<Opening> {
        let mut state = self.state();
        if let Some(open) = &mut state.open {
            open.failure = failure.clone();
            return None;
        }
        state.strikes += 1;
        // That another call was answered meanwhile says more than that this one was not.
        let overtaken = state.last_good.is_some_and(|good| good > began);
        let opens = state.strikes >= STRIKES || (failure.silent && !overtaken);
        if !opens {
            return None;
        }
        state.strikes = 0;
        state.openings = state.openings.saturating_add(1);
        state.count += 1;
        state.open = Some(Open {
            since: SystemTime::now(),
            failure: failure.clone(),
        });
        self.gauge.set(0);
        Some(Opening {
            number: state.count,
            in_a_row: state.openings,
        })
    }

    /// The probe of this opening was answered.
    fn probed(&self, opening: Opening) {
        let mut state = self.state();
        if state.count == opening.number {
            self.close(&mut state);
        }
    }

    fn is_open(&self, opening: Opening) -> bool {
        let state = self.state();
        state.count == opening.number && state.open.is_some()
    }

    fn close(&self, state: &mut State) {
        if state.open.take().is_some() {
            self.gauge.set(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for long, until this is dropped.
struct Late<'h>(&'h Health);

impl<'h> Late<'h> {
    fn new(health: &'h Health, began: Instant) -> Self {
        let mut state = health.state();
        state.late += 1;
        state.late_since = state.late_since.max(Some(began));
        drop(state);
        Self(health)
    }
}

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.0.state().late -= 1;
    }
}

/// Probes until the URL answers or is known to. Ends with its remote's client.
pub(super) async fn watch(endpoint: Arc<Endpoint>, wire: Wire, opening: Opening) {
    let mut pauses = pauses(opening.in_a_row);
    loop {
        let jitter = rand::rng().random_range(0.75..1.25);
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        tokio::time::sleep(pause.mul_f32(jitter)).await;
        if !endpoint.health.is_open(opening) {
            return;
        }
        if endpoint.probe(&wire).await.is_ok() {
            endpoint.health.probed(opening);
            tracing::info!(remote = %wire.remote, url = %endpoint.url, "a URL of a remote answers again");
            return;
        }
    }
}

/// The waits before each probe, without their jitter. Of all but the first, the probe before was not answered.
fn pauses(openings_in_a_row: u32) -> impl Iterator<Item = Duration> {
    let first = openings_in_a_row.saturating_sub(1);
    let doubled = (first..).map(|doublings| FIRST_PROBE * 2u32.pow(doublings.min(5)));
    let longest = std::iter::once(LONGEST_REST).chain(std::iter::repeat(LONGEST_PAUSE));
    doubled
        .zip(longest)
        .map(|(pause, longest)| pause.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientError, ErrorKind};

    fn failure(kind: ErrorKind, silent: bool) -> Failure {
        let error = ClientError::new(kind, &Arc::from("r"), "down");
        Failure {
            silent,
            ..Failure::again(error)
        }
    }

    fn silence() -> Failure {
        failure(ErrorKind::Unreachable, true)
    }

    fn bad_answer() -> Failure {
        failure(ErrorKind::Unreachable, false)
    }

    fn seconds(pauses: impl Iterator<Item = Duration>) -> Vec<u64> {
        pauses.take(7).map(|pause| pause.as_secs()).collect()
    }

    #[tokio::test]
    async fn nobody_there_opens_at_once_and_an_answer_closes() {
        let gauge = Gauge::default();
        let health = Health::new(gauge.clone());
        assert_eq!((gauge.get(), health.failure().is_some()), (1, false));
        let began = Instant::now();
        assert!(health.failed(&silence(), began).is_some());
        assert_eq!(gauge.get(), 0);
        assert_eq!(health.trouble().unwrap().message, "down");
        // Only the first of many that fail together opens it.
        assert_eq!(health.failed(&silence(), began), None);
        health.answered(Instant::now());
        assert_eq!((gauge.get(), health.failure().is_some()), (1, false));
    }

    #[tokio::test]
    async fn bad_answers_open_when_there_are_three_in_a_row() {
        let health = Health::new(Gauge::default());
        let began = Instant::now();
        for _ in 0..2 {
            assert_eq!(health.failed(&bad_answer(), began), None);
            assert_eq!(health.failed(&bad_answer(), began), None);
            health.answered(began);
        }
        assert_eq!(health.failed(&bad_answer(), began), None);
        assert_eq!(health.failed(&bad_answer(), began), None);
        assert!(health.failed(&bad_answer(), began).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_says_little_while_others_are_answered() {
        let health = Health::new(Gauge::default());
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        health.answered(Instant::now());
        assert_eq!(health.failed(&silence(), began), None);
        assert!(health.failed(&silence(), Instant::now()).is_some());
    }

    #[tokio::test]
    async fn a_watch_closes_its_own_opening_only() {
        let health = Health::new(Gauge::default());
        let began = Instant::now();
        let first = health.failed(&silence(), began).unwrap();
        health.answered(began);
        assert!(!health.is_open(first));
        let second = health.failed(&silence(), began).unwrap();
        assert!(!health.is_open(first) && health.is_open(second));
        health.probed(first);
        assert!(health.is_open(second));
        health.probed(second);
        assert!(!health.is_open(second));
    }

    #[tokio::test]
    async fn who_answers_probes_alone_is_probed_less_and_less() {
        let health = Health::new(Gauge::default());
        let began = Instant::now();
        let opened = || {
            let opening = health.failed(&silence(), began).unwrap();
            health.probed(opening);
            opening.in_a_row
        };
        assert_eq!([opened(), opened(), opened()], [1, 2, 3]);
        let first = |openings| pauses(openings).next().map(|pause| pause.as_secs());
        let firsts: Vec<_> = (1..=7).filter_map(first).collect();
        assert_eq!(firsts, [1, 2, 4, 8, 16, 30, 30]);
        health.answered(began);
        assert_eq!(health.failed(&silence(), began).unwrap().in_a_row, 1);
    }

    #[test]
    fn that_somebody_is_back_is_noticed_soon_however_long_nobody_was_there() {
        assert_eq!(seconds(pauses(1)), [1, 2, 4, 5, 5, 5, 5]);
        assert_eq!(seconds(pauses(3)), [4, 5, 5, 5, 5, 5, 5]);
        assert_eq!(seconds(pauses(9)), [30, 5, 5, 5, 5, 5, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_long_is_a_sign_of_silence_until_somebody_is_answered() {
        const SECOND: Duration = Duration::from_secs(1);
        let health = Arc::new(Health::new(Gauge::default()));
        let call = |takes: Duration| {
            let health = Arc::clone(&health);
            let answer = Box::pin(tokio::time::sleep(takes));
            tokio::spawn(async move { health.await_answer(answer, 2 * SECOND).await })
        };
        let first = call(9 * SECOND);
        tokio::time::sleep(SECOND).await;
        assert_eq!(health.presence(), Presence::There);
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(health.presence(), Presence::Late);
        // A call that began later was answered.
        health.answered(Instant::now());
        assert_eq!(health.presence(), Presence::There);
        tokio::time::sleep(SECOND).await;
        let second = call(60 * SECOND);
        first.await.unwrap();
        assert_eq!(health.presence(), Presence::Late);
        second.abort();
        assert!(second.await.is_err());
        assert_eq!(health.presence(), Presence::There);
        health.failed(&silence(), Instant::now()).unwrap();
        assert_eq!(health.presence(), Presence::Gone);
    }
}
