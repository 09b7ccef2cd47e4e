//! Reading content from the page cache without a thread hop (`preadv2` with `RWF_NOWAIT` into pooled buffers).

use std::{
    fs::File,
    io,
    ops::Range,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

/// A complete blob, open for reading; cheap to clone.
#[derive(Clone)]
pub struct Blob {
    _file: Arc<File>,
    _len: u64,
}

impl Blob {
    /// Bytes.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// A body of these bytes; `range` lies within `0..len`.
    pub fn body(&self, _range: Range<u64>) -> BlobBody {
        todo!()
    }
    /// All of it in memory; for content known to be small.
    pub async fn read_all(&self) -> io::Result<Bytes> {
        todo!()
    }
}

/// An HTTP body that reads a blob.
pub struct BlobBody {
    _reader: PageReader,
    _end: u64,
}

/// Reads one file from a position on; the body of a blob and the tail of a growing spool are made of it.
pub struct PageReader {
    _private: (),
}

impl PageReader {
    pub fn new(_file: Arc<File>, _position: u64) -> Self {
        todo!()
    }
    pub fn position(&self) -> u64 {
        todo!()
    }
    /// The next bytes before `end` (at most 256 KiB). `position < end` and the file reaches `end`: a file that
    /// turns out shorter is an `UnexpectedEof` error.
    pub fn poll_read(&mut self, _cx: &mut Context<'_>, _end: u64) -> Poll<io::Result<Bytes>> {
        todo!()
    }
}
