//! A full disk: a push is told, and everything else goes on.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use tokio::sync::oneshot;

use super::{Pushed, Pusher, setup};
use crate::{
    fill::MIB,
    harness::{FakeRegistry, ImageBuilder, get, media_type, random_bytes, sha256},
    server::on_both,
    small_disk::{SmallDisk, until},
};

on_both!(
    pushes_onto_a_full_disk_are_denied_and_everything_else_is_served,
    a_disk_that_becomes_full_in_the_middle_of_a_push_ends_it_and_it_goes_on_later,
);

fn assert_denied(refused: &Pushed) {
    let error = &refused.errors()[0];
    assert_eq!((refused.status, error.0.as_str()), (403, "DENIED"));
    assert!(error.1.contains("no room"), "{}", error.1);
}

/// A body of which nobody says how long it is.
fn unannounced(bytes: &Bytes) -> reqwest::Body {
    let pieces: Vec<_> = bytes.chunks(100_000).map(|p| bytes.slice_ref(p)).collect();
    let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

async fn pushes_onto_a_full_disk_are_denied_and_everything_else_is_served() {
    let remote = FakeRegistry::start().await;
    let (pushed, cached) = (
        ImageBuilder::new(1).layer(200_000).build(),
        ImageBuilder::new(2).layer(MIB).build(),
    );
    remote.put_image("app", "1", &cached);
    let disk = SmallDisk::new(32);
    let setup = setup("")
        .mirror("r", &remote, "")
        .variable("ENTREPOT__STORAGE__FREE_FLOOR", "0");
    let server = disk.hold(setup).start().await;
    let pusher = Pusher::of(&server);
    pusher.image("team/app", "1", &pushed).await;
    let session = pusher.session("team/app").await;
    disk.fill_up(0);

    let bytes = random_bytes(3, 2 * MIB);
    let digest = sha256(&bytes);
    let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
    let whole = pusher.request(Method::POST, &path).body(bytes.clone());
    assert_denied(&Pusher::send(whole).await);
    assert_denied(&pusher.patch(&session, None, bytes.clone()).await);
    let unannounced = pusher
        .request(Method::PATCH, &session)
        .body(unannounced(&bytes));
    assert_denied(&Pusher::send(unannounced).await);
    let manifest = Bytes::from(format!("{{\"big\": \"{}\"}}", "x".repeat(100_000)));
    let manifest = pusher.manifest("team/app", "2", "a/b", manifest);
    assert_denied(&manifest.await);

    for (url, expected) in [
        (
            server.manifest_url("team/app", "1"),
            &pushed.root_manifest().bytes,
        ),
        (
            server.blob_url("team/app", &pushed.layers()[0]),
            &pushed.blob(&pushed.layers()[0]),
        ),
        (
            server.manifest_url("r/app", "1"),
            &cached.root_manifest().bytes,
        ),
        (
            server.blob_url("r/app", &cached.layers()[0]),
            &cached.blob(&cached.layers()[0]),
        ),
    ] {
        let answer = get(&url).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{url}");
        assert!(answer.body == *expected, "{url}");
    }
    let tags = pusher.get("/v2/team/app/tags/list").await;
    assert_eq!(tags.body, r#"{"name":"team/app","tags":["1"]}"#);

    disk.make_room();
    let status = pusher.get(&session).await;
    assert_eq!(status.status, 204);
    let image = ImageBuilder::new(4).layer(300_000).build();
    pusher.image("team/app", "3", &image).await;
    let manifest = pusher.get("/v2/team/app/manifests/3").await;
    assert_eq!(manifest.header("content-type"), media_type::OCI_MANIFEST);
}

async fn a_disk_that_becomes_full_in_the_middle_of_a_push_ends_it_and_it_goes_on_later() {
    let disk = SmallDisk::new(48);
    let setup = setup("").variable("ENTREPOT__STORAGE__FREE_FLOOR", "0");
    let server = disk.hold(setup).start().await;
    let pusher = Pusher::of(&server);
    let bytes = random_bytes(5, 12 * MIB);
    let session = pusher.session("team/app").await;
    let (go_on, wait) = oneshot::channel::<()>();
    let (begin, rest) = (bytes.slice(..2 * MIB), bytes.slice(2 * MIB..));
    let rest = stream::once(async move {
        wait.await.expect("the test goes on");
        Ok(rest)
    });
    let body = stream::iter([Ok::<_, std::io::Error>(begin)]).chain(rest);
    let patch = pusher
        .request(Method::PATCH, &session)
        .body(reqwest::Body::wrap_stream(body));
    let patch = tokio::spawn(Pusher::send(patch));
    let id = session.rsplit('/').next().expect("it has an id");
    let file = disk.data().join(format!("spool/upload-{id}"));
    until("the beginning is there", || {
        file.metadata()
            .is_ok_and(|file| file.len() == 2 * MIB as u64)
    })
    .await;
    disk.fill_up(0);
    go_on.send(()).expect("it waits");
    assert_denied(&patch.await.expect("no panic"));

    disk.make_room();
    let status = pusher.get(&session).await;
    assert_eq!(status.status, 204);
    let last: usize = status.header("range")[2..].parse().expect("a number");
    let received = if last == 0 { 0 } else { last + 1 };
    let digest = sha256(&bytes);
    let finished = pusher.finish(&session, &digest, bytes.slice(received..));
    assert_eq!(finished.await.status, 201);
    let pulled = get(&server.blob_url("team/app", &digest)).await;
    assert!(pulled.status == 200 && pulled.body == bytes);
}
