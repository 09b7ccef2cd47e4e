//! What one remote may take of us at once: connections and bytes per second, foreground before background in both.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::{sync::oneshot, time::Instant};

use super::Priority;
use crate::config;

/// How long background transfers stand back once a foreground one had to wait for its share.
const STAND_BACK: Duration = Duration::from_millis(200);

/// The limits of one remote, shared by all its requests.
#[derive(Clone)]
pub(super) struct Limits {
    connections: Option<Arc<Connections>>,
    pub(super) bandwidth: Option<Arc<Bandwidth>>,
}

impl Limits {
    pub(super) fn new(remote: &config::Remote) -> Self {
        Self {
            connections: remote.max_connections.map(Connections::new).map(Arc::new),
            bandwidth: remote.bandwidth.map(Bandwidth::new).map(Arc::new),
        }
    }

    /// This process has one of so many shares.
    pub(super) fn set_share(&self, replicas: u32) {
        if let Some(connections) = &self.connections {
            Connections::set_share(connections, replicas);
        }
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.replicas.store(replicas, Ordering::Relaxed);
        }
    }

    /// A place among `max_connections`, kept until the answer's body is gone.
    pub(super) async fn slot(&self, priority: Priority) -> Option<Slot> {
        let connections = self.connections.as_ref()?;
        Some(Connections::slot(connections, priority).await)
    }
}

/// So many places, given to foreground calls first, and among equals in the order in which they came. Of several the
/// background never has all, since a body may be long.
struct Connections {
    /// Of all replicas together.
    places: u32,
    queues: Mutex<Queues>,
}

struct Queues {
    places: u32,
    taken: u32,
    /// How many of them by the background.
    background_taken: u32,
    foreground: VecDeque<oneshot::Sender<Slot>>,
    background: VecDeque<oneshot::Sender<Slot>>,
}

/// One place; free again when dropped.
pub(super) struct Slot {
    connections: Arc<Connections>,
    priority: Priority,
}

impl Drop for Slot {
    fn drop(&mut self) {
        Connections::pass_on(&self.connections, self.priority);
    }
}

impl Connections {
    fn new(places: u32) -> Self {
        let queues = Queues {
            places,
            taken: 0,
            background_taken: 0,
            foreground: VecDeque::new(),
            background: VecDeque::new(),
        };
        Self {
            places,
            queues: Mutex::new(queues),
        }
    }

    /// Who has a place keeps it, also when there are fewer by now.
    fn set_share(this: &Arc<Self>, replicas: u32) {
        let places = (this.places / replicas.max(1)).max(1);
        this.queues().places = places;
        loop {
            let next = this.queues().next();
            let Some((next, priority)) = next else {
                return;
            };
            drop(next.send(Self::place(this, priority)));
        }
    }

    /// May be dropped while it waits.
    async fn slot(this: &Arc<Self>, priority: Priority) -> Slot {
        let turn = {
            let mut queues = this.queues();
            if queues.take(priority) {
                return Self::place(this, priority);
            }
            let (sender, turn) = oneshot::channel();
            queues.push(sender, priority);
            turn
        };
        turn.await
            .expect("a waiter is taken out of its queue with a place only")
    }

    /// Gives the place of one who had it to the next who waits. One who has left lets it go, and it is passed on again.
    fn pass_on(this: &Arc<Self>, from: Priority) {
        let next = {
            let mut queues = this.queues();
            queues.give_back(from);
            queues.next()
        };
        if let Some((next, priority)) = next {
            drop(next.send(Self::place(this, priority)));
        }
    }

    fn place(this: &Arc<Self>, priority: Priority) -> Slot {
        Slot {
            connections: Arc::clone(this),
            priority,
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn take(&mut self, priority: Priority) -> bool {
        let background = u32::from(priority == Priority::Background);
        let for_background = self.places.saturating_sub(1).max(1);
        if self.taken >= self.places || self.background_taken + background > for_background {
            return false;
        }
        self.taken += 1;
        self.background_taken += background;
        true
    }

    fn give_back(&mut self, priority: Priority) {
        self.taken -= 1;
        self.background_taken -= u32::from(priority == Priority::Background);
    }

    fn push(&mut self, waiter: oneshot::Sender<Slot>, priority: Priority) {
        self.waiting(priority).push_back(waiter);
    }

    /// The next who may have a place, which is taken for it.
    fn next(&mut self) -> Option<(oneshot::Sender<Slot>, Priority)> {
        for priority in [Priority::Foreground, Priority::Background] {
            if !self.waiting(priority).is_empty() && self.take(priority) {
                let next = self.waiting(priority).pop_front();
                return next.map(|next| (next, priority));
            }
        }
        None
    }

    /// A queue without those who have left.
    fn waiting(&mut self, priority: Priority) -> &mut VecDeque<oneshot::Sender<Slot>> {
        let queue = match priority {
            Priority::Foreground => &mut self.foreground,
            Priority::Background => &mut self.background,
        };
        queue.retain(|waiter| !waiter.is_closed());
        queue
    }
}

/// Bytes per second over all bodies that share it.
pub struct Bandwidth {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    burst: NonZeroU32,
    /// How many processes share it: each byte of one costs as many.
    replicas: AtomicU32,
    began: Instant,
    /// Milliseconds since `began` until which background transfers stand back.
    stand_back_until: AtomicU64,
}

impl Bandwidth {
    pub fn new(bytes_per_second: u64) -> Self {
        let rate = u32::try_from(bytes_per_second).unwrap_or(u32::MAX);
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        // A tenth of a second at once: smooth, and few wake-ups.
        let burst = NonZeroU32::new(rate.get() / 10).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self {
            limiter: RateLimiter::direct(quota),
            clock: DefaultClock::default(),
            burst,
            replicas: AtomicU32::new(1),
            began: Instant::now(),
            stand_back_until: AtomicU64::new(0),
        }
    }

    /// How many of `wanted` bytes may pass now, or how long to wait before asking again. The background has what the
    /// foreground leaves: nothing while somebody of the foreground waits.
    pub fn take(&self, wanted: usize, priority: Priority) -> Result<usize, Duration> {
        if priority == Priority::Background {
            self.stand_back()?;
        }
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let replicas = self.replicas.load(Ordering::Relaxed).max(1);
        let piece = wanted.min((self.burst.get() / replicas).max(1));
        let cost = piece.saturating_mul(replicas).min(self.burst.get());
        let Some(cost) = NonZeroU32::new(cost) else {
            return Ok(0);
        };
        match self.limiter.check_n(cost) {
            Ok(Ok(())) => Ok(piece as usize),
            Ok(Err(not_yet)) => {
                let wait = not_yet.wait_time_from(self.clock.now());
                if priority == Priority::Foreground {
                    self.hold_background_back(wait + STAND_BACK);
                }
                Err(wait)
            }
            Err(_) => unreachable!("a piece is never larger than the burst"),
        }
    }

    fn stand_back(&self) -> Result<(), Duration> {
        let until = self.stand_back_until.load(Ordering::Relaxed);
        match until.checked_sub(self.elapsed_ms()) {
            None | Some(0) => Ok(()),
            Some(left) => Err(Duration::from_millis(left)),
        }
    }

    fn hold_background_back(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.elapsed_ms().saturating_add(time);
        self.stand_back_until.fetch_max(until, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const FOREGROUND: Priority = Priority::Foreground;
    const BACKGROUND: Priority = Priority::Background;

    #[tokio::test]
    async fn a_burst_passes_at_once_and_the_rest_waits() {
        let bandwidth = Bandwidth::new(1000);
        assert_eq!(bandwidth.take(0, FOREGROUND), Ok(0));
        assert_eq!(bandwidth.take(5000, FOREGROUND), Ok(100));
        let wait = bandwidth.take(5000, FOREGROUND).unwrap_err();
        assert!(wait <= Duration::from_millis(100) && wait > Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn the_background_has_the_bandwidth_that_the_foreground_leaves() {
        let bandwidth = Bandwidth::new(1_000_000);
        assert_eq!(bandwidth.take(10, FOREGROUND), Ok(10));
        assert_eq!(bandwidth.take(10, BACKGROUND), Ok(10));
        assert!(bandwidth.take(200_000, FOREGROUND).is_err());
        let wait = bandwidth.take(1, BACKGROUND).unwrap_err();
        assert!(wait >= STAND_BACK, "{wait:?}");
        // It alone does not hold itself back.
        tokio::time::advance(wait).await;
        assert!(bandwidth.stand_back().is_ok());
    }

    #[tokio::test]
    async fn the_foreground_is_first_at_a_place_that_becomes_free() {
        let connections = Arc::new(Connections::new(1));
        let held = Connections::slot(&connections, BACKGROUND).await;
        let mut background = Box::pin(Connections::slot(&connections, BACKGROUND));
        let mut second = Box::pin(Connections::slot(&connections, FOREGROUND));
        let mut third = Box::pin(Connections::slot(&connections, FOREGROUND));
        assert!(background.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(held);
        assert!(background.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(
            second
                .as_mut()
                .now_or_never()
                .expect("first of the foreground"),
        );
        assert!(background.as_mut().now_or_never().is_none());
        drop(
            third
                .as_mut()
                .now_or_never()
                .expect("second of the foreground"),
        );
        assert!(background.as_mut().now_or_never().is_some());
        assert_eq!(connections.queues().taken, 0);
    }

    #[tokio::test]
    async fn of_several_places_the_background_leaves_one() {
        let connections = Arc::new(Connections::new(2));
        let slot = |priority| Connections::slot(&connections, priority).now_or_never();
        let one = slot(BACKGROUND).expect("of two it may have one");
        let mut waits = Box::pin(Connections::slot(&connections, BACKGROUND));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(slot(FOREGROUND).expect("the other one"));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(one);
        assert!(waits.now_or_never().is_some());
        assert_eq!(connections.queues().taken, 0);
    }

    #[tokio::test]
    async fn a_place_is_not_lost_with_those_who_left_the_queue() {
        let connections = Arc::new(Connections::new(1));
        let held = Connections::slot(&connections, FOREGROUND).await;
        let wait = || {
            let mut wait = Box::pin(Connections::slot(&connections, FOREGROUND));
            assert!(wait.as_mut().now_or_never().is_none());
            wait
        };
        let (leaves_early, leaves_late, stays) = (wait(), wait(), wait());
        drop(leaves_early);
        drop(held);
        // Its turn has come, but it does not look any more.
        drop(leaves_late);
        drop(stays.now_or_never().expect("the place was passed on"));
        assert_eq!(connections.queues().taken, 0);
    }

    #[tokio::test]
    async fn replicas_divide_places_and_bandwidth() {
        let limits = Limits {
            connections: Some(Arc::new(Connections::new(4))),
            bandwidth: Some(Arc::new(Bandwidth::new(10_000))),
        };
        limits.set_share(2);
        let slot = || limits.slot(FOREGROUND).now_or_never().map(Option::unwrap);
        let held = [slot().expect("one of two"), slot().expect("two of two")];
        let mut waits = Box::pin(limits.slot(FOREGROUND));
        assert!(waits.as_mut().now_or_never().is_none());
        let bandwidth = limits.bandwidth.as_ref().unwrap();
        assert_eq!(bandwidth.take(5000, FOREGROUND), Ok(500));
        assert!(bandwidth.take(5000, FOREGROUND).is_err());
        // The other one is gone.
        limits.set_share(1);
        drop(waits.now_or_never().expect("there is a place again"));
        // More replicas than places: each has one.
        limits.set_share(9);
        drop(held);
        let one = slot().expect("its only place");
        assert!(slot().is_none());
        drop(one);
    }
}
