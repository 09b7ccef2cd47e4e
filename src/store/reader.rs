//! Reading content from the page cache without a thread hop (`preadv2` with `RWF_NOWAIT` into pooled buffers).
//!
//! What is in the page cache is answered inside `poll`, so that the head and a small body leave in one `writev`; what
//! is not is read on a blocking thread, so that a cold disk never stalls a runtime worker.

use std::{
    fmt,
    fs::File,
    io::{self, IoSliceMut},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use rustix::{
    fs::Advice,
    io::{Errno, ReadWriteFlags},
};
use tokio::task::JoinHandle;

use super::{
    buffers::{BUFFER_BYTES, read_bytes},
    seal::{Condition, Seal},
    used::Noted,
};

/// How far a read that had to wait tells the kernel to read ahead.
const READ_AHEAD_BYTES: u64 = 8 * 1024 * 1024;

/// A complete blob, open for reading; cheap to clone.
#[derive(Clone)]
pub struct Blob {
    file: Arc<File>,
    seal: Seal,
    noted: Arc<Noted>,
}

impl Blob {
    pub(super) fn new(file: Arc<File>, seal: Seal) -> Self {
        Self {
            file,
            seal,
            noted: Arc::default(),
        }
    }

    /// Whether the file still is what was verified. One system call, which does not wait for the disk.
    pub(super) fn condition(&self) -> Condition {
        // A file that cannot be looked at is not trusted.
        self.seal.look(&self.file).unwrap_or(Condition::Open)
    }

    /// Says that the content was verified.
    pub(super) fn seal(&self) -> io::Result<()> {
        self.seal.put(&self.file)
    }

    pub(super) fn noted(&self) -> &Noted {
        &self.noted
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Tells open files apart.
    #[cfg(test)]
    pub(super) fn file_address(&self) -> usize {
        Arc::as_ptr(&self.file).addr()
    }

    /// Bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks whether content is empty"
    )]
    pub fn len(&self) -> u64 {
        self.seal.len()
    }

    /// A body of these bytes; `range` lies within `0..len`.
    pub fn body(&self, range: Range<u64>) -> BlobBody {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        BlobBody {
            reader: PageReader::new(Arc::clone(&self.file), range.start),
            end: range.end,
            blob: self.clone(),
        }
    }

    /// A piece of it in memory; `range` lies within it. Blocks.
    pub(super) fn read_piece(&self, range: &Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut piece = vec![0; length];
        self.file.read_exact_at(&mut piece, range.start)?;
        Ok(piece.into())
    }

    /// All of it in memory; for content known to be small.
    pub async fn read_all(&self) -> io::Result<Bytes> {
        Ok(self.body(0..self.len()).collect().await?.to_bytes())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// An HTTP body that reads a blob. Its length is exact: a file that turns out shorter is an error, never an early end.
/// So is a file that was changed before the last byte was read: that byte is then not given away.
#[derive(Debug)]
pub struct BlobBody {
    reader: PageReader,
    end: u64,
    blob: Blob,
}

impl BlobBody {
    fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.reader.position())
    }
}

impl http_body::Body for BlobBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.remaining() == 0 {
            return Poll::Ready(None);
        }
        let read = ready!(this.reader.poll_read(cx, this.end));
        // A blob that was deleted meanwhile is still right.
        if this.remaining() == 0 && this.blob.condition() == Condition::Open {
            let changed = "the file was changed by somebody else";
            return Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                changed,
            ))));
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

/// Reads one file from a position on; the body of a blob and the tail of a growing spool are made of it.
#[derive(Debug)]
pub struct PageReader {
    file: Arc<File>,
    position: u64,
    way: Way,
    /// A read on a blocking thread, from `position` on.
    waiting: Option<JoinHandle<io::Result<Bytes>>>,
    /// Up to where the kernel was told to read ahead.
    advised_to: u64,
}

/// How a file system lets itself be read; found out by each reader, at its first read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Inline what is in the page cache, else on a blocking thread.
    NoWait,
    /// Always inline: the file system is memory.
    Inline,
    /// Always on a blocking thread: overlayfs and others that cannot tell whether a read would wait.
    Blocking,
}

impl PageReader {
    /// A reader of `file`, beginning at byte `position`.
    pub fn new(file: Arc<File>, position: u64) -> Self {
        Self {
            file,
            position,
            way: Way::NoWait,
            waiting: None,
            advised_to: 0,
        }
    }

    /// The next byte to be read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on after bytes that were had from elsewhere.
    pub fn skip(&mut self, bytes: u64) {
        self.waiting = None;
        self.position += bytes;
    }

    /// The next bytes before `end` (at most 256 KiB). `position < end` and the file reaches `end`: a file that
    /// turns out shorter is an `UnexpectedEof` error. Must be polled inside a tokio runtime.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, end: u64) -> Poll<io::Result<Bytes>> {
        debug_assert!(self.position < end);
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match self.read_now(end) {
                Ok(bytes) => return Poll::Ready(self.deliver(bytes, end)),
                Err(Errno::AGAIN) => self.read_later(end),
                Err(error) => return Poll::Ready(Err(error.into())),
            },
        };
        let Poll::Ready(joined) = Pin::new(&mut waiting).poll(cx) else {
            self.waiting = Some(waiting);
            return Poll::Pending;
        };
        let read = joined.map_err(io::Error::other).flatten();
        Poll::Ready(read.and_then(|bytes| self.deliver(bytes, end)))
    }

    /// Reads inline; `EAGAIN` when that would wait.
    fn read_now(&mut self, end: u64) -> Result<Bytes, Errno> {
        let flags = match self.way {
            Way::NoWait => ReadWriteFlags::NOWAIT,
            Way::Inline => ReadWriteFlags::empty(),
            Way::Blocking => return Err(Errno::AGAIN),
        };
        match read_at(&self.file, self.position, end, flags) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if self.way == Way::NoWait => {
                self.way = way_without_nowait(&self.file);
                self.read_now(end)
            }
            read => read,
        }
    }

    /// Reads on a blocking thread, and has the kernel fetch what comes after.
    fn read_later(&mut self, end: u64) -> JoinHandle<io::Result<Bytes>> {
        let (file, position) = (Arc::clone(&self.file), self.position);
        let advise = position >= self.advised_to;
        if advise {
            self.advised_to = position.saturating_add(READ_AHEAD_BYTES);
        }
        tokio::task::spawn_blocking(move || {
            if advise {
                let length = NonZeroU64::new(READ_AHEAD_BYTES);
                // Advice only: the read below tells of every real trouble.
                let _ = rustix::fs::fadvise(&file, position, length, Advice::WillNeed);
            }
            Ok(read_at(&file, position, end, ReadWriteFlags::empty())?)
        })
    }

    /// Hands bytes over and moves on. None before the end: the file is shorter than it was said to be.
    fn deliver(&mut self, mut bytes: Bytes, end: u64) -> io::Result<Bytes> {
        // A read that waited was begun with the `end` of then.
        bytes.truncate(wanted(self.position, end));
        if bytes.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ends at byte {} instead of {end}", self.position),
            ));
        }
        self.position += bytes.len() as u64;
        Ok(bytes)
    }
}

/// How many bytes one read takes.
fn wanted(position: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(position))
        .map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES))
}

fn read_at(file: &File, position: u64, end: u64, flags: ReadWriteFlags) -> Result<Bytes, Errno> {
    read_bytes(wanted(position, end), |buffer| {
        rustix::io::retry_on_intr(|| {
            rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], position, flags)
        })
    })
}

fn way_without_nowait(file: &File) -> Way {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    match rustix::fs::fstatfs(file).map(|stat| u64::try_from(stat.f_type)) {
        Ok(Ok(TMPFS | RAMFS)) => Way::Inline,
        _ => Way::Blocking,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, os::unix::fs::FileExt};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn each_way_of_reading_gives_the_same_bytes() {
        let content: Vec<u8> = (0..251_u8).cycle().take(600_000).collect();
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.write_all_at(&content, 0).unwrap();
        for way in [Way::NoWait, Way::Inline, Way::Blocking] {
            let mut reader = PageReader::new(Arc::clone(&file), 0);
            reader.way = way;
            let mut read = Vec::new();
            while reader.position() < 600_000 {
                read.extend(poll_fn(|cx| reader.poll_read(cx, 600_000)).await.unwrap());
            }
            assert!(read == content, "{way:?}");
        }
    }

    #[test]
    fn a_read_that_waits_is_kept_until_it_is_done() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.write_all_at(b"abcdef", 0).unwrap();
        let mut reader = PageReader::new(file, 2);
        reader.way = Way::Blocking;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (go, wait) = std::sync::mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || wait.recv());
            let first = poll_fn(|cx| reader.poll_read(cx, 6)).now_or_never();
            assert!(first.is_none());
            assert_eq!(reader.position(), 2);
            drop(go);
            // The end may be nearer by then: no byte beyond it is given.
            assert_eq!(poll_fn(|cx| reader.poll_read(cx, 5)).await.unwrap(), "cde");
            assert_eq!(poll_fn(|cx| reader.poll_read(cx, 6)).await.unwrap(), "f");
        });
    }

    #[test]
    fn memory_is_read_inline_and_what_cannot_tell_is_not() {
        let in_memory = tempfile::tempfile_in("/dev/shm").unwrap();
        assert_eq!(way_without_nowait(&in_memory), Way::Inline);
        let other = File::open("/proc/self/status").unwrap();
        assert_eq!(way_without_nowait(&other), Way::Blocking);
    }
}
