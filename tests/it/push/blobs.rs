//! Blobs in one request, and what is answered to those that are not right.

use bytes::Bytes;
use http::Method;

use super::{Pusher, setup};
use crate::{
    harness::{Algorithm, Client, digest_of, get, get_range, head, random_bytes, sha256},
    server::on_both,
};

on_both!(
    a_blob_is_pushed_by_post_and_put,
    a_blob_is_pushed_by_a_single_post,
    a_large_blob_comes_back_byte_for_byte,
);

async fn a_blob_is_pushed_by_post_and_put() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    for bytes in [Bytes::new(), Bytes::from("{}"), random_bytes(1, 100_000)] {
        let digest = sha256(&bytes);
        assert_eq!(get(&server.blob_url("team/app", &digest)).await.status, 404);
        let session = pusher.session("team/app").await;
        let pushed = pusher.finish(&session, &digest, bytes.clone()).await;
        let location = format!("/v2/team/app/blobs/{digest}");
        assert_eq!(pushed.status, 201);
        assert_eq!(pushed.header("location"), location);
        assert_eq!(pushed.header("docker-content-digest"), digest);
        let pulled = get(&server.blob_url("team/app", &digest)).await;
        assert_eq!((pulled.status, pulled.body), (200, bytes.clone()));
        let head = head(&server.blob_url("team/app", &digest)).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), bytes.len().to_string());
        assert_eq!(head.header("docker-content-digest"), digest);
        // Its session is over.
        assert_eq!(pusher.get(&session).await.status, 404);
    }
}

async fn a_blob_is_pushed_by_a_single_post() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let bytes = random_bytes(2, 70_000);
        let digest = digest_of(algorithm, &bytes);
        let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
        let request = pusher.request(Method::POST, &path).body(bytes.clone());
        let pushed = Pusher::send(request).await;
        assert_eq!(pushed.status, 201);
        let pulled = pusher.get(pushed.header("location")).await;
        assert_eq!((pulled.status, pulled.body), (200, bytes));
    }
}

async fn a_large_blob_comes_back_byte_for_byte() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    // More than one batch, and no whole number of pages.
    let bytes = random_bytes(3, 9_000_001);
    let digest = pusher.blob("team/big", &bytes).await;
    let url = server.blob_url("team/big", &digest);
    assert_eq!(get(&url).await.body, bytes);
    let part = get_range(&url, "8000000-8999999").await;
    assert_eq!(
        (part.status, part.body),
        (206, bytes.slice(8_000_000..9_000_000))
    );
    // Once more, as another repository: the same content is there once.
    pusher.blob("team/again", &bytes).await;
    assert_eq!(
        get(&server.blob_url("team/again", &digest)).await.body,
        bytes
    );
}

#[tokio::test]
async fn a_post_with_a_digest_and_no_body_begins_a_session() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let digest = sha256(b"later");
    let started = pusher.post("team/app", &format!("?digest={digest}")).await;
    assert_eq!(started.status, 202);
    let session = started.header("location");
    let pushed = pusher.finish(session, &digest, Bytes::from("later")).await;
    assert_eq!(pushed.status, 201);
}

#[tokio::test]
async fn content_that_its_digest_does_not_tell_is_refused_and_leaves_nothing() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let (wrong, bytes) = (sha256(b"something else"), Bytes::from("something"));
    let session = pusher.session("team/app").await;
    let put = pusher.finish(&session, &wrong, bytes.clone()).await;
    let path = format!("/v2/team/app/blobs/uploads/?digest={wrong}");
    let post = Pusher::send(pusher.request(Method::POST, &path).body(bytes)).await;
    for refused in [put, post] {
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
    }
    assert_eq!(pusher.get(&session).await.status, 404);
    assert_eq!(get(&server.blob_url("team/app", &wrong)).await.status, 404);
    let spool = server.folder.path().join("data/spool");
    assert_eq!(spool.read_dir().expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_digest_that_is_none_is_refused_and_the_session_goes_on() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let session = pusher.session("team/app").await;
    for digest in ["", "sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e", "x"] {
        let refused = pusher.finish(&session, digest, Bytes::from("a")).await;
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
    }
    let finished = pusher
        .finish(&session, &sha256(b"a"), Bytes::from("a"))
        .await;
    assert_eq!(finished.status, 201);
}

#[tokio::test]
async fn only_who_may_push_does() {
    let server = setup("")
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    let client = Client::new();
    let path = "/v2/team/app/blobs/uploads/";
    let url = format!("{}{path}", server.url());
    let anonymous = client.send(Method::POST, &url, &[]).await;
    assert_eq!(anonymous.status, 401);
    assert!(!anonymous.header("www-authenticate").is_empty());
    let url = format!("{}{path}", server.mirror_url());
    let pull_only = client.send(Method::POST, &url, &[]).await;
    assert_eq!(pull_only.status, 405);
    let pusher = Pusher::of(&server);
    assert_eq!(pusher.post("nowhere/app", "").await.status, 404);
    // The pull-only listener has mirror projects alone.
    let digest = pusher.blob("team/app", &Bytes::from("x")).await;
    let url = format!("{}/v2/team/app/blobs/{digest}", server.mirror_url());
    assert_eq!(get(&url).await.status, 404);
}
