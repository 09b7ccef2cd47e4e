//! Each thing is fetched once: layers that images share, and tags that move.

use crate::{
    fill::{KIB, until_hit},
    harness::{FakeRegistry, Image, ImageBuilder, On, get},
    server::{Setup, TestServer, on_both},
};

on_both! {
    images_that_share_a_layer_fetch_it_once,
    a_tag_that_moves_fetches_only_what_is_new,
}

/// All of an image with one manifest, as clients pull it.
async fn pull(server: &TestServer, repository: &str, tag: &str, image: &Image) {
    let manifest = get(&server.manifest_url(repository, tag)).await;
    assert_eq!(manifest.status, 200);
    assert!(manifest.body == image.root_manifest().bytes);
    for (digest, bytes) in &image.blobs {
        assert!(until_hit(&server.blob_url(repository, digest)).await.body == *bytes);
    }
}

async fn images_that_share_a_layer_fetch_it_once() {
    let remote = FakeRegistry::start().await;
    let shared = |seed| {
        ImageBuilder::new(seed)
            .shared_layer(9, 64 * KIB)
            .layer(KIB)
            .build()
    };
    let (one, other) = (shared(1), shared(2));
    let layer = one.layers().remove(0);
    remote.put_image("team/one", "v1", &one);
    remote.put_image("team/other", "v1", &other);
    let server = Setup::empty().mirror("r", &remote, "").start().await;
    pull(&server, "r/team/one", "v1", &one).await;
    pull(&server, "r/team/other", "v1", &other).await;
    assert_eq!(remote.count(On::blob().reference(&layer)), 1);
    // Two configs, two layers of their own, and the shared one.
    assert_eq!(remote.count(On::blob()), 5);
}

async fn a_tag_that_moves_fetches_only_what_is_new() {
    let remote = FakeRegistry::start().await;
    let (before, after) = (
        ImageBuilder::new(1)
            .shared_layer(9, 64 * KIB)
            .layer(KIB)
            .build(),
        ImageBuilder::new(2)
            .shared_layer(9, 64 * KIB)
            .layer(KIB)
            .build(),
    );
    remote.put_image("app", "latest", &before);
    let setup = Setup::empty().mirror("r", &remote, "");
    let server = setup
        .freshness("mode = \"always\"\ntags = \"**\"")
        .start()
        .await;
    pull(&server, "r/app", "latest", &before).await;
    remote.put_image("app", "latest", &after);
    remote.forget_requests();
    pull(&server, "r/app", "latest", &after).await;
    assert_eq!(remote.count(On::blob()), 2);
    assert_eq!(remote.count(On::blob().reference(&before.layers()[0])), 0);
    let manifests = (
        remote.count(On::manifest().head()),
        remote.count(On::manifest().get()),
    );
    assert_eq!(manifests, (1, 1));
}
