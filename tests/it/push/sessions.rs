//! Upload sessions: chunks in order, streams, status, cancelling, several requests at once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

use super::{PASSWORD, Pusher, setup};
use crate::{
    harness::{Algorithm, basic, digest_of, get, random_bytes, sha256},
    server::on_both,
    small_disk::until,
};

on_both!(
    chunks_in_order_become_a_blob,
    a_stream_without_a_range_is_taken,
    a_request_that_stalls_is_taken_over_by_the_next_one,
    a_blob_of_another_algorithm_than_its_session_is_taken,
);

async fn chunks_in_order_become_a_blob() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(1, 3_000_000);
    for put_last in [true, false] {
        let session = pusher.session("team/app").await;
        let status = pusher.get(&session).await;
        assert_eq!((status.status, status.header("range")), (204, "0-0"));
        let chunks = [
            0..1_000_000_usize,
            1_000_000..2_500_000,
            2_500_000..3_000_000,
        ];
        let patched = if put_last { &chunks[..2] } else { &chunks[..] };
        let mut next = session.clone();
        for chunk in patched {
            let range = format!("{}-{}", chunk.start, chunk.end - 1);
            let patch = pusher.patch(&next, Some(&range), bytes.slice(chunk.clone()));
            let patch = patch.await;
            let so_far = format!("0-{}", chunk.end - 1);
            assert_eq!(
                (patch.status, patch.header("range")),
                (202, so_far.as_str())
            );
            next = patch.header("location").to_owned();
            let status = pusher.get(&next).await;
            assert_eq!(
                (status.status, status.header("range")),
                (204, so_far.as_str())
            );
        }
        let path = format!("{next}?digest={}", sha256(&bytes));
        let mut finish = pusher.request(Method::PUT, &path);
        if put_last {
            finish = finish
                .header("content-range", "2500000-2999999")
                .body(bytes.slice(2_500_000..));
        }
        assert_eq!(Pusher::send(finish).await.status, 201);
    }
    let url = server.blob_url("team/app", &sha256(&bytes));
    assert_eq!(get(&url).await.body, bytes);
}

#[tokio::test]
async fn a_chunk_out_of_order_is_told_where_to_go_on() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(2, 300);
    let session = pusher.session("team/app").await;
    let early = pusher.patch(&session, Some("100-199"), bytes.slice(100..200));
    assert_eq!(early.await.status, 416);
    let first = pusher.patch(&session, Some("0-99"), bytes.slice(..100));
    assert_eq!(first.await.status, 202);
    let path = format!("{session}?digest={}", sha256(&bytes));
    for (range, chunk) in [
        ("0-99", bytes.slice(..100)),
        ("200-299", bytes.slice(200..)),
        ("99-198", bytes.slice(99..199)),
    ] {
        let patch = pusher.patch(&session, Some(range), chunk.clone()).await;
        let put = pusher.request(Method::PUT, &path);
        let put = Pusher::send(put.header("content-range", range).body(chunk)).await;
        for refused in [patch, put] {
            assert_eq!(
                (refused.status, refused.error_code().as_str()),
                (416, "BLOB_UPLOAD_INVALID")
            );
            assert_eq!(refused.header("range"), "0-99");
            assert_eq!(refused.header("location"), session);
        }
    }
    let rest = pusher.patch(&session, Some("100-299"), bytes.slice(100..));
    assert_eq!(rest.await.status, 202);
    let finished = pusher.finish(&session, &sha256(&bytes), Bytes::new()).await;
    assert_eq!(finished.status, 201);
}

#[tokio::test]
async fn a_chunk_that_is_not_as_long_as_it_says_is_refused() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let session = pusher.session("team/app").await;
    for (range, code) in [
        ("0-5", "SIZE_INVALID"),
        ("5-0", "SIZE_INVALID"),
        ("0-18446744073709551615", "SIZE_INVALID"),
        ("x", "BLOB_UPLOAD_INVALID"),
        ("0-", "BLOB_UPLOAD_INVALID"),
    ] {
        let refused = pusher.patch(&session, Some(range), Bytes::from("0123"));
        let refused = refused.await;
        let expected = if range == "5-0" { 416 } else { 400 };
        assert_eq!(refused.status, expected, "{range}");
        if expected == 400 {
            assert_eq!(refused.error_code(), code, "{range}");
        }
    }
    assert_eq!(pusher.get(&session).await.header("range"), "0-0");
}

async fn a_stream_without_a_range_is_taken() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(3, 5_000_000);
    let session = pusher.session("team/app").await;
    for half in [bytes.slice(..3_000_000), bytes.slice(3_000_000..)] {
        let pieces: Vec<_> = half.chunks(50_000).map(|p| half.slice_ref(p)).collect();
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let patch = pusher.request(Method::PATCH, &session);
        let patch = Pusher::send(patch.body(reqwest::Body::wrap_stream(pieces)));
        assert_eq!(patch.await.status, 202);
    }
    let finished = pusher.finish(&session, &sha256(&bytes), Bytes::new()).await;
    assert_eq!(finished.status, 201);
    let url = server.blob_url("team/app", &sha256(&bytes));
    assert_eq!(get(&url).await.body, bytes);
}

async fn a_blob_of_another_algorithm_than_its_session_is_taken() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(4, 200_000);
    let digest = digest_of(Algorithm::Sha512, &bytes);
    for query in ["", "?digest-algorithm=sha512"] {
        let started = pusher.post("team/app", query).await;
        let session = started.header("location");
        let patch = pusher.patch(session, None, bytes.slice(..150_000)).await;
        assert_eq!(patch.status, 202);
        let finished = pusher.finish(session, &digest, bytes.slice(150_000..));
        assert_eq!(finished.await.status, 201, "{query}");
    }
    let refused = pusher.post("team/app", "?digest-algorithm=md5").await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (400, "DIGEST_INVALID")
    );
    assert_eq!(get(&server.blob_url("team/app", &digest)).await.body, bytes);
}

#[tokio::test]
async fn a_cancelled_session_is_gone_with_what_came() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let session = pusher.session("team/app").await;
    pusher.patch(&session, None, Bytes::from("abc")).await;
    let cancel = async || Pusher::send(pusher.request(Method::DELETE, &session)).await;
    assert_eq!(cancel().await.status, 204);
    let spool = server.folder.path().join("data/spool");
    assert_eq!(spool.read_dir().expect("a folder").count(), 0);
    let again = cancel().await;
    let patch = pusher.patch(&session, None, Bytes::from("abc")).await;
    let put = pusher.finish(&session, &sha256(b"abc"), Bytes::new()).await;
    for gone in [again, patch, put] {
        assert_eq!(
            (gone.status, gone.error_code().as_str()),
            (404, "BLOB_UPLOAD_UNKNOWN")
        );
    }
    assert_eq!(pusher.get(&session).await.status, 404);
}

#[tokio::test]
async fn a_session_is_one_repositorys_alone() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let session = pusher.session("team/app").await;
    let other = session.replace("team/app", "team/other");
    assert_eq!(pusher.get(&other).await.status, 404);
    let patch = pusher.patch(&other, None, Bytes::from("abc")).await;
    assert_eq!(patch.status, 404);
    let unknown = format!("/v2/team/app/blobs/uploads/{}", uuid::Uuid::new_v4());
    assert_eq!(pusher.get(&unknown).await.status, 404);
    assert_eq!(pusher.get("/v2/team/app/blobs/uploads/x").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_a_connection_broke_is_kept() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(5, 400_000);
    let session = pusher.session("team/app").await;
    let address = server.url().trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "PATCH {session} HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
         content-range: 0-399999\r\ncontent-length: 400000\r\n\r\n",
        basic("admin", PASSWORD)
    );
    client.write_all(head.as_bytes()).await.expect("it reads");
    client.write_all(&bytes[..150_000]).await.expect("it reads");
    drop(client);
    // The server hears of it a moment later.
    let kept = async { while pusher.get(&session).await.header("range") != "0-149999" {} };
    timeout(Duration::from_secs(10), kept)
        .await
        .expect("what came is kept");
    let rest = pusher.patch(&session, Some("150000-399999"), bytes.slice(150_000..));
    assert_eq!(rest.await.status, 202);
    let finished = pusher.finish(&session, &sha256(&bytes), Bytes::new()).await;
    assert_eq!(finished.status, 201);
}

/// Most clients write all of a chunk before they look for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_large_chunk_out_of_order_is_told_where_to_go_on() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let session = pusher.session("team/app").await;
    let bytes = random_bytes(7, 5 << 20);
    let first = pusher.patch(&session, Some("0-9"), bytes.slice(..10)).await;
    assert_eq!(first.status, 202);
    let address = server.url().trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "PATCH {session} HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\nconnection: close\r\n\
         content-range: 0-{}\r\ncontent-length: {}\r\n\r\n",
        basic("admin", PASSWORD),
        bytes.len() - 1,
        bytes.len()
    );
    client.write_all(head.as_bytes()).await.expect("it reads");
    client.write_all(&bytes).await.expect("it reads all of it");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 416 "), "{answer}");
    assert!(
        answer.to_lowercase().contains("\r\nrange: 0-9\r\n"),
        "{answer}"
    );
}

/// Two chunks for the same place: one is in, the other is told.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_at_once_one_is_out_of_order() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(6, 100_000);
    let session = pusher.session("team/app").await;
    let (go_on, wait) = oneshot::channel::<()>();
    let (begin, rest) = (bytes.slice(..40_000), bytes.slice(40_000..));
    let rest = stream::once(async move {
        wait.await.expect("the test goes on");
        Ok(rest)
    });
    let slow = stream::iter([Ok::<_, std::io::Error>(begin)]).chain(rest);
    let slow = pusher
        .request(Method::PATCH, &session)
        .header("content-range", "0-99999")
        .body(reqwest::Body::wrap_stream(slow));
    let slow = tokio::spawn(Pusher::send(slow));
    while pusher.get(&session).await.header("range") == "0-0" {}
    let second = pusher.patch(&session, Some("0-99999"), bytes.clone());
    let (second, ()) = tokio::join!(second, async { go_on.send(()).expect("it waits") });
    assert_eq!(slow.await.expect("no panic").status, 202);
    assert_eq!((second.status, second.header("range")), (416, "0-99999"));
    let finished = pusher.finish(&session, &sha256(&bytes), Bytes::new()).await;
    assert_eq!(finished.status, 201);
}

/// A body of which nothing comes any more.
fn stalling(begin: Bytes) -> reqwest::Body {
    let begin = stream::iter([Ok::<_, std::io::Error>(begin)]);
    reqwest::Body::wrap_stream(begin.chain(stream::pending()))
}

/// As when the network between is gone: the client knows, and the server does not.
async fn a_request_that_stalls_is_taken_over_by_the_next_one() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(7, 100_000);
    let digest = sha256(&bytes);
    for is_last in [false, true] {
        let session = pusher.session("team/app").await;
        let (method, path) = match is_last {
            false => (Method::PATCH, session.clone()),
            true => (Method::PUT, format!("{session}?digest={digest}")),
        };
        let stalls = pusher
            .request(method, &path)
            .header("content-range", "0-99999")
            .body(stalling(bytes.slice(..40_000)));
        let stalls = tokio::spawn(Pusher::send(stalls));
        let id = session.rsplit('/').next().expect("it has an id");
        let file = server.folder.path().join(format!("data/spool/upload-{id}"));
        until("what came is in its file", || {
            file.metadata().is_ok_and(|file| file.len() == 40_000)
        })
        .await;
        let again = pusher.patch(&session, Some("0-99999"), bytes.clone());
        let again = again.await;
        assert_eq!((again.status, again.header("range")), (416, "0-39999"));
        let rest = pusher.patch(&session, Some("40000-99999"), bytes.slice(40_000..));
        assert_eq!(rest.await.status, 202);
        let finished = pusher.finish(&session, &digest, Bytes::new()).await;
        assert_eq!(finished.status, 201);
        stalls.abort();
    }
    assert_eq!(get(&server.blob_url("team/app", &digest)).await.body, bytes);
}

#[tokio::test]
async fn a_repository_has_so_many_sessions_and_no_more() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let mut started = 0;
    let refused = loop {
        let answer = pusher.post("team/app", "").await;
        if answer.status != 202 {
            break answer;
        }
        started += 1;
    };
    assert_eq!(started, 1000);
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (429, "TOOMANYREQUESTS")
    );
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(pusher.post("team/other", "").await.status, 202);
}
