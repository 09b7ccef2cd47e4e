//! One question to a remote at a time: callers with the same key share one run, which outlives each of them. All runs
//! together are bounded by a gate, where they queue in the order in which they came.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::MirrorError;

type Outcome<V> = Result<V, MirrorError>;
type Flight<V> = Shared<BoxFuture<'static, Outcome<V>>>;
type Running<K, V> = Arc<Mutex<HashMap<K, Flight<V>>>>;

/// What a client that found no place is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// So many at once, first come first served.
#[derive(Clone)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    /// How long one waits for a place.
    patience: Duration,
}

impl Gate {
    pub(super) fn new(places: usize, patience: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            patience,
        }
    }

    /// A place, kept until it is dropped.
    ///
    /// # Errors
    /// `Unavailable` when none became free in time.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, MirrorError> {
        let place = Arc::clone(&self.places).acquire_owned();
        match timeout(self.patience, place).await {
            Ok(place) => Ok(place.expect("the semaphore is never closed")),
            Err(_elapsed) => Err(MirrorError::Unavailable {
                message: "too many questions to remotes are waiting for their answers".to_owned(),
                retry_after: Some(RETRY_AFTER),
            }),
        }
    }
}

/// Runs that are under way, by key.
pub(super) struct Flights<K, V> {
    running: Running<K, V>,
    gate: Gate,
    tasks: TaskTracker,
}

/// Whether a caller started the run or found it under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    Pilot,
    Passenger,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(gate: &Gate, tasks: &TaskTracker) -> Self {
        Self {
            running: Arc::default(),
            gate: gate.clone(),
            tasks: tasks.clone(),
        }
    }

    /// Joins the run of this key, or starts `make` as a task of its own. Dropping the future leaves the run going.
    ///
    /// A run must not wait for one that goes through the same gate: with all places taken, neither would end.
    pub(super) async fn run(
        &self,
        key: K,
        make: BoxFuture<'static, Outcome<V>>,
    ) -> (Outcome<V>, Seat) {
        let (flight, seat) = self.board(key, make);
        (flight.await, seat)
    }

    /// As `run`, for nobody who waits.
    pub(super) fn start(&self, key: K, make: BoxFuture<'static, Outcome<V>>) {
        drop(self.board(key, make));
    }

    fn board(&self, key: K, make: BoxFuture<'static, Outcome<V>>) -> (Flight<V>, Seat) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = running.get(&key) {
            return (flight.clone(), Seat::Passenger);
        }
        let (sender, receiver) = oneshot::channel();
        // A run that panicked drops its sender; its callers get an error, and the key is free again.
        let flight = receiver
            .map(|result| result.unwrap_or(Err(MirrorError::Internal)))
            .boxed()
            .shared();
        running.insert(key.clone(), flight.clone());
        let landing = Landing {
            running: self.running.clone(),
            key,
        };
        let gate = self.gate.clone();
        self.tasks.spawn(async move {
            let result = match gate.enter().await {
                Ok(_place) => make.await,
                Err(error) => Err(error),
            };
            drop(landing);
            // Nobody waits any more: the run was worth it for what it has left behind.
            let _ = sender.send(result);
        });
        (flight, Seat::Pilot)
    }
}

/// Frees the key, whatever ends the run.
struct Landing<K: Eq + Hash, V> {
    running: Running<K, V>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flights<V: Clone + Send + Sync + 'static>(places: usize) -> Flights<&'static str, V> {
        Flights::new(&Gate::new(places, 3 * SECOND), &TaskTracker::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_waits_for_a_place_and_gives_up_when_there_is_none_in_time() {
        let flights = flights(1);
        let take = |time| async move {
            tokio::time::sleep(time).await;
            Ok(())
        };
        flights.start("first", take(2 * SECOND).boxed());
        let (second, _) = flights.run("second", take(10 * SECOND).boxed()).await;
        assert!(second.is_ok(), "{second:?}");
        flights.start("third", take(10 * SECOND).boxed());
        tokio::task::yield_now().await;
        let (fourth, _) = flights.run("fourth", take(SECOND).boxed()).await;
        let Err(MirrorError::Unavailable { retry_after, .. }) = fourth else {
            panic!("{fourth:?}");
        };
        assert_eq!(retry_after, Some(RETRY_AFTER));
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_lets_in_who_came_first() {
        let gate = Gate::new(1, 60 * SECOND);
        let first = gate.enter().await.expect("a free place");
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..5 {
            let (gate, sender) = (gate.clone(), sender.clone());
            tokio::spawn(async move {
                let _place = gate.enter().await;
                sender.send(number).expect("the test listens");
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        for number in 0..5 {
            assert_eq!(order.recv().await, Some(number));
        }
    }

    #[tokio::test]
    async fn callers_of_one_key_share_one_run_that_outlives_the_first() {
        let flights = flights::<usize>(1);
        let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let run = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                Ok(7)
            }
            .boxed()
        };
        let (first, seat) = flights.board("key", run());
        assert_eq!(seat, Seat::Pilot);
        drop(first);
        let (second, seat) = flights.board("key", run());
        assert_eq!(seat, Seat::Passenger);
        gate.notify_one();
        assert_eq!(second.await.expect("the run succeeds"), 7);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_run_that_panics_frees_its_key() {
        let flights = flights::<usize>(1);
        let (result, _) = flights
            .run("key", async { panic!("broken invariant") }.boxed())
            .await;
        assert!(matches!(result, Err(MirrorError::Internal)));
        let (result, seat) = flights.run("key", async { Ok(1) }.boxed()).await;
        assert_eq!((result.expect("the key is free"), seat), (1, Seat::Pilot));
    }
}
