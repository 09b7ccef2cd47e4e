//! Quotas.

use bytes::Bytes;
use http::Method;

use crate::{
    harness::{ImageBuilder, random_bytes, sha256},
    push::{Pusher, setup},
    server::on_both,
};

on_both!(a_push_over_the_quota_is_denied_and_says_so);

async fn a_push_over_the_quota_is_denied_and_says_so() {
    let server = setup("quota = \"100KiB\"").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(60_000).build();
    pusher.image("team/app", "v1", &image).await;
    // What the project has already costs nothing more, wherever in it.
    pusher.image("team/other", "v1", &image).await;
    let large = random_bytes(2, 50_000);
    let digest = sha256(&large);
    let session = pusher.session("team/app").await;
    for refused in [pusher.finish(&session, &digest, large.clone()).await, {
        let query = format!("?digest={digest}");
        let path = format!("/v2/team/app/blobs/uploads/{query}");
        Pusher::send(pusher.request(Method::POST, &path).body(large.clone())).await
    }] {
        assert_eq!((refused.status, &*refused.error_code()), (403, "DENIED"));
        let message = &refused.errors()[0].1;
        assert!(
            message.contains("`team`") && message.contains("100.0 KiB"),
            "{message}"
        );
    }
    assert_eq!(
        pusher
            .head(&format!("/v2/team/app/blobs/{digest}"))
            .await
            .status,
        404
    );
    // Chunks of unknown length are counted when they are there.
    let session = pusher.session("team/app").await;
    let stream = |bytes: Bytes| {
        let chunk = futures_util::stream::once(async move { Ok::<_, std::io::Error>(bytes) });
        reqwest::Body::wrap_stream(chunk)
    };
    let body = stream(large.clone());
    let sent = Pusher::send(pusher.request(Method::PATCH, &session).body(body)).await;
    let finished = pusher.finish(&session, &digest, Bytes::new()).await;
    assert_eq!((sent.status, finished.status), (202, 403));
    // Room comes back with a delete.
    pusher.delete_manifest("team/other", &image.root).await;
    pusher.delete_manifest("team/app", &image.root).await;
    for repository in ["team/app", "team/other"] {
        for digest in image.blobs.keys() {
            assert_eq!(pusher.delete_blob(repository, digest).await.status, 202);
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    pusher.blob("team/app", &large).await;
}
