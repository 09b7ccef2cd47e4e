//! Our own repositories as what orders are sent to: by rules that pull.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};

use super::{SendError, SourceManifest, reader::Reader};
use crate::{
    client::{Feed, FeedBroken},
    oci::{Digest, Name, Reference, Tag, TagState, TagVersion},
};

/// The largest piece of a body.
const LARGEST_PIECE: usize = 256 << 10;

/// Takes manifests and blobs into our own repositories. Each call may be dropped at any time.
pub trait Home: Send + Sync {
    /// The manifest under a reference, if it is here with all that belongs to it.
    fn digest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Option<Digest>, HomeError>>;

    /// Makes the project that a repository is in, if it is missing.
    fn make_project<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<(), HomeError>>;

    fn has_blob<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, HomeError>>;

    /// Takes in what another repository has; false: it has not.
    fn mount<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
        from: &'a Name,
    ) -> BoxFuture<'a, Result<bool, HomeError>>;

    /// Takes in a blob of so many bytes, as far as that is known.
    fn take_blob<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
        size: Option<u64>,
        body: HomeBody,
    ) -> BoxFuture<'a, Result<(), HomeError>>;

    /// What a tag is here and since which write, as far as that is known.
    fn tag_state<'a>(
        &'a self,
        name: &'a Name,
        tag: &'a Tag,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>>;

    /// Takes in a manifest whose content is here. `version`: of the write that is followed. `Some`: it is not taken,
    /// because this is newer.
    fn take_manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
        manifest: SourceManifest,
        version: Option<TagVersion>,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>>;

    /// Deletes a tag; one that is not here is deleted. `state`: the delete that is followed. `Some`: it stays, because this
    /// is newer.
    fn delete_tag<'a>(
        &'a self,
        name: &'a Name,
        tag: &'a Tag,
        state: Option<&'a TagState>,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>>;
}

/// Why we do not take something in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HomeError {
    /// It will not be taken another time, either.
    #[error("{0}")]
    Refused(String),
    /// It cannot be taken now.
    #[error("{0}")]
    Unavailable(String),
}

/// The bytes of a blob that is taken in; an empty one by default.
#[derive(Default)]
pub struct HomeBody(Option<Shared>);

/// Takes the bytes back when it is dropped: who still wants some gets none.
pub(super) struct Given(Shared);

type Shared = Arc<Mutex<Line>>;

/// Between a reader and whoever takes its bytes in.
struct Line {
    reader: Option<Reader>,
    waits: Option<Waker>,
}

/// A reader's bytes as a body.
pub(super) fn give(reader: Reader) -> (Given, HomeBody) {
    let shared = Arc::new(Mutex::new(Line {
        reader: Some(reader),
        waits: None,
    }));
    (Given(Arc::clone(&shared)), HomeBody(Some(shared)))
}

fn lock(shared: &Mutex<Line>) -> MutexGuard<'_, Line> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Given {
    /// Why there are no more bytes, if that is so.
    pub(super) fn take_failure(&self) -> Option<SendError> {
        lock(&self.0).reader.as_mut()?.take_failure()
    }
}

impl HomeBody {
    /// So many bytes were taken in without these being read.
    pub fn came(&self, bytes: usize) {
        let Some(shared) = &self.0 else {
            return;
        };
        if let Some(reader) = &lock(shared).reader {
            reader.came(bytes as u64);
        }
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let mut line = lock(&self.0);
        line.reader = None;
        if let Some(waker) = line.waits.take() {
            waker.wake();
        }
    }
}

impl Body for HomeBody {
    type Data = Bytes;
    type Error = FeedBroken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FeedBroken>>> {
        let Some(shared) = &self.0 else {
            return Poll::Ready(None);
        };
        let mut line = lock(shared);
        line.waits = Some(cx.waker().clone());
        let Some(reader) = &mut line.reader else {
            return Poll::Ready(Some(Err(FeedBroken)));
        };
        let next = ready!(reader.poll_next(cx, LARGEST_PIECE));
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
