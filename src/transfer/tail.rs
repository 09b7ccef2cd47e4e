//! Readers of a growing fill.
//!
//! ```text
//! 0 ──────────── position ═══════ written ─ ─ ─ ─ ─ ─ ─ ─ total
//!                 │ may be read now │        │ last 16 KiB: not before the digest is right │
//! ```

use std::{
    fs::File,
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

use super::FillError;
use crate::store::PageReader;

/// How many of the last bytes of a blob wait until its digest is known to be right.
pub const HOLD_BACK_BYTES: u64 = 16 * 1024;

/// Whether a fill still runs.
#[derive(Debug, Clone)]
pub(super) enum End {
    Running,
    /// All bytes are in the file and the digest is right.
    Verified {
        len: u64,
    },
    Failed(FillError),
}

/// A running (or just finished) fill that can be read from any byte; cheap to clone.
#[derive(Clone)]
pub struct Tail {
    pub(super) file: Arc<File>,
    pub(super) written: watch::Receiver<u64>,
    pub(super) end: watch::Receiver<End>,
    /// Size that was announced: by a descriptor, else by the remote.
    pub(super) total: Option<u64>,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("written", &*self.written.borrow())
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Tail {
    /// Size of the whole blob in bytes, if anybody said it. It never changes: headers and body must agree.
    pub fn length(&self) -> Option<u64> {
        self.total
    }

    /// For a new client: the true length, where it is known by now.
    pub(super) fn settled(mut self) -> Self {
        if let End::Verified { len } = *self.end.borrow() {
            self.total = Some(len);
        }
        self
    }

    /// A body of these bytes; an end of `u64::MAX` means up to the end of the blob.
    pub fn body(&self, range: Range<u64>) -> TailBody {
        TailBody {
            reader: PageReader::new(self.file.clone(), range.start),
            last: range.end,
            total: self.total,
            written: self.written.clone(),
            end: self.end.clone(),
            change: None,
        }
    }
}

/// The bytes of a [`Tail`]. It ends with an error, which cuts the connection, when the fill fails.
pub struct TailBody {
    reader: PageReader,
    /// Exclusive end of what was asked for.
    last: u64,
    total: Option<u64>,
    written: watch::Receiver<u64>,
    end: watch::Receiver<End>,
    /// Completes when one of the two channels moved; made on the first wait.
    change: Option<ReusableBoxFuture<'static, ()>>,
}

impl TailBody {
    /// Bytes still to come, if the length is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        let last = match (self.last, self.total) {
            (u64::MAX, None) => return None,
            (u64::MAX, Some(total)) => total,
            (last, _) => last,
        };
        Some(last.saturating_sub(self.reader.position()))
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match self.step() {
                Step::Read { end } => return self.reader.poll_read(cx, end).map(Some),
                Step::Finished => return Poll::Ready(None),
                Step::Cut(error) => return Poll::Ready(Some(Err(error))),
                Step::Wait => ready!(self.poll_change(cx)),
            }
        }
    }

    /// Decides from the state of the fill alone.
    fn step(&mut self) -> Step {
        let end = self.end.borrow_and_update().clone();
        let written = *self.written.borrow_and_update();
        let position = self.reader.position();
        let limit = match end {
            End::Verified { len } => {
                if position >= self.last.min(len) {
                    return self.finish(len);
                }
                self.last.min(len)
            }
            End::Failed(_) | End::Running if position >= self.last => return Step::Finished,
            End::Failed(error) => return Step::Cut(io::Error::other(error)),
            End::Running => self.released(written),
        };
        if position < limit {
            Step::Read { end: limit }
        } else {
            Step::Wait
        }
    }

    /// At the end of a verified blob: complete only if it is as long as what was announced.
    fn finish(&self, len: u64) -> Step {
        match self.last {
            u64::MAX if self.total.is_none_or(|total| total == len) => Step::Finished,
            last if last <= len => Step::Finished,
            _ => Step::Cut(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the blob is shorter than what was announced",
            )),
        }
    }

    /// Up to where bytes may be given away while the digest is not yet known to be right.
    fn released(&self, written: u64) -> u64 {
        let Some(total) = self.total else {
            return written.saturating_sub(HOLD_BACK_BYTES).min(self.last);
        };
        if self.last < total {
            return written.min(self.last);
        }
        written.min(total.saturating_sub(HOLD_BACK_BYTES))
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let next = || changed(self.written.clone(), self.end.clone());
        let change = match &mut self.change {
            Some(change) => change,
            // A receiver's clone has seen what the original has seen, so nothing that moves from here on is missed.
            empty => empty.insert(ReusableBoxFuture::new(next())),
        };
        ready!(change.poll(cx));
        self.change = None;
        Poll::Ready(())
    }
}

enum Step {
    Read { end: u64 },
    Wait,
    Finished,
    Cut(io::Error),
}

/// Waits until one of the channels moves. The spool's channel closes a moment before the end is told.
async fn changed(mut written: watch::Receiver<u64>, mut end: watch::Receiver<End>) {
    tokio::select! {
        moved = written.changed() => if moved.is_err() {
            let _ = end.changed().await;
        },
        _ = end.changed() => {}
    }
}

impl http_body::Body for TailBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.poll_next(cx)
            .map(|next| next.map(|bytes| bytes.map(http_body::Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.remaining().map_or_else(
            http_body::SizeHint::default,
            http_body::SizeHint::with_exact,
        )
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        oci::Digest,
        store::{Spool, Store},
    };

    const LEN: u64 = 64 * 1024;

    /// A fill played by hand: 64 KiB of content, of which the first `written` bytes are in the spool.
    struct Played {
        _folder: TempDir,
        content: Bytes,
        spool: Option<Spool>,
        end: watch::Sender<End>,
        tail: Tail,
    }

    async fn played(written: usize, total: Option<u64>) -> Played {
        let folder = TempDir::new().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let content: Bytes = (0..LEN)
            .map(|at| u8::try_from(at % 251).expect("small"))
            .collect();
        let spool = store
            .spool(&Digest::sha256(&content))
            .await
            .expect("a spool");
        let spool = spool
            .append(vec![content.slice(..written)])
            .await
            .expect("room");
        let end = watch::Sender::new(End::Running);
        let tail = Tail {
            file: spool.file(),
            written: spool.progress(),
            end: end.subscribe(),
            total,
        };
        Played {
            _folder: folder,
            content,
            spool: Some(spool),
            end,
            tail,
        }
    }

    impl Played {
        async fn write_rest(&mut self, from: usize) {
            let spool = self.spool.take().expect("a spool");
            let rest = vec![self.content.slice(from..)];
            self.spool = Some(spool.append(rest).await.expect("room"));
        }

        fn verified(&self) {
            self.end.send_replace(End::Verified { len: LEN });
        }
    }

    /// What can be read without waiting.
    fn ready(body: &mut TailBody) -> Vec<u8> {
        let mut read = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(Ok(bytes))) = body.poll_next(&mut context) {
            read.extend_from_slice(&bytes);
        }
        read
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_last_16_kib_wait_for_the_digest() {
        let played = played(usize::try_from(LEN).expect("small"), Some(LEN)).await;
        let mut body = played.tail.body(0..LEN);
        let held = usize::try_from(LEN - HOLD_BACK_BYTES).expect("small");
        assert_eq!(ready(&mut body), played.content[..held]);
        played.verified();
        let rest = body.collect().await.expect("complete").to_bytes();
        assert_eq!(rest, played.content[held..]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_blob_of_unknown_length_holds_back_the_end_of_what_is_written() {
        let mut played = played(40 * 1024, None).await;
        let mut body = played.tail.body(0..u64::MAX);
        assert_eq!(ready(&mut body), played.content[..24 * 1024]);
        played.write_rest(40 * 1024).await;
        played.verified();
        let rest = body.collect().await.expect("complete").to_bytes();
        assert_eq!(rest, played.content[24 * 1024..]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_range_that_ends_before_the_last_byte_is_not_held_back() {
        let played = played(60 * 1024, Some(LEN)).await;
        let body = played.tail.body(50 * 1024..60 * 1024);
        let read = body.collect().await.expect("complete").to_bytes();
        assert_eq!(read, played.content[50 * 1024..60 * 1024]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_wakes_when_bytes_come() {
        let mut played = played(1024, Some(LEN)).await;
        let reader = tokio::spawn(played.tail.body(0..LEN).collect());
        played.write_rest(1024).await;
        played.verified();
        let read = reader
            .await
            .expect("no panic")
            .expect("complete")
            .to_bytes();
        assert_eq!(read, played.content);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_fill_cuts_its_readers() {
        let played = played(40 * 1024, Some(LEN)).await;
        let body = played.tail.body(0..LEN);
        played.end.send_replace(End::Failed(FillError::Abandoned));
        assert!(body.collect().await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_blob_shorter_than_announced_is_never_complete() {
        let played = played(usize::try_from(LEN).expect("small"), Some(LEN + 10)).await;
        let body = played.tail.body(0..LEN + 10);
        played.verified();
        let error = body.collect().await.expect_err("10 bytes are missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_comes_after_the_end_is_told_the_true_length_and_who_came_before_is_not() {
        let announced = Some(LEN + 10);
        let played = played(usize::try_from(LEN).expect("small"), announced).await;
        let before = played.tail.clone();
        played.verified();
        let after = played.tail.clone().settled();
        assert_eq!((before.length(), after.length()), (announced, Some(LEN)));
        for tail in [before, after] {
            let hint = http_body::Body::size_hint(&tail.body(0..u64::MAX));
            assert_eq!(hint.exact(), tail.length());
        }
    }
}
