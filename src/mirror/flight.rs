//! One question to a remote at a time: callers with the same key share one run, which outlives each of them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::MirrorError;

type Outcome<V> = Result<V, MirrorError>;
type Flight<V> = Shared<BoxFuture<'static, Outcome<V>>>;
type Running<K, V> = Arc<Mutex<HashMap<K, Flight<V>>>>;

/// Runs that are under way, by key.
pub(super) struct Flights<K, V> {
    running: Running<K, V>,
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
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self {
            running: Arc::default(),
            tasks,
        }
    }

    /// Joins the run of this key, or starts `make` as a task of its own. Dropping the future leaves the run going.
    pub(super) async fn run(
        &self,
        key: K,
        make: BoxFuture<'static, Outcome<V>>,
    ) -> (Outcome<V>, Seat) {
        let (flight, seat) = self.board(key, make);
        (flight.await, seat)
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
        self.tasks.spawn(async move {
            let result = make.await;
            drop(landing);
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

    #[tokio::test]
    async fn callers_of_one_key_share_one_run_that_outlives_the_first() {
        let flights = Arc::new(Flights::<&str, usize>::new(TaskTracker::new()));
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
        let flights = Flights::<&str, usize>::new(TaskTracker::new());
        let (result, _) = flights
            .run("key", async { panic!("broken invariant") }.boxed())
            .await;
        assert!(matches!(result, Err(MirrorError::Internal)));
        let (result, seat) = flights.run("key", async { Ok(1) }.boxed()).await;
        assert_eq!((result.expect("the key is free"), seat), (1, Seat::Pilot));
    }
}
