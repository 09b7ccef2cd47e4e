//! What one remote may take of us at once: connections and bytes per second, foreground before background in both. Both
//! can be changed while requests run.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{Bandwidth, Priority};
use crate::config;

/// The limits of one remote, shared by all its requests; clones are one.
#[derive(Clone)]
pub(super) struct Limits {
    connections: Arc<Connections>,
    pub(super) bandwidth: Arc<Bandwidth>,
}

impl Limits {
    pub(super) fn new(remote: &config::Remote) -> Self {
        Self {
            connections: Arc::new(Connections::new(places(remote))),
            bandwidth: Arc::new(Bandwidth::new(remote.bandwidth)),
        }
    }

    /// Holds at once, for what runs too.
    pub(super) fn set(&self, remote: &config::Remote) {
        Connections::change(&self.connections, |queues| queues.of_all = places(remote));
        self.bandwidth.set(remote.bandwidth);
    }

    /// This process has one of so many shares.
    pub(super) fn set_share(&self, replicas: u32) {
        Connections::change(&self.connections, |queues| {
            queues.replicas = replicas.max(1);
        });
        self.bandwidth.set_share(replicas);
    }

    /// A place among `max_connections`, kept until the answer's body is gone.
    pub(super) async fn slot(&self, priority: Priority) -> Slot {
        Connections::slot(&self.connections, priority).await
    }
}

/// As many as there can be, if the remote does not say.
fn places(remote: &config::Remote) -> u32 {
    remote.max_connections.unwrap_or(u32::MAX)
}

/// So many places, given to foreground calls first, and among equals in the order in which they came. Of several the
/// background never has all, since a body may be long.
struct Connections {
    queues: Mutex<Queues>,
}

struct Queues {
    /// Of all replicas together.
    of_all: u32,
    replicas: u32,
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
            of_all: places,
            replicas: 1,
            taken: 0,
            background_taken: 0,
            foreground: VecDeque::new(),
            background: VecDeque::new(),
        };
        Self {
            queues: Mutex::new(queues),
        }
    }

    /// Who has a place keeps it, also when there are fewer by now.
    fn change(this: &Arc<Self>, change: impl FnOnce(&mut Queues)) {
        change(&mut this.queues());
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
    fn places(&self) -> u32 {
        (self.of_all / self.replicas).max(1)
    }

    fn take(&mut self, priority: Priority) -> bool {
        let background = u32::from(priority == Priority::Background);
        let for_background = self.places().saturating_sub(1).max(1);
        if self.taken >= self.places() || self.background_taken + background > for_background {
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const FOREGROUND: Priority = Priority::Foreground;
    const BACKGROUND: Priority = Priority::Background;

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
            connections: Arc::new(Connections::new(4)),
            bandwidth: Arc::new(Bandwidth::new(Some(10_000))),
        };
        limits.set_share(2);
        let slot = || limits.slot(FOREGROUND).now_or_never();
        let held = [slot().expect("one of two"), slot().expect("two of two")];
        let mut waits = Box::pin(limits.slot(FOREGROUND));
        assert!(waits.as_mut().now_or_never().is_none());
        let bandwidth = &limits.bandwidth;
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

    #[tokio::test]
    async fn places_that_are_added_are_for_those_who_wait() {
        let connections = Arc::new(Connections::new(1));
        let held = Connections::slot(&connections, FOREGROUND).await;
        let mut waits = Box::pin(Connections::slot(&connections, FOREGROUND));
        assert!(waits.as_mut().now_or_never().is_none());
        Connections::change(&connections, |queues| queues.of_all = u32::MAX);
        let second = waits.now_or_never().expect("there are more places");
        // Who has one keeps it, and nobody else gets one.
        Connections::change(&connections, |queues| queues.of_all = 1);
        drop(second);
        let third = Connections::slot(&connections, FOREGROUND).now_or_never();
        assert!(third.is_none());
        drop(held);
        assert_eq!(connections.queues().taken, 0);
    }
}
