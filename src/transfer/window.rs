//! The newest bytes of a running fill, in memory: readers that keep up take them here, before they are in the file.
//!
//! ```text
//! 0 ═══════ in the file ═══════ start ═══ in the window ═══ received
//!                                  └ whatever is not yet in the file, and what was, as far as the budget goes
//! ```

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::watch;

/// What all windows together keep of what is in files already, for readers that are behind.
const BUDGET_BYTES: usize = 32 * 1024 * 1024;
/// What one window keeps of it when nobody is behind: for readers that come while a fill is young, and as little as
/// that because memory that is used for the first time is dear too (docs/adr/0004).
const KEPT_BYTES: u64 = 4 * 1024 * 1024;
/// A reader that asks for nothing while so much comes is not waited for.
const LAP_BYTES: u64 = 4 * 1024 * 1024;

/// What a fill may gather in memory while its last step is being written: a disk that is as fast as the remote on the
/// whole is late by milliseconds every now and then.
const GATHER_BYTES: usize = 8 * 1024 * 1024;
const GATHER_CROWDED_BYTES: usize = 64 * 1024;
/// So much in all windows together means that the disk is slower than the remotes.
const CROWDED_BYTES: usize = 64 * 1024 * 1024;

/// Bytes in all windows of the process.
pub(super) type Budget = Arc<AtomicUsize>;

/// The newest bytes of one fill.
pub(super) struct Window {
    held: Mutex<Held>,
    received: watch::Sender<u64>,
    budget: Budget,
}

struct Held {
    /// Where the first chunk begins; everything before is in the file.
    start: u64,
    chunks: VecDeque<Bytes>,
    readers: Readers,
}

/// How far behind the readers are.
struct Readers {
    /// The first byte that was asked for in this lap, and in the one before.
    lap: u64,
    lap_before: u64,
    /// What will have been received when this lap ends.
    lap_end: u64,
}

/// Where bytes are that have been received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory(Bytes),
    /// The file has them up to here at least.
    File {
        until: u64,
    },
}

impl Window {
    /// Of a fill whose file has this many bytes already.
    pub(super) fn new(in_file: u64, budget: Budget) -> Self {
        let held = Held {
            start: in_file,
            chunks: VecDeque::new(),
            readers: Readers {
                lap: in_file,
                lap_before: in_file,
                lap_end: in_file + LAP_BYTES,
            },
        };
        Self {
            held: Mutex::new(held),
            received: watch::Sender::new(in_file),
            budget,
        }
    }

    /// Follows how many bytes of the blob may be read, from memory or from the file.
    pub(super) fn received(&self) -> watch::Receiver<u64> {
        self.received.subscribe()
    }

    /// Takes in the next bytes; `in_file` is how many the file has by now.
    pub(super) fn push(&self, chunk: Bytes, in_file: u64) {
        let received = *self.received.borrow() + chunk.len() as u64;
        self.budget.fetch_add(chunk.len(), Ordering::Relaxed);
        let mut window = self.lock();
        window.chunks.push_back(chunk);
        let unused = window.readers.behind(received);
        while window.chunks.len() > 1 {
            let end_of_first = window.start + window.first_len();
            let over_budget = self.budget.load(Ordering::Relaxed) > BUDGET_BYTES;
            if end_of_first > in_file || !(over_budget || end_of_first <= unused) {
                break;
            }
            let dropped = window.drop_first();
            self.budget.fetch_sub(dropped, Ordering::Relaxed);
        }
        drop(window);
        self.received.send_replace(received);
    }

    /// How many bytes a fill may gather while its last step is being written: the less the more all windows hold.
    pub(super) fn room(&self) -> usize {
        let left = CROWDED_BYTES.saturating_sub(self.budget.load(Ordering::Relaxed));
        (left / 4).clamp(GATHER_CROWDED_BYTES, GATHER_BYTES)
    }

    /// The bytes at `position`, which have been received, up to `end`.
    pub(super) fn find(&self, position: u64, end: u64) -> Place {
        let mut window = self.lock();
        window.readers.asked(position);
        let Some(mut skip) = position.checked_sub(window.start) else {
            return Place::File {
                until: end.min(window.start),
            };
        };
        for chunk in &window.chunks {
            if skip < chunk.len() as u64 {
                let from = usize::try_from(skip).expect("less than the chunk's length");
                let most = usize::try_from(end - position).unwrap_or(usize::MAX);
                let to = chunk.len().min(from.saturating_add(most));
                return Place::Memory(chunk.slice(from..to));
            }
            skip -= chunk.len() as u64;
        }
        Place::File { until: end }
    }

    /// Everything is in the file now.
    pub(super) fn clear(&self) {
        let mut window = self.lock();
        let held: usize = window.chunks.iter().map(Bytes::len).sum();
        window.start += held as u64;
        window.chunks = VecDeque::new();
        self.budget.fetch_sub(held, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing under this lock can leave the chunks half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn first_len(&self) -> u64 {
        self.chunks.front().map_or(0, |chunk| chunk.len() as u64)
    }

    fn drop_first(&mut self) -> usize {
        let dropped = self.chunks.pop_front().map_or(0, |chunk| chunk.len());
        self.start += dropped as u64;
        dropped
    }
}

impl Readers {
    fn asked(&mut self, position: u64) {
        self.lap = self.lap.min(position);
    }

    /// Up to where bytes are not worth their memory when so much has been received.
    fn behind(&mut self, received: u64) -> u64 {
        if received >= self.lap_end {
            self.lap_before = self.lap;
            self.lap = received;
            self.lap_end = received + LAP_BYTES;
        }
        let wanted = self.lap.min(self.lap_before);
        wanted.min(received.saturating_sub(KEPT_BYTES))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn bytes_are_found_where_they_are() {
        let window = Window::new(100, Budget::default());
        window.push(Bytes::from_static(b"hello"), 100);
        window.push(Bytes::from_static(b"world"), 100);
        assert_eq!(*window.received().borrow(), 110);
        assert_eq!(window.find(40, 110), Place::File { until: 100 });
        assert_eq!(window.find(40, 60), Place::File { until: 60 });
        assert_eq!(window.find(103, 110), Place::Memory("lo".into()));
        assert_eq!(window.find(105, 108), Place::Memory("wor".into()));
    }

    #[test]
    fn what_a_reader_wants_stays_until_the_budget_is_spent_or_longer_when_it_is_not_in_the_file() {
        let budget = Budget::default();
        let window = Window::new(0, budget.clone());
        let chunk = Bytes::from(vec![7; MIB]);
        for pushed in 0..40 {
            window.find(0, 1);
            window.push(chunk.clone(), 4 * MIB as u64);
            assert_eq!(window.lock().start == 0, pushed < 32, "{pushed}");
        }
        // The file had 4 MiB only: the other 36 stay, whatever the budget says.
        assert_eq!(window.lock().start, 4 * MIB as u64);
        assert_eq!(budget.load(Ordering::Relaxed), 36 * MIB);
        drop(window);
        assert_eq!(budget.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_all_readers_had_leaves_but_for_a_little() {
        let window = Window::new(0, Budget::default());
        let chunk = Bytes::from(vec![7; MIB]);
        for received in 1..40 {
            let received = received * MIB as u64;
            window.push(chunk.clone(), received);
            window.find(received - 1, received);
        }
        // A lap and what is kept anyway.
        assert!(window.lock().chunks.len() <= 9);
        let kept = Place::Memory(chunk.slice(..1));
        assert_eq!(window.find(35 * MIB as u64, 35 * MIB as u64 + 1), kept);
    }

    #[test]
    fn a_reader_that_stopped_is_not_waited_for() {
        let window = Window::new(0, Budget::default());
        let chunk = Bytes::from(vec![7; MIB]);
        window.find(0, 1);
        for received in 1..=20 {
            window.push(chunk.clone(), received * MIB as u64);
        }
        assert_eq!(window.find(0, 1), Place::File { until: 1 });
    }

    #[test]
    fn many_fills_on_a_slow_disk_gather_little() {
        let budget = Budget::default();
        let window = Window::new(0, budget.clone());
        assert_eq!(window.room(), GATHER_BYTES);
        budget.store(CROWDED_BYTES / 4 * 3, Ordering::Relaxed);
        assert_eq!(window.room(), CROWDED_BYTES / 16);
        budget.store(CROWDED_BYTES + 1, Ordering::Relaxed);
        assert_eq!(window.room(), GATHER_CROWDED_BYTES);
        budget.store(0, Ordering::Relaxed);
    }

    #[test]
    fn a_cleared_window_sends_readers_to_the_file() {
        let window = Window::new(0, Budget::default());
        window.push(Bytes::from_static(b"hello"), 5);
        window.clear();
        assert_eq!(window.find(2, 5), Place::File { until: 5 });
    }
}
