//! The record of every request a fake registry got: for counts, and for waits without sleeping.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::matcher::On;
use super::request::Request;

/// How long a wait may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the answer to a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Running,
    /// All of the answer was handed to the socket.
    Complete,
    /// Ended early: by a fault, by `stop`, or because the client went away.
    Cut,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) request: Request,
    /// Decided on arrival, even if the answer is held, hangs or is never sent.
    pub(crate) status: u16,
    /// Bytes of the answer's body handed to the socket.
    pub(crate) bytes_sent: u64,
    pub(crate) progress: Progress,
    /// Counts beginnings and ends, so that overlaps can be told.
    began: usize,
    ended: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    requests: Vec<Recorded>,
    moments: usize,
    /// Requests before this one are forgotten.
    first: usize,
}

/// The entry of one running request; marks it as cut if dropped before `complete`.
#[derive(Debug)]
pub(super) struct Entry {
    recorder: Arc<Recorder>,
    index: usize,
}

// === impl Recorder ===

impl Recorder {
    pub(super) fn begin(self: &Arc<Self>, request: &Request) -> Entry {
        let index = self.change(|log| {
            log.moments += 1;
            log.requests.push(Recorded {
                request: request.clone(),
                status: 0,
                bytes_sent: 0,
                progress: Progress::Running,
                began: log.moments,
                ended: None,
            });
            log.requests.len() - 1
        });
        Entry {
            recorder: Arc::clone(self),
            index,
        }
    }

    /// Counts and waits begin anew; requests that are still running are forgotten too.
    pub(super) fn forget(&self) {
        self.change(|log| log.first = log.requests.len());
    }

    pub(super) fn all(&self) -> Vec<Recorded> {
        self.look(|log| log.requests[log.first..].to_vec())
    }

    pub(super) fn count(&self, on: &On) -> usize {
        self.sum(on, |_| 1)
    }

    pub(super) fn sum<N: std::iter::Sum>(&self, on: &On, value: impl Fn(&Recorded) -> N) -> N {
        self.look(|log| {
            log.requests[log.first..]
                .iter()
                .filter(|entry| on.matches_recorded(entry))
                .map(value)
                .sum()
        })
    }

    /// The largest number of matching requests that were running at once.
    pub(super) fn peak(&self, on: &On) -> usize {
        let entries: Vec<Recorded> = self
            .all()
            .into_iter()
            .filter(|entry| on.matches_recorded(entry))
            .collect();
        let running_at = |moment: usize| {
            let runs = |entry: &&Recorded| {
                entry.began <= moment && entry.ended.is_none_or(|end| end > moment)
            };
            entries.iter().filter(runs).count()
        };
        entries
            .iter()
            .map(|entry| running_at(entry.began))
            .max()
            .unwrap_or(0)
    }

    /// Waits until `enough` says so; panics with all requests when that takes too long.
    pub(super) async fn wait_until(&self, what: &str, enough: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                // Register before looking, or a change in between would be missed.
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if enough(self) {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        assert!(
            in_time,
            "waited {PATIENCE:?} for {what}; requests so far:\n{}",
            self.describe()
        );
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for Recorded {
            request,
            status,
            bytes_sent,
            progress,
            ..
        } in self.all()
        {
            let Request { method, path, .. } = &request;
            let range = request.header("range");
            writeln!(
                text,
                "  {method} {path} {range} → {status} {bytes_sent} B {progress:?}"
            )
            .expect("a String takes all text");
        }
        text
    }

    fn look<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, write: impl FnOnce(&mut Log) -> T) -> T {
        let value = write(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        value
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn status(&self, status: u16) {
        self.update(|entry, _| entry.status = status);
    }

    /// Counted before the write, so that a client that has the bytes finds them counted.
    pub(super) fn sent(&self, bytes: usize) {
        self.update(|entry, _| entry.bytes_sent += bytes as u64);
    }

    /// The last bytes are about to go: what the client asks for after them does not overlap.
    pub(super) fn ending(&self) {
        self.update(|entry, moment| entry.ended = Some(moment));
    }

    pub(super) fn complete(self) {
        self.end(Progress::Complete);
    }

    fn end(&self, progress: Progress) {
        self.update(|entry, moment| {
            if entry.progress == Progress::Running {
                entry.progress = progress;
                entry.ended.get_or_insert(moment);
            }
        });
    }

    fn update(&self, write: impl FnOnce(&mut Recorded, usize)) {
        self.recorder.change(|log| {
            log.moments += 1;
            write(&mut log.requests[self.index], log.moments);
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(Progress::Cut);
    }
}
