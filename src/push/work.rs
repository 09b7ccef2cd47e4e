//! Who works on which upload session here: one request at a time.
//!
//! A client whose connection broke comes again, often before this server has heard of the break. What it began has then
//! nothing more to come. So whoever waits for a session has it as soon as nothing comes for the request before, which
//! ends as if its connection had broken; what it brought stays.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PushError;

/// How long a request waits for a session that another one brings bytes to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who brings nothing for so long while another one waits is given up.
const STALL: Duration = Duration::from_secs(1);
/// A body of which nothing comes for so long is given up.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// All sessions that somebody works on.
#[derive(Default)]
pub(super) struct Desks {
    taken: Mutex<HashMap<Uuid, Taken>>,
}

struct Taken {
    desk: Arc<Desk>,
    /// Who work or wait there.
    places: usize,
}

struct Desk {
    /// Of one.
    turn: Arc<Semaphore>,
    /// How many wait for it.
    waiting: watch::Sender<usize>,
}

/// The right to work on one session, until it is dropped.
pub(super) struct Worker {
    // Given back before the place is left.
    _turn: OwnedSemaphorePermit,
    place: Place,
    /// Since when the client is waited for.
    idle_since: Mutex<Option<Instant>>,
    /// The session is somebody else's now, at another replica.
    lost: CancellationToken,
}

impl Desks {
    /// Waits until nobody else works on the session here. One that the client of the request before has left is taken
    /// over within a moment; else [`PushError::Busy`].
    pub(super) async fn sit_down(self: &Arc<Self>, id: Uuid) -> Result<Worker, PushError> {
        let place = self.place(id);
        let waiting = place.wait();
        let turn = timeout(PATIENCE, Arc::clone(&place.desk.turn).acquire_owned()).await;
        drop(waiting);
        let turn = turn.map_err(|_elapsed| PushError::Busy)?;
        Ok(Worker {
            _turn: turn.expect("the semaphore is never closed"),
            place,
            idle_since: Mutex::default(),
            lost: CancellationToken::new(),
        })
    }

    fn place(self: &Arc<Self>, id: Uuid) -> Place {
        let mut taken = self.taken();
        let taken = taken.entry(id).or_insert_with(|| Taken {
            desk: Arc::new(Desk {
                turn: Arc::new(Semaphore::new(1)),
                waiting: watch::Sender::new(0),
            }),
            places: 0,
        });
        taken.places += 1;
        Place {
            desks: Arc::clone(self),
            id,
            desk: Arc::clone(&taken.desk),
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Uuid, Taken>> {
        // Nothing under this lock can leave the map half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// To be raced against the client's next bytes: ends when they are waited for no longer.
    pub(super) async fn loses_patience(&self) {
        let _idle = self.idle();
        let wanted = async {
            sleep(STALL).await;
            let mut waiting = self.place.desk.waiting.subscribe();
            // The sender is in `self`: the channel is open.
            let _ = waiting.wait_for(|waiting| *waiting > 0).await;
        };
        tokio::select! {
            () = sleep(IDLE_TIMEOUT) => {}
            () = wanted => {}
            () = self.lost.cancelled() => {}
        }
    }

    /// How long nothing has come of the client while it was waited for.
    pub(super) fn idle_for(&self) -> Duration {
        let since = *self.idle_since();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits for its client no longer: the session is another one's.
    pub(super) fn lose(&self) {
        self.lost.cancel();
    }

    fn idle(&self) -> Idle<'_> {
        *self.idle_since() = Some(Instant::now());
        Idle { worker: self }
    }

    fn idle_since(&self) -> MutexGuard<'_, Option<Instant>> {
        // One value cannot be half changed.
        let since = self.idle_since.lock();
        since.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client is being waited for.
struct Idle<'w> {
    worker: &'w Worker,
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        *self.worker.idle_since() = None;
    }
}

/// Of one who works or waits; the last one to leave takes the desk away.
struct Place {
    desks: Arc<Desks>,
    id: Uuid,
    desk: Arc<Desk>,
}

impl Place {
    fn wait(&self) -> Waiting<'_> {
        self.desk.waiting.send_modify(|waiting| *waiting += 1);
        Waiting { place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desks = self.desks.taken();
        if let Entry::Occupied(mut taken) = desks.entry(self.id) {
            taken.get_mut().places -= 1;
            if taken.get().places == 0 {
                taken.remove();
            }
        }
    }
}

struct Waiting<'p> {
    place: &'p Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = &self.place.desk.waiting;
        waiting.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_the_session_when_nothing_comes_for_who_works_on_it() {
        let desks = Arc::new(Desks::default());
        let (id, other) = (Uuid::new_v4(), Uuid::new_v4());
        let first = desks.sit_down(id).await.unwrap();
        assert!(desks.sit_down(other).now_or_never().is_some());
        let begun = Instant::now();
        let second = tokio::spawn({
            let desks = Arc::clone(&desks);
            async move { desks.sit_down(id).await.unwrap() }
        });
        // It has waited before, and nobody else did: that does not count.
        sleep(Duration::from_secs(2)).await;
        assert_eq!(first.idle_for(), Duration::ZERO);
        first.loses_patience().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        drop(first);
        drop(second.await.unwrap());
        assert!(desks.taken().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_come_keep_the_session() {
        let desks = Arc::new(Desks::default());
        let id = Uuid::new_v4();
        let first = desks.sit_down(id).await.unwrap();
        let working = async {
            loop {
                let bytes = sleep(STALL / 2);
                tokio::select! {
                    () = bytes => {}
                    () = first.loses_patience() => panic!("something comes"),
                }
            }
        };
        let second = tokio::select! {
            never = working => never,
            second = desks.sit_down(id) => second,
        };
        assert!(matches!(second, Err(PushError::Busy)));
    }

    #[tokio::test(start_paused = true)]
    async fn alone_a_worker_waits_for_long_unless_the_session_is_lost() {
        let desks = Arc::new(Desks::default());
        let worker = desks.sit_down(Uuid::new_v4()).await.unwrap();
        let begun = Instant::now();
        worker.loses_patience().await;
        assert_eq!(begun.elapsed(), IDLE_TIMEOUT);
        worker.lose();
        assert!(worker.loses_patience().now_or_never().is_some());
    }
}
