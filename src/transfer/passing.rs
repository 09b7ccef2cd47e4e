//! Content that is not kept: each client has a request of its own at the remote.
//!
//! ```text
//! 0 ═════ given by a fill that ran out of room ═════ start ─ ─ asked for here ─ ─ last 16 KiB: not before the digest
//!                                      from ┘ (a client may want less)                                     is right
//! ```
//!
//! A body that includes the last byte is hashed from the first one on, with the hash of what a fill had already, so that
//! wrong content ends as a cut connection here, too. One that ends earlier is asked for by its range alone.

use std::{
    collections::VecDeque,
    fmt, io,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    FillError, FillRequest, Fills,
    feed::{Feed, Part, Start},
    origin,
};
use crate::oci::Hasher;

/// Bodies that are passed at the same time, at most; more wait.
pub(super) const MAX_PASSING: usize = 128;
/// How long one waits for its turn.
pub(super) const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Chunks on their way to one client.
const CHUNKS: usize = 2;

/// A blob that is passed on; each body is a request of its own. Cheap to clone.
#[derive(Clone)]
pub struct Passing {
    fills: Fills,
    request: Arc<FillRequest>,
    total: Option<u64>,
    /// The answer that told that the blob is there, for the first whole body.
    opened: Arc<Mutex<Option<Opened>>>,
}

/// An answer, and the right to have it open.
pub(super) struct Opened {
    pub(super) stream: origin::Opened,
    pub(super) turn: OwnedSemaphorePermit,
}

impl Passing {
    /// Asks the remote, which proves the right of the repository that asks.
    pub(super) async fn open(fills: Fills, request: FillRequest) -> Result<Self, FillError> {
        let turn = fills.passing_turn().await?;
        let stream = request.origin.open(&request.digest, 0, 0).await?;
        let total = request.size_bytes.or(stream.total_bytes);
        // A body without a byte has none that could wait for the digest.
        let digest = &request.digest;
        if total == Some(0) && digest.algorithm().digest(b"") != *digest {
            let (remote, digest) = (request.origin.name().to_owned(), digest.to_string());
            return Err(FillError::WrongContent { remote, digest });
        }
        Ok(Self {
            total,
            fills,
            request: Arc::new(request),
            opened: Arc::new(Mutex::new(Some(Opened { stream, turn }))),
        })
    }

    /// Size in bytes, if anybody said it.
    pub fn length(&self) -> Option<u64> {
        self.total
    }

    /// A body of these bytes; an end of `u64::MAX` means up to the end of the blob.
    pub fn body(&self, range: Range<u64>) -> PassingBody {
        let whole = range.start == 0 && self.total.is_none_or(|total| range.end >= total);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = if whole { opened.take() } else { None };
        let from = Start {
            offset: 0,
            hasher: self.request.digest.algorithm().hasher(),
            held: VecDeque::new(),
        };
        let part = Part {
            range,
            total: self.total,
        };
        pass(&self.fills, &self.request, from, part, opened)
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing")
            .field("digest", &self.request.digest)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// What a fill that ran out of room hands over to its tails.
#[derive(Clone)]
pub(super) struct Handover {
    pub(super) fills: Fills,
    pub(super) request: Arc<FillRequest>,
    /// How many bytes the fill had received: all of them are in its file or its window.
    pub(super) received: u64,
    /// Over these bytes.
    pub(super) hasher: Hasher,
    pub(super) total: Option<u64>,
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Handover {
    /// The rest of a body, from `range.start` on. `held` are bytes before that which wait for the digest.
    pub(super) fn body(&self, range: Range<u64>, held: VecDeque<Bytes>) -> PassingBody {
        let from = Start {
            offset: self.received,
            hasher: self.hasher.clone(),
            held,
        };
        let part = Part {
            range,
            total: self.total,
        };
        pass(&self.fills, &self.request, from, part, None)
    }
}

/// The bytes of one client; an error cuts the connection. Dropped, its request ends.
pub struct PassingBody {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    /// Bytes still to come, if the length is known.
    remaining: Option<u64>,
    complete: bool,
}

impl PassingBody {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.complete || self.remaining == Some(0) {
            return Poll::Ready(None);
        }
        // Closed without a word: whatever fed it has ended.
        let broken = || Err(io::ErrorKind::UnexpectedEof.into());
        let next = ready!(self.chunks.poll_recv(cx)).unwrap_or_else(broken);
        if let (Some(remaining), Ok(bytes)) = (&mut self.remaining, &next) {
            *remaining = remaining.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(match next {
            Ok(bytes) if bytes.is_empty() => {
                self.complete = true;
                // What was to come did not.
                self.remaining.map(|_| broken())
            }
            next => Some(next),
        })
    }

    pub(super) fn remaining(&self) -> Option<u64> {
        self.remaining
    }
}

impl Body for PassingBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_next(cx)
            .map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Starts a request for one client, as a task that ends with its client.
fn pass(
    fills: &Fills,
    request: &Arc<FillRequest>,
    from: Start,
    part: Part,
    opened: Option<Opened>,
) -> PassingBody {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let held: u64 = from.held.iter().map(|bytes| bytes.len() as u64).sum();
    let remaining = part.end().map(|end| end - part.range.start.min(end) + held);
    let feed = Feed::new(request, from, part, sender.clone());
    let (turns, shutdown) = (fills.clone(), fills.inner.shutdown.clone());
    fills.inner.tasks.spawn(async move {
        let ended = tokio::select! {
            ended = feed.run(turns, opened) => ended,
            () = shutdown.cancelled() => Err(FillError::Shutdown),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "a blob that is passed on broke");
            // Without it the body ends with an error, too: nobody has said that it was complete.
            let _ = sender.try_send(Err(io::Error::other(error)));
        }
    });
    PassingBody {
        chunks,
        remaining,
        complete: false,
    }
}
