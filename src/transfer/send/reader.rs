//! The bytes of one blob, read from a source that may break: it is opened again where it broke, and who reads notices
//! nothing but the time it takes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream, stream::StreamExt};
use tokio::time::{Instant, Sleep};

use super::{
    super::budget::Budget,
    Progress, SendError,
    source::{Source, SourceBlob, SourceError},
};
use crate::{
    client::{Feed, FeedBroken},
    oci::{Digest, Name},
};

/// How often in a row a source may break without having given a byte.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// One blob of a source.
pub(super) struct Reader {
    source: Arc<dyn Source>,
    name: Name,
    digest: Digest,
    /// Size of the whole blob, once it is known.
    total_bytes: Option<u64>,
    /// Where the next byte that is given out lies.
    position: u64,
    /// Read, but not given out.
    held: Bytes,
    state: State,
    /// Breaks since the last byte.
    breaks: u32,
    budgets: Vec<Arc<Budget>>,
    pause: Pin<Box<Sleep>>,
    progress: Progress,
    failure: Option<SendError>,
}

enum State {
    Closed,
    /// Not before the pause is over.
    Pausing,
    Opening(BoxFuture<'static, Result<SourceBlob, SourceError>>),
    /// `skip`: bytes to come that were given out already.
    Open {
        body: BoxStream<'static, Result<Bytes, SourceError>>,
        skip: u64,
    },
}

impl Reader {
    pub(super) fn new(
        source: &Arc<dyn Source>,
        (name, digest, size): (&Name, &Digest, Option<u64>),
        budgets: Vec<Arc<Budget>>,
        progress: &Progress,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            name: name.clone(),
            digest: digest.clone(),
            total_bytes: size,
            position: 0,
            held: Bytes::new(),
            state: State::Closed,
            breaks: 0,
            budgets,
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
            progress: progress.clone(),
            failure: None,
        }
    }

    /// Why it gives no more bytes, if that is so.
    pub(super) fn take_failure(&mut self) -> Option<SendError> {
        self.failure.take()
    }

    pub(super) fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Goes on from another byte.
    pub(super) fn seek(&mut self, position: u64) {
        if position == self.position && self.failure.is_none() {
            return;
        }
        self.progress.lost(self.position.saturating_sub(position));
        self.progress.sent(position.saturating_sub(self.position));
        self.position = position;
        self.held = Bytes::new();
        self.state = State::Closed;
        self.breaks = 0;
        self.failure = None;
    }

    /// Opens the source if it must, so that the blob's size is known if the source knows it.
    pub(super) async fn open(&mut self) -> Result<(), SendError> {
        let opened = std::future::poll_fn(|cx| self.poll_open(cx)).await;
        opened.map_err(|FeedBroken| self.failure.take().expect("a broken reader knows why"))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FeedBroken>> {
        loop {
            match &mut self.state {
                State::Open { .. } => return Poll::Ready(Ok(())),
                State::Closed => {
                    let blob = self.source.blob(&self.name, &self.digest, self.position);
                    self.state = State::Opening(blob);
                }
                State::Pausing => {
                    ready!(self.pause.as_mut().poll(cx));
                    self.state = State::Closed;
                }
                State::Opening(opening) => {
                    let opened = ready!(opening.as_mut().poll(cx));
                    self.opened(opened)?;
                }
            }
        }
    }

    fn opened(&mut self, opened: Result<SourceBlob, SourceError>) -> Result<(), FeedBroken> {
        let blob = match opened {
            Ok(blob) => blob,
            Err(error) => return self.broke(error),
        };
        let Some(skip) = self.position.checked_sub(blob.offset) else {
            return Err(self.fail(SendError::Damaged(self.digest.clone())));
        };
        match (self.total_bytes, blob.total_bytes) {
            (Some(known), Some(told)) if known != told => {
                return Err(self.fail(SendError::Size {
                    digest: self.digest.clone(),
                    expected: known,
                    found: told,
                }));
            }
            (None, told) => self.total_bytes = told,
            _ => {}
        }
        self.state = State::Open {
            body: blob.body,
            skip,
        };
        Ok(())
    }

    /// The source broke: once more after a pause, or never.
    fn broke(&mut self, error: SourceError) -> Result<(), FeedBroken> {
        self.breaks += 1;
        if !error.is_transient() || self.breaks > TRIES {
            return Err(self.fail(error.into()));
        }
        tracing::debug!(digest = %self.digest, %error, position = self.position, "a source broke and is opened again");
        let pause = FIRST_PAUSE * 2_u32.pow(self.breaks - 1);
        self.pause.as_mut().reset(Instant::now() + pause);
        self.state = State::Pausing;
        Ok(())
    }

    fn fail(&mut self, error: SendError) -> FeedBroken {
        self.failure = Some(error);
        self.state = State::Closed;
        FeedBroken
    }

    /// Holds the next bytes; `false` at the end.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, FeedBroken>> {
        while self.held.is_empty() {
            if self.total_bytes == Some(self.position) {
                return Poll::Ready(Ok(false));
            }
            ready!(self.poll_open(cx))?;
            let State::Open { body, skip } = &mut self.state else {
                continue;
            };
            match ready!(body.poll_next_unpin(cx)) {
                Some(Ok(mut chunk)) => {
                    let skipped = usize::try_from(*skip)
                        .unwrap_or(usize::MAX)
                        .min(chunk.len());
                    drop(chunk.split_to(skipped));
                    *skip -= skipped as u64;
                    self.held = chunk;
                    self.breaks = 0;
                }
                Some(Err(error)) => self.broke(error)?,
                // Whoever does not know the size takes the end for the end.
                None if self.total_bytes.is_none() => {
                    self.total_bytes = Some(self.position);
                }
                None => {
                    return Poll::Ready(Err(self.fail(SendError::Size {
                        digest: self.digest.clone(),
                        expected: self.total_bytes.unwrap_or_default(),
                        found: self.position,
                    })));
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    /// How many bytes all budgets grant.
    fn poll_budgets(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        let mut granted = wanted;
        for budget in &self.budgets {
            loop {
                match budget.take(granted) {
                    Ok(some) => {
                        granted = some;
                        break;
                    }
                    Err(wait) => self.pause.as_mut().reset(Instant::now() + wait),
                }
                ready!(self.pause.as_mut().poll(cx));
            }
        }
        Poll::Ready(granted)
    }
}

impl Reader {
    /// So many bytes of the blob came by another way.
    pub(super) fn came(&self, bytes: u64) {
        self.progress.sent(bytes);
    }
}

impl Feed for Reader {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Option<Result<Bytes, FeedBroken>>> {
        match ready!(self.poll_held(cx)) {
            Ok(true) => {}
            Ok(false) => return Poll::Ready(None),
            Err(broken) => return Poll::Ready(Some(Err(broken))),
        }
        let wanted = self.held.len().min(limit);
        let granted = ready!(self.poll_budgets(cx, wanted));
        let bytes = self.held.split_to(granted);
        self.position += bytes.len() as u64;
        self.progress.sent(bytes.len() as u64);
        Poll::Ready(Some(Ok(bytes)))
    }
}
