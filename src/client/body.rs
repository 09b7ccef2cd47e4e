//! Bodies of answers, read with limits: an idle timeout, the length that was announced, the remote's bandwidth.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::time::{Instant, Sleep};

use super::{
    Bandwidth, ClientError, ErrorKind, Priority,
    error::{Failure, innermost},
    limit::Slot,
};
use crate::telemetry::Metrics;

/// What a body needs of its remote.
#[derive(Clone)]
pub(super) struct BodyContext {
    pub(super) remote: Arc<str>,
    pub(super) metrics: Metrics,
    pub(super) idle_timeout: Duration,
    pub(super) bandwidth: Arc<Bandwidth>,
    pub(super) priority: Priority,
}

/// The bytes of an open download, in chunks. Waiting is only counted against the remote while somebody reads.
pub struct BlobStreamBody {
    context: BodyContext,
    body: reqwest::Body,
    /// Bytes still to come, if the remote announced how many.
    expected: Option<u64>,
    received: u64,
    /// Came, but waits for its share of the bandwidth.
    held: Bytes,
    /// Runs while nothing comes, or while `held` waits.
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    ended: bool,
    _slot: Slot,
}

impl fmt::Debug for BlobStreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStreamBody")
            .field("received", &self.received)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl BlobStreamBody {
    pub(super) fn new(
        context: BodyContext,
        body: reqwest::Body,
        expected: Option<u64>,
        slot: Slot,
    ) -> Self {
        Self {
            context,
            body,
            expected,
            received: 0,
            held: Bytes::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            waiting: false,
            ended: false,
            _slot: slot,
        }
    }

    /// Sets how many bytes must come, when that is known better than by `Content-Length`.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.expected = Some(bytes);
    }

    /// The next chunk; `None` at the end that the remote announced. An end before that is an error. May be dropped and
    /// called again: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for hand-written streams.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.held.is_empty() {
            match ready!(self.poll_chunk(cx)) {
                Some(Ok(chunk)) => self.held = chunk,
                end => {
                    self.ended = true;
                    return Poll::Ready(end);
                }
            }
        }
        self.poll_share(cx).map(|chunk| Some(Ok(chunk)))
    }

    /// A chunk that is not empty, checked against the announced length.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.poll_idle(cx));
                    return Poll::Ready(Some(Err(self.stalled())));
                }
                Poll::Ready(frame) => frame,
            };
            self.waiting = false;
            let chunk = match frame {
                None => return Poll::Ready(self.end()),
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broken(error)))),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            if !chunk.is_empty() {
                return Poll::Ready(Some(self.accept(chunk)));
            }
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            self.waiting = true;
            self.timer
                .as_mut()
                .reset(Instant::now() + self.context.idle_timeout);
        }
        self.timer.as_mut().poll(cx)
    }

    /// As much of the held chunk as the bandwidth grants.
    fn poll_share(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            let context = &self.context;
            match context.bandwidth.take(self.held.len(), context.priority) {
                Ok(granted) => return Poll::Ready(self.held.split_to(granted)),
                Err(wait) => self.timer.as_mut().reset(Instant::now() + wait),
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    fn accept(&mut self, chunk: Bytes) -> Result<Bytes, ClientError> {
        let length = chunk.len() as u64;
        if let Some(expected) = &mut self.expected {
            let Some(left) = expected.checked_sub(length) else {
                let message = "sends more bytes than it announced";
                return Err(ClientError::invalid(&self.context.remote, message));
            };
            *expected = left;
        }
        self.received += length;
        self.context
            .metrics
            .remote_bytes(&self.context.remote, length);
        Ok(chunk)
    }

    fn end(&self) -> Option<Result<Bytes, ClientError>> {
        let missing = self.expected.filter(|left| *left > 0)?;
        let message = format!(
            "ended the body after {} bytes, {missing} too early",
            self.received
        );
        Some(Err(self.error(ErrorKind::Unreachable, message)))
    }

    fn stalled(&self) -> ClientError {
        let timeout = humantime::format_duration(self.context.idle_timeout);
        self.error(
            ErrorKind::TimedOut,
            format!("no byte of the body within {timeout}"),
        )
    }

    fn broken(&self, error: reqwest::Error) -> ClientError {
        let message = format!(
            "the body broke after {} bytes: {}",
            self.received,
            innermost(&error.without_url())
        );
        self.error(ErrorKind::Unreachable, message)
    }

    fn error(&self, kind: ErrorKind, message: String) -> ClientError {
        ClientError::new(kind, &self.context.remote, message)
    }

    /// The whole body, at most `limit` bytes of it, until `deadline`. A break is worth another try.
    pub(super) async fn read_whole(
        mut self,
        limit: u64,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        if self.expected.is_some_and(|announced| announced > limit) {
            return Err(too_large(&self.context.remote, limit));
        }
        let mut whole = BytesMut::new();
        loop {
            let Ok(next) = tokio::time::timeout_at(deadline, self.next()).await else {
                return Err(Failure::again(self.stalled()));
            };
            match next {
                None => return Ok(whole.freeze()),
                Some(Ok(chunk)) if whole.len() as u64 + chunk.len() as u64 > limit => {
                    return Err(too_large(&self.context.remote, limit));
                }
                Some(Ok(chunk)) => whole.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    let again = error.kind != ErrorKind::Invalid;
                    return Err(Failure {
                        again,
                        ..Failure::from(error)
                    });
                }
            }
        }
    }
}

fn too_large(remote: &Arc<str>, limit: u64) -> Failure {
    ClientError::invalid(remote, format!("answers with more than {limit} bytes")).into()
}

/// A small body as a whole; the caller sets the time limit.
pub(super) async fn read_bounded(
    remote: &Arc<str>,
    mut response: reqwest::Response,
    limit: u64,
) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(chunk)) if whole.len() as u64 + chunk.len() as u64 > limit => {
                return Err(too_large(remote, limit));
            }
            Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
            Err(error) => return Err(Failure::of_request(remote, error)),
        }
    }
}
