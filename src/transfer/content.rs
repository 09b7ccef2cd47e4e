//! Content that can be served now: a blob that is here, or one that is on its way.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Tail, TailBody};
use crate::store::{Blob, BlobBody};

/// What a client can be given.
#[derive(Debug, Clone)]
pub enum Content {
    Stored(Blob),
    Filling(Tail),
}

impl Content {
    /// Size in bytes; unknown only while a fill whose remote names no length runs.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Stored(blob) => Some(blob.len()),
            Self::Filling(tail) => tail.length(),
        }
    }

    /// A body of these bytes. `None`: all of it (also when the length is unknown).
    pub fn body(&self, range: Option<Range<u64>>) -> ContentBody {
        match self {
            Self::Stored(blob) => ContentBody::Stored(blob.body(range.unwrap_or(0..blob.len()))),
            Self::Filling(tail) => ContentBody::Filling(tail.body(range.unwrap_or(0..u64::MAX))),
        }
    }
}

/// The HTTP body of [`Content`]; an error cuts the connection.
pub enum ContentBody {
    Stored(BlobBody),
    Filling(TailBody),
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stored(body) => body.is_end_stream(),
            Self::Filling(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stored(body) => body.size_hint(),
            Self::Filling(body) => body.size_hint(),
        }
    }
}
