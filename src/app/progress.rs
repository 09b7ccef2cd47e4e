//! What goes on on a client's connection: do requests run, and does the client take what is sent?
//!
//! HTTP/1.1 shows a client that takes nothing as a socket that takes nothing, and [`ClientStream`](super::stream) ends
//! it. An HTTP/2 client that never opens its window leaves the socket free and its stream waiting for ever: here each
//! stream is a task ([`Streams`]) that is dropped, which resets the stream, when no byte of what waits was taken for
//! [`STALL_TIMEOUT`]. The bytes themselves tell: they are counted from the body ([`SentBody`])
//! until the HTTP server has written them ([`Chunk`]).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::stream::STALL_TIMEOUT;

/// The end of a body up to this length is not held back until its bytes are taken: that costs a small answer more than
/// the memory that a stalled client can hold with it.
const SMALL_BODY_BYTES: u64 = 64 << 10;

tokio::task_local! {
    static STREAM: Arc<Stream>;
}

/// A moment that any thread may move forward.
struct Moment {
    began: Instant,
    /// Milliseconds after `began`.
    after_ms: AtomicU64,
}

impl Moment {
    fn now() -> Self {
        Self {
            began: Instant::now(),
            after_ms: AtomicU64::new(0),
        }
    }

    fn renew(&self) {
        let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after_ms.store(after, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        let after = Duration::from_millis(self.after_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(after)
    }
}

/// The requests of one connection.
pub(super) struct Activity {
    asked: AtomicUsize,
    running: AtomicUsize,
    changed: Moment,
}

/// One request, from its headers until the last byte of its answer is taken.
pub(super) struct Running(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            changed: Moment::now(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// How many requests there were.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends when no request has run for `longest`.
    pub(super) async fn idle(&self, longest: Duration) {
        loop {
            let left = match self.running.load(Ordering::Relaxed) {
                0 => longest.saturating_sub(self.changed.elapsed()),
                _ => longest,
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.changed.renew();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer on one HTTP/2 stream.
pub(super) struct Stream {
    /// Chunks that the body gave and the client has not taken.
    waiting: AtomicUsize,
    /// When a byte was last taken, or began to wait.
    moved: Moment,
    taken: AtomicWaker,
}

impl Stream {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
            moved: Moment::now(),
            taken: AtomicWaker::new(),
        })
    }

    /// The stream that the current task answers on; none with HTTP/1.1.
    pub(super) fn current() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Ends when bytes wait and none was taken for the stall timeout.
    async fn stalled(&self) {
        loop {
            let left = if self.is_waiting() {
                STALL_TIMEOUT.saturating_sub(self.moved.elapsed())
            } else {
                STALL_TIMEOUT
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.taken.register(cx.waker());
        if self.is_waiting() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

/// Runs each HTTP/2 stream as a task that ends with its client's patience, or with its client's progress.
#[derive(Clone)]
pub(super) struct Streams;

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, answer: F) {
        let stream = Stream::new();
        let watched = Arc::clone(&stream);
        tokio::spawn(STREAM.scope(stream, async move {
            tokio::select! {
                biased;
                () = answer => {}
                () = watched.stalled() => tracing::debug!("a client takes nothing of a stream"),
            }
        }));
    }
}

/// The body of an answer, as it goes to the HTTP server.
pub(super) struct SentBody {
    inner: Body,
    stream: Option<Arc<Stream>>,
    /// The body ends for the HTTP server only when all its bytes are taken, so that the stream's task lives so long.
    holds_end: bool,
    running: Arc<Running>,
    /// What breaks the connection once it has taken what came before.
    broken: Option<axum::Error>,
}

impl SentBody {
    pub(super) fn new(inner: Body, running: Running, stream: Option<Arc<Stream>>) -> Self {
        let size = http_body::Body::size_hint(&inner);
        let small = size.upper().is_some_and(|most| most <= SMALL_BODY_BYTES);
        Self {
            holds_end: stream.is_some() && !small,
            inner,
            stream,
            running: Arc::new(running),
            broken: None,
        }
    }

    fn holds_end_back(&self) -> bool {
        self.holds_end
            && self
                .stream
                .as_ref()
                .is_some_and(|stream| stream.is_waiting())
    }
}

impl http_body::Body for SentBody {
    type Data = Chunk;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, axum::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let chunk = |bytes| Chunk::new(bytes, self.stream.as_ref(), &self.running);
                Poll::Ready(Some(Ok(frame.map_data(chunk))))
            }
            // The HTTP server writes when there is nothing to read. With an error at once it would close without a word:
            // status and headers, too, would be lost.
            Some(Err(error)) => {
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                if let Some(stream) = self.stream.as_ref().filter(|_| self.holds_end) {
                    ready!(stream.poll_taken(cx));
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && !self.holds_end_back()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Bytes on their way to a client; those of an HTTP/2 stream tell it when they are taken.
pub(super) struct Chunk {
    bytes: Bytes,
    stream: Option<Arc<Stream>>,
    _running: Arc<Running>,
}

impl Chunk {
    fn new(bytes: Bytes, stream: Option<&Arc<Stream>>, running: &Arc<Running>) -> Self {
        let stream = stream.map(Arc::clone);
        if let Some(stream) = &stream {
            stream.waiting.fetch_add(1, Ordering::AcqRel);
            stream.moved.renew();
        }
        Self {
            bytes,
            stream,
            _running: Arc::clone(running),
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(stream) = &self.stream {
            stream.moved.renew();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        if let Some(stream) = &self.stream {
            stream.moved.renew();
        }
        self.bytes.copy_to_bytes(length)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.moved.renew();
            stream.waiting.fetch_sub(1, Ordering::AcqRel);
            stream.taken.wake();
        }
    }
}
