//! The body of an upload: bytes that somebody else reads, lent to one request after the other, at the pace of the remote's
//! bandwidth, with a pulse by which a remote that takes nothing is told from a source that gives nothing.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{Bandwidth, Priority};

/// The most that is asked of a feed at once.
const LARGEST_PIECE: usize = 1 << 20;

/// What the bytes of an upload are read from.
pub trait Feed: Send + 'static {
    /// The next bytes, not empty and at most `limit` of them; `None` at the end.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Option<Result<Bytes, FeedBroken>>>;
}

/// A feed has no more bytes although there should be; it knows why itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing more to send")]
pub struct FeedBroken;

/// A feed that is lent to one request at a time. What a request still has when the next one gets it is worth nothing: a
/// body that lingers in a broken connection takes no more bytes.
pub struct Lender<F>(Arc<Mutex<Lent<F>>>);

struct Lent<F> {
    feed: F,
    /// Whose turn it is.
    turn: u64,
}

impl<F: Feed> Lender<F> {
    pub fn new(feed: F) -> Self {
        Self(Arc::new(Mutex::new(Lent { feed, turn: 0 })))
    }

    /// Takes the feed back for a moment.
    pub fn with<T>(&self, use_it: impl FnOnce(&mut F) -> T) -> T {
        let mut lent = lock(&self.0);
        lent.turn += 1;
        use_it(&mut lent.feed)
    }

    /// A body of so many bytes, or, when nobody knows how many, of all that there are.
    pub(super) fn lend(&self, bytes: Option<u64>, terms: Terms) -> UploadBody<F> {
        let mut lent = lock(&self.0);
        lent.turn += 1;
        UploadBody {
            lent: Arc::clone(&self.0),
            turn: lent.turn,
            left: bytes,
            held: Bytes::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            terms,
        }
    }
}

fn lock<F>(lent: &Mutex<Lent<F>>) -> MutexGuard<'_, Lent<F>> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a body keeps to.
pub(super) struct Terms {
    pub(super) pulse: Pulse,
    pub(super) bandwidth: Arc<Bandwidth>,
    pub(super) priority: Priority,
}

/// Lent bytes as the body of a request.
pub(super) struct UploadBody<F> {
    lent: Arc<Mutex<Lent<F>>>,
    turn: u64,
    /// Bytes that the feed is still to give, if that is known.
    left: Option<u64>,
    /// Read, but waits for its share of the bandwidth.
    held: Bytes,
    timer: Pin<Box<Sleep>>,
    terms: Terms,
}

impl<F: Feed> UploadBody<F> {
    /// The next bytes of the feed; `None` at the end that was agreed.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FeedBroken>>> {
        let left = self.left.unwrap_or(u64::MAX);
        if left == 0 {
            return Poll::Ready(None);
        }
        let limit = usize::try_from(left).unwrap_or(usize::MAX);
        let mut lent = lock(&self.lent);
        if lent.turn != self.turn {
            return Poll::Ready(Some(Err(FeedBroken)));
        }
        match ready!(lent.feed.poll_next(cx, limit.min(LARGEST_PIECE))) {
            None if self.left.is_none() => Poll::Ready(None),
            None => Poll::Ready(Some(Err(FeedBroken))),
            Some(Ok(bytes)) => {
                self.left = self.left.map(|left| left - bytes.len() as u64);
                Poll::Ready(Some(Ok(bytes)))
            }
            broken => Poll::Ready(broken),
        }
    }

    /// As much of the held bytes as the bandwidth grants.
    fn poll_share(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            let terms = &self.terms;
            match terms.bandwidth.take(self.held.len(), terms.priority) {
                Ok(granted) => return Poll::Ready(self.held.split_to(granted)),
                Err(wait) => self.timer.as_mut().reset(Instant::now() + wait),
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FeedBroken>>> {
        if self.held.is_empty() {
            match ready!(self.poll_feed(cx)) {
                Some(Ok(bytes)) => self.held = bytes,
                end => return Poll::Ready(end),
            }
        }
        self.poll_share(cx).map(|bytes| Some(Ok(bytes)))
    }
}

impl<F: Feed> Body for UploadBody<F> {
    type Data = Bytes;
    type Error = FeedBroken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FeedBroken>>> {
        let this = self.get_mut();
        let next = this.poll_bytes(cx);
        this.terms.pulse.beat(match &next {
            Poll::Pending => Waiting::ForUs,
            Poll::Ready(Some(Ok(_))) if !this.is_end_stream() => Waiting::ForRoom,
            Poll::Ready(Some(Ok(_)) | None) => Waiting::ForAnswer,
            Poll::Ready(Some(Err(_))) => Waiting::Broken,
        });
        next.map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) && self.held.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left + self.held.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// Whom an upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The source, or our own limits.
    ForUs,
    /// The remote, to take more.
    ForRoom,
    /// The remote, which has everything.
    ForAnswer,
    /// Nobody: the source has failed.
    Broken,
}

/// The sign of life of an upload; clones are one.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Mutex<(Waiting, Instant)>>);

impl Pulse {
    /// Of an upload that has so many bytes, if that is known.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let waiting = match bytes {
            Some(0) => Waiting::ForAnswer,
            _ => Waiting::ForRoom,
        };
        Self(Arc::new(Mutex::new((waiting, Instant::now()))))
    }

    fn beat(&self, waiting: Waiting) {
        *self.state() = (waiting, Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, (Waiting, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Did the source fail?
    pub(super) fn is_broken(&self) -> bool {
        self.state().0 == Waiting::Broken
    }

    /// Returns when the remote has taken nothing for `stall`, or has not answered `commit` after it had everything.
    pub(super) async fn stopped(&self, stall: Duration, commit: Duration) {
        loop {
            let (waiting, since) = *self.state();
            let until = match waiting {
                Waiting::ForUs | Waiting::Broken => Instant::now() + stall,
                Waiting::ForRoom => since + stall,
                Waiting::ForAnswer => since + commit,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}
