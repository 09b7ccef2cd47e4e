//! Content that can be served now: a blob that is here, one that is on its way, or one that is only passed on.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Passing, PassingBody, Tail, TailBody};
use crate::store::{Blob, BlobBody};

/// What a client can be given.
#[derive(Debug, Clone)]
pub enum Content {
    Stored(Blob),
    Filling(Tail),
    /// Not kept.
    Passing(Passing),
}

impl Content {
    /// Size in bytes; unknown only while it comes from a remote that names no length.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Stored(blob) => Some(blob.len()),
            Self::Filling(tail) => tail.length(),
            Self::Passing(passing) => passing.length(),
        }
    }

    /// A body of these bytes. `None`: all of it (also when the length is unknown).
    pub fn body(&self, range: Option<Range<u64>>) -> ContentBody {
        let all = 0..u64::MAX;
        match self {
            Self::Stored(blob) => ContentBody::Stored(blob.body(range.unwrap_or(0..blob.len()))),
            Self::Filling(tail) => ContentBody::Filling(tail.body(range.unwrap_or(all))),
            Self::Passing(passing) => ContentBody::Passing(passing.body(range.unwrap_or(all))),
        }
    }
}

/// The HTTP body of [`Content`]; an error cuts the connection.
pub enum ContentBody {
    Stored(BlobBody),
    Filling(TailBody),
    Passing(PassingBody),
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Stored(body) => Pin::new(body).poll_frame(cx),
            Self::Filling(body) => Pin::new(body).poll_frame(cx),
            Self::Passing(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stored(body) => body.is_end_stream(),
            Self::Filling(body) => body.is_end_stream(),
            Self::Passing(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stored(body) => body.size_hint(),
            Self::Filling(body) => body.size_hint(),
            Self::Passing(body) => body.size_hint(),
        }
    }
}
