//! Mounting: a link more, of what the caller may pull.

use bytes::Bytes;

use super::{Pusher, setup};
use crate::{
    harness::{FakeRegistry, ImageBuilder, get, sha256},
    server::on_both,
};

on_both!(a_blob_of_another_repository_is_mounted);

async fn a_blob_of_another_repository_is_mounted() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let digest = pusher.blob("team/one", &Bytes::from("shared")).await;
    for (into, query) in [
        ("team/two", format!("?mount={digest}&from=team/one")),
        ("team/three", format!("?mount={digest}")),
        // What it has already is mounted again.
        ("team/three", format!("?mount={digest}&from=team/one")),
    ] {
        let mounted = pusher.post(into, &query).await;
        assert_eq!(mounted.status, 201, "{query}");
        let location = format!("/v2/{into}/blobs/{digest}");
        assert_eq!(mounted.header("location"), location);
        assert_eq!(mounted.header("docker-content-digest"), digest);
        let pulled = get(&server.blob_url(into, &digest)).await;
        assert_eq!((pulled.status, pulled.body), (200, Bytes::from("shared")));
    }
}

#[tokio::test]
async fn what_cannot_be_mounted_begins_a_session() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let digest = pusher.blob("team/one", &Bytes::from("here")).await;
    let absent = sha256(b"absent");
    for query in [
        format!("?mount={absent}&from=team/one"),
        format!("?mount={digest}&from=team/nothing"),
        format!("?mount={digest}&from=nowhere/one"),
    ] {
        let started = pusher.post("team/two", &query).await;
        assert_eq!(started.status, 202, "{query}");
        let bytes = if query.contains(&absent) {
            "absent"
        } else {
            "here"
        };
        let session = started.header("location");
        let finished = pusher
            .finish(session, &sha256(bytes.as_bytes()), Bytes::from(bytes))
            .await;
        assert_eq!(finished.status, 201);
    }
    let never = sha256(b"never seen");
    let started = pusher.post("team/two", &format!("?mount={never}")).await;
    assert_eq!(started.status, 202);
    let refused = pusher
        .post("team/two", "?mount=sha256:00&from=team/one")
        .await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (400, "DIGEST_INVALID")
    );
}

#[tokio::test]
async fn what_a_mirror_has_cached_can_be_mounted() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(5000).build();
    hub.put_image("library/base", "1", &image);
    let server = setup("")
        .mirror_with("hub", &hub, "provider = \"docker-hub\"")
        .start()
        .await;
    let layer = &image.layers()[0];
    get(&server.blob_url("hub/library/base", layer)).await;
    server.settled().await;
    let pusher = Pusher::of(&server);
    let query = format!("?mount={layer}&from=hub/library/base");
    assert_eq!(pusher.post("team/app", &query).await.status, 201);
    let pulled = get(&server.blob_url("team/app", layer)).await;
    assert_eq!(pulled.body, image.blob(layer));
}
