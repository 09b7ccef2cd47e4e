//! Content that can be served now: a blob that is here, or one that is on its way.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Tail, TailBody};
use crate::store::{Blob, BlobBody};

/// What a client can be given.
#[derive(Clone)]
pub enum Content {
    Stored(Blob),
    Filling(Tail),
}

impl Content {
    /// Size in bytes; unknown only while a fill whose remote names no length runs.
    pub fn len(&self) -> Option<u64> {
        todo!()
    }
    /// A body of these bytes. `None`: all of it (also when the length is unknown).
    pub fn body(&self, _range: Option<Range<u64>>) -> ContentBody {
        todo!()
    }
}

/// The HTTP body of [`Content`]; an error cuts the connection.
pub enum ContentBody {
    Stored(BlobBody),
    Filling(TailBody),
}

impl http_body::Body for ContentBody {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        todo!()
    }
    fn size_hint(&self) -> SizeHint {
        todo!()
    }
}
