//! "Deleting tags", "Deleting Manifests", "Deleting Blobs".

use bytes::Bytes;
use http::Method;

use super::{BOTH, REPOSITORY, Registry, absent, blob_path, manifest_path, with_digest};
use crate::{
    harness::{FakeRegistry, ImageBuilder, digest_of, sha256},
    push::{Pusher, setup},
    server::on_both,
};

on_both!(
    deleting_tags_is_202_and_a_get_404,
    deleting_manifests_is_202_and_a_get_of_it_and_its_tags_404,
    deleting_manifests_of_a_repository_that_does_not_exist_is_404,
    deleting_blobs_is_202_and_a_head_404,
    deleting_blobs_that_are_missing_is_404,
    deleting_what_may_not_be_deleted_is_405,
);

impl Registry {
    async fn delete(&self, path: &str) -> u16 {
        self.send(Method::DELETE, path, &[], "").await.status
    }
}

async fn deleting_tags_is_202_and_a_get_404() {
    let registry = Registry::start().await;
    let image = registry.image(1, "1").await;
    registry.image(1, "2").await;
    assert_eq!(registry.delete(&manifest_path("1")).await, 202);
    assert_eq!(registry.get(&manifest_path("1")).await.status, 404);
    assert_eq!(registry.delete(&manifest_path("1")).await, 404);
    // The manifest and its other tag stay.
    for reference in ["2", &image.root] {
        assert_eq!(registry.get(&manifest_path(reference)).await.status, 200);
    }
    let tags = registry.get(&format!("/v2/{REPOSITORY}/tags/list")).await;
    assert!(tags.body.ends_with(b"\"tags\":[\"2\"]}"), "{:?}", tags.body);
}

async fn deleting_manifests_is_202_and_a_get_of_it_and_its_tags_404() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        let body = Bytes::from(format!("{{\"algorithm\":\"{algorithm:?}\"}}"));
        let digest = digest_of(algorithm, &body);
        let put = registry
            .put_manifest(&format!("{digest}?tag=1&tag=2"), "a/b", &body)
            .await;
        assert_eq!(put.status, 201);
        assert_eq!(registry.delete(&manifest_path(&digest)).await, 202);
        for reference in ["1", "2", &digest] {
            for method in [Method::GET, Method::HEAD] {
                let gone = registry
                    .send(method, &manifest_path(reference), &[], "")
                    .await;
                assert_eq!(gone.status, 404, "{reference}");
            }
        }
        assert_eq!(registry.delete(&manifest_path(&digest)).await, 404);
    }
}

async fn deleting_manifests_of_a_repository_that_does_not_exist_is_404() {
    let registry = Registry::start().await;
    let image = registry.image(1, "1").await;
    for reference in ["1", &image.root] {
        let path = format!("/v2/team/clauses/nothing/manifests/{reference}");
        assert_eq!(registry.delete(&path).await, 404);
    }
    assert_eq!(registry.get(&manifest_path("1")).await.status, 200);
}

async fn deleting_blobs_is_202_and_a_head_404() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        let bytes = Bytes::from("shared by two repositories");
        let digest = digest_of(algorithm, &bytes);
        let location = with_digest(&registry.session().await, &digest);
        let put = registry
            .send(Method::PUT, &location, &[], bytes.clone())
            .await;
        assert_eq!(put.status, 201);
        let mount =
            format!("/v2/team/clauses/other/blobs/uploads/?mount={digest}&from={REPOSITORY}");
        assert_eq!(
            registry.send(Method::POST, &mount, &[], "").await.status,
            201
        );
        assert_eq!(registry.delete(&blob_path(&digest)).await, 202);
        assert_eq!(registry.head(&blob_path(&digest)).await.status, 404);
        assert_eq!(registry.get(&blob_path(&digest)).await.status, 404);
        let other = format!("/v2/team/clauses/other/blobs/{digest}");
        assert_eq!(registry.get(&other).await.body, bytes);
    }
}

async fn deleting_blobs_that_are_missing_is_404() {
    let registry = Registry::start().await;
    registry.image(1, "1").await;
    for digest in absent() {
        assert_eq!(registry.delete(&blob_path(&digest)).await, 404);
    }
    let bytes = Bytes::from("elsewhere");
    registry.pusher.blob("team/clauses/other", &bytes).await;
    assert_eq!(registry.delete(&blob_path(&sha256(&bytes))).await, 404);
}

/// What a mirror has of its remote is not deleted by clients.
async fn deleting_what_may_not_be_deleted_is_405() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(100).build();
    remote.put_image("app", "1", &image);
    let server = setup("")
        .mirror("r", &remote, "visibility = \"public\"")
        .start()
        .await;
    let pusher = Pusher::of(&server);
    assert_eq!(pusher.get("/v2/r/app/manifests/1").await.status, 200);
    server.settled().await;
    for path in [
        "manifests/1".to_owned(),
        format!("manifests/{}", image.root),
        format!("blobs/{}", image.layers()[0]),
    ] {
        let path = format!("/v2/r/app/{path}");
        let refused = Pusher::send(pusher.request(Method::DELETE, &path)).await;
        assert_eq!(refused.status, 405, "{path}");
    }
    assert_eq!(pusher.get("/v2/r/app/manifests/1").await.status, 200);
}
