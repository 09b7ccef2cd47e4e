//! Readers of a growing fill.
//!
//! ```text
//! 0 ──────────── position ═══════ received ─ ─ ─ ─ ─ ─ ─ ─ total
//!                 │ may be read now │        │ last 16 KiB: not before the digest is right │
//! ```

use std::{
    collections::VecDeque,
    fs::File,
    io,
    ops::Range,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

use super::{
    FillError, PassingBody,
    passing::Handover,
    window::{Place, Window},
};
use crate::store::PageReader;

/// How many of the last bytes of a blob wait until its digest is known to be right.
pub const HOLD_BACK_BYTES: u64 = 16 * 1024;

/// Whether a fill still runs.
#[derive(Debug, Clone)]
pub(super) enum End {
    Running,
    /// All bytes are in the file and the digest is right.
    Verified {
        len: u64,
    },
    Failed(FillError),
    /// There is no room for more: each reader takes what came, and goes on by itself.
    HandedOver(Arc<Handover>),
}

/// A running (or just finished) fill that can be read from any byte; cheap to clone.
#[derive(Clone)]
pub struct Tail {
    pub(super) file: Arc<File>,
    pub(super) window: Arc<Window>,
    pub(super) end: watch::Receiver<End>,
    /// Size that was announced: by a descriptor, else by the remote.
    pub(super) total: Option<u64>,
    /// Held by each reader, so that they can be counted.
    pub(super) clients: Weak<()>,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("received", &*self.window.received().borrow())
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Tail {
    /// Size of the whole blob in bytes, if anybody said it. It never changes: headers and body must agree.
    pub fn length(&self) -> Option<u64> {
        self.total
    }

    /// For a new client: the true length, where it is known by now.
    pub(super) fn settled(mut self) -> Self {
        if let End::Verified { len } = *self.end.borrow() {
            self.total = Some(len);
        }
        self
    }

    /// A body of these bytes; an end of `u64::MAX` means up to the end of the blob.
    pub fn body(&self, range: Range<u64>) -> TailBody {
        TailBody {
            reader: PageReader::new(self.file.clone(), range.start),
            last: range.end,
            total: self.total,
            received: self.window.received(),
            window: Arc::clone(&self.window),
            end: self.end.clone(),
            change: None,
            held: VecDeque::new(),
            rest: None,
            _client: self.clients.upgrade(),
        }
    }
}

/// The bytes of a [`Tail`]. It ends with an error, which cuts the connection, when the fill fails.
pub struct TailBody {
    reader: PageReader,
    /// Exclusive end of what was asked for.
    last: u64,
    total: Option<u64>,
    window: Arc<Window>,
    received: watch::Receiver<u64>,
    end: watch::Receiver<End>,
    /// Completes when one of the two channels moved; made on the first wait.
    change: Option<ReusableBoxFuture<'static, ()>>,
    /// Read, but not given away: of a fill that was handed over what waits for the digest.
    held: VecDeque<Bytes>,
    /// What comes after what a fill that was handed over had received.
    rest: Option<PassingBody>,
    _client: Option<Arc<()>>,
}

impl TailBody {
    /// Bytes still to come, if the length is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        if let Some(rest) = &self.rest {
            return rest.remaining();
        }
        let last = match (self.last, self.total) {
            (u64::MAX, None) => return None,
            (u64::MAX, Some(total)) => total,
            (last, _) => last,
        };
        let held: u64 = self.held.iter().map(|bytes| bytes.len() as u64).sum();
        Some(last.saturating_sub(self.reader.position()) + held)
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(rest) = &mut self.rest {
                return rest.poll_next(cx);
            }
            match self.step() {
                Step::Hold { end } => match ready!(self.poll_read(cx, end)) {
                    Ok(bytes) => self.held.push_back(bytes),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Step::GoOn(handover) => {
                    let from = self.reader.position().max(handover.received);
                    let held = std::mem::take(&mut self.held);
                    self.rest = Some(handover.body(from..self.last, held));
                }
                Step::Read { end } => return self.poll_read(cx, end).map(Some),
                Step::Finished => return Poll::Ready(None),
                Step::Cut(error) => return Poll::Ready(Some(Err(error))),
                Step::Wait => ready!(self.poll_change(cx)),
            }
        }
    }

    /// From the window, or else from the file.
    fn poll_read(&mut self, cx: &mut Context<'_>, end: u64) -> Poll<io::Result<Bytes>> {
        match self.window.find(self.reader.position(), end) {
            Place::Memory(bytes) => {
                self.reader.skip(bytes.len() as u64);
                Poll::Ready(Ok(bytes))
            }
            Place::File { until } => self.reader.poll_read(cx, until),
        }
    }

    /// Decides from the state of the fill alone.
    fn step(&mut self) -> Step {
        let end = self.end.borrow_and_update().clone();
        let received = *self.received.borrow_and_update();
        let position = self.reader.position();
        let limit = match end {
            End::Verified { len } => {
                if position >= self.last.min(len) {
                    return self.finish(len);
                }
                self.last.min(len)
            }
            End::Failed(_) | End::Running if position >= self.last => return Step::Finished,
            End::HandedOver(handover) => return self.step_after(handover),
            End::Failed(error) => return Step::Cut(io::Error::other(error)),
            End::Running => self.released(received),
        };
        if position < limit {
            Step::Read { end: limit }
        } else {
            Step::Wait
        }
    }

    /// What is left to do of a fill that was handed over.
    fn step_after(&self, handover: Arc<Handover>) -> Step {
        let position = self.reader.position();
        let here = handover.received.min(self.last);
        let limit = self.released(handover.received);
        if position < limit {
            Step::Read { end: limit }
        } else if position < here {
            Step::Hold { end: here }
        } else if position >= self.last && self.held.is_empty() {
            Step::Finished
        } else {
            Step::GoOn(handover)
        }
    }

    /// At the end of a verified blob: complete only if it is as long as what was announced.
    fn finish(&self, len: u64) -> Step {
        match self.last {
            u64::MAX if self.total.is_none_or(|total| total == len) => Step::Finished,
            last if last <= len => Step::Finished,
            _ => Step::Cut(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the blob is shorter than what was announced",
            )),
        }
    }

    /// Up to where bytes may be given away while the digest is not yet known to be right.
    fn released(&self, received: u64) -> u64 {
        let Some(total) = self.total else {
            return received.saturating_sub(HOLD_BACK_BYTES).min(self.last);
        };
        if self.last < total {
            return received.min(self.last);
        }
        received.min(total.saturating_sub(HOLD_BACK_BYTES))
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let next = || changed(self.received.clone(), self.end.clone());
        let change = match &mut self.change {
            Some(change) => change,
            // A receiver's clone has seen what the original has seen, so nothing that moves from here on is missed.
            empty => empty.insert(ReusableBoxFuture::new(next())),
        };
        ready!(change.poll(cx));
        self.change = None;
        Poll::Ready(())
    }
}

enum Step {
    Read {
        end: u64,
    },
    /// Read, and keep it until the digest is known.
    Hold {
        end: u64,
    },
    GoOn(Arc<Handover>),
    Wait,
    Finished,
    Cut(io::Error),
}

/// Waits until one of the channels moves. (The window, which a reader holds, keeps its channel open.)
async fn changed(mut received: watch::Receiver<u64>, mut end: watch::Receiver<End>) {
    tokio::select! {
        _ = received.changed() => {}
        _ = end.changed() => {}
    }
}

impl http_body::Body for TailBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.poll_next(cx)
            .map(|next| next.map(|bytes| bytes.map(http_body::Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.remaining().map_or_else(
            http_body::SizeHint::default,
            http_body::SizeHint::with_exact,
        )
    }
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
