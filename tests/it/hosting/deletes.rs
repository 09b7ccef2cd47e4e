//! DELETE (distribution-spec, "Content Management").

use http::Method;

use crate::{
    harness::{Client, FakeRegistry, ImageBuilder, get},
    push::{Pusher, setup},
    server::{Setup, on_both},
};

on_both!(
    a_tag_goes_alone_and_a_manifest_with_its_tags,
    a_blob_goes_from_one_repository_alone,
);

async fn a_tag_goes_alone_and_a_manifest_with_its_tags() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(3000).build();
    for tag in ["v1", "v2", "v3"] {
        pusher.image("team/app", tag, &image).await;
    }
    assert!(pusher.has_manifest("team/app", "v1").await);
    let deleted = pusher.delete_manifest("team/app", "v1").await;
    assert_eq!(
        (deleted.status, deleted.header("content-length")),
        (202, "0")
    );
    assert!(!pusher.has_manifest("team/app", "v1").await);
    assert!(pusher.has_manifest("team/app", "v2").await);
    let again = pusher.delete_manifest("team/app", "v1").await;
    assert_eq!(
        (again.status, &*again.error_code()),
        (404, "MANIFEST_UNKNOWN")
    );

    let deleted = pusher.delete_manifest("team/app", &image.root).await;
    assert_eq!((deleted.status, deleted.header("warning")), (202, ""));
    for reference in ["v2", "v3", &image.root] {
        assert!(
            !pusher.has_manifest("team/app", reference).await,
            "{reference}"
        );
    }
    let tags = get(&format!("{}/v2/team/app/tags/list", server.url())).await;
    assert_eq!(tags.json()["tags"], serde_json::json!([]));
    let again = pusher.delete_manifest("team/app", &image.root).await;
    assert_eq!(
        (again.status, &*again.error_code()),
        (404, "MANIFEST_UNKNOWN")
    );
    // Who was told that the layers are here can push what names them.
    pusher.image("team/app", "v4", &image).await;
    assert!(pusher.has_manifest("team/app", "v4").await);
    let nowhere = pusher.delete_manifest("team/nothing", "v1").await;
    assert_eq!(nowhere.status, 404);
}

async fn a_blob_goes_from_one_repository_alone() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(3000).build();
    for repository in ["team/one", "team/two"] {
        pusher.image(repository, "v1", &image).await;
    }
    let layer = &image.layers()[0];
    assert!(pusher.has_blob("team/one", layer).await);
    assert_eq!(pusher.delete_blob("team/one", layer).await.status, 202);
    assert!(!pusher.has_blob("team/one", layer).await);
    let path = format!("/v2/team/one/blobs/{layer}");
    assert_eq!(pusher.get(&path).await.status, 404);
    let again = pusher.delete_blob("team/one", layer).await;
    assert_eq!((again.status, &*again.error_code()), (404, "BLOB_UNKNOWN"));
    let elsewhere = pusher.get(&format!("/v2/team/two/blobs/{layer}")).await;
    assert_eq!((elsewhere.status, elsewhere.body), (200, image.blob(layer)));

    let root = image.root_manifest();
    let (media_type, bytes) = (&root.media_type, root.bytes.clone());
    let pushed = pusher.manifest("team/one", "v2", media_type, bytes).await;
    assert_eq!(
        (pushed.status, &*pushed.error_code()),
        (400, "MANIFEST_BLOB_UNKNOWN")
    );
    pusher.blob("team/one", &image.blob(layer)).await;
    assert!(pusher.has_blob("team/one", layer).await);
}

#[tokio::test]
async fn the_last_delete_of_content_frees_its_file() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(3000).build();
    pusher.image("team/one", "v1", &image).await;
    pusher.image("team/two", "v1", &image).await;
    let layer = image.layers()[0].clone();
    let hex = layer.strip_prefix("sha256:").expect("sha256");
    let blobs = server.folder.path().join("data/blobs/sha256");
    let file = blobs.join(&hex[..2]).join(hex);
    pusher.delete_blob("team/one", &layer).await;
    assert!(file.exists());
    pusher.delete_blob("team/two", &layer).await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_subject_that_goes_tells_what_is_left_dangling() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let subject = ImageBuilder::new(1).layer(3000).build();
    let signature = ImageBuilder::artifact(2, "application/signature", &subject).build();
    pusher.image("team/app", "v1", &subject).await;
    pusher.image("team/app", "signature", &signature).await;
    let deleted = pusher.delete_manifest("team/app", &subject.root).await;
    assert_eq!(deleted.status, 202);
    let expected = format!(
        "299 - \"1 referrers are left without their subject: {}\"",
        signature.root
    );
    assert_eq!(deleted.header("warning"), expected);
    let url = format!("{}/v2/team/app/referrers/{}", server.url(), subject.root);
    let left = get(&url).await.json();
    assert_eq!(left["manifests"][0]["digest"], signature.root);
    assert!(pusher.has_manifest("team/app", "signature").await);
}

#[tokio::test]
async fn a_delete_takes_a_right_and_never_moves_an_immutable_tag() {
    let server = setup("immutable_tags = [\"v*\"]").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(3000).build();
    pusher.image("team/app", "v1", &image).await;
    pusher.image("team/app", "edge", &image).await;
    let url = server.manifest_url("team/app", "edge");
    let anonymous = Client::new().send(Method::DELETE, &url, &[]).await;
    assert_eq!(anonymous.status, 401);
    assert!(anonymous.header("www-authenticate").contains("realm="));
    for reference in ["v1", &image.root] {
        let refused = pusher.delete_manifest("team/app", reference).await;
        assert_eq!((refused.status, &*refused.error_code()), (409, "DENIED"));
        let message = &refused.errors()[0].1;
        assert!(
            message.contains("`v1`") && message.contains("`v*`"),
            "{message}"
        );
    }
    assert_eq!(pusher.delete_manifest("team/app", "edge").await.status, 202);
    assert!(pusher.has_manifest("team/app", "v1").await);
}

#[tokio::test]
async fn nothing_that_was_cached_is_deleted_by_clients() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(3000).build();
    hub.put_image("library/app", "1", &image);
    let access = "[access]\nadmin_password = \"admin pass\"";
    let server = Setup::hub(&hub).section(access).start().await;
    let pusher = Pusher::of(&server);
    assert_eq!(
        get(&server.manifest_url("library/app", "1")).await.status,
        200
    );
    let layer = &image.layers()[0];
    assert_eq!(
        get(&server.blob_url("library/app", layer)).await.status,
        200
    );
    for path in [
        "manifests/1".to_owned(),
        format!("manifests/{}", image.root),
        format!("blobs/{layer}"),
    ] {
        let path = format!("/v2/docker.io/library/app/{path}");
        let refused = pusher.delete(&path).await;
        assert_eq!(
            (refused.status, &*refused.error_code()),
            (405, "UNSUPPORTED"),
            "{path}"
        );
        let url = format!("{}{path}", server.url());
        let anonymous = Client::new().send(Method::DELETE, &url, &[]).await;
        assert_eq!(anonymous.status, 405);
    }
}
