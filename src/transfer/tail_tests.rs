use http_body_util::BodyExt;
use tempfile::TempDir;

use super::*;
use crate::{
    oci::Digest,
    store::{Spool, Store},
    transfer::window::Budget,
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
        window: Arc::new(Window::new(spool.written(), Budget::default())),
        end: end.subscribe(),
        total,
        clients: Weak::new(),
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
        let rest = self.content.slice(from..);
        self.tail.window.push(rest.clone(), from as u64);
        self.spool = Some(spool.append(vec![rest]).await.expect("room"));
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
