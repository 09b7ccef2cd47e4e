//! Pushes into mirrors.

use http::Method;

use crate::{
    harness::{FakeRegistry, ImageBuilder, get},
    push::Pusher,
    server::{Setup, on_both},
};

on_both!(what_was_seeded_is_pulled_while_the_remote_is_away_and_can_be_deleted);

const ACCESS: &str = "[access]\nadmin_password = \"admin pass\"";
const APP: &str = "docker.io/library/app";

/// A mirror whose remote is not there.
fn alone(keys: &str) -> Setup {
    Setup::empty()
        .remote("docker.io", "http://127.0.0.1:1", "")
        .project("docker.io", "docker.io", &format!("default = true\n{keys}"))
        .section(ACCESS)
}

async fn what_was_seeded_is_pulled_while_the_remote_is_away_and_can_be_deleted() {
    for keys in ["", "offline = true"] {
        let server = alone(keys).freshness("ttl = \"0s\"").start().await;
        let pusher = Pusher::of(&server);
        let image = ImageBuilder::new(1)
            .layer(3000)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        pusher.image(APP, "1", &image).await;
        for manifest in &image.manifests {
            let pulled = get(&server.manifest_url("library/app", &manifest.digest)).await;
            assert_eq!((pulled.status, &pulled.body), (200, &manifest.bytes));
        }
        let pulled = get(&server.manifest_url("library/app", "1")).await;
        assert_eq!((pulled.status, pulled.header("x-cache")), (200, "stale"));
        for (digest, bytes) in &image.blobs {
            let pulled = get(&server.blob_url("library/app", digest)).await;
            assert_eq!((pulled.status, &pulled.body), (200, bytes));
        }
        let entry = format!("/api/v1/cache/entry?name={APP}&reference=1");
        let entry = pusher.get(&entry).await;
        let entry: serde_json::Value = serde_json::from_slice(&entry.body).expect("JSON");
        assert_eq!(entry["state"], "seeded");
        assert_eq!(pusher.delete_manifest(APP, "1").await.status, 202);
        assert_eq!(pusher.delete_manifest(APP, &image.root).await.status, 202);
        assert!(!pusher.has_manifest(APP, &image.root).await);
        assert_eq!(pusher.delete_manifest(APP, "1").await.status, 404);
    }
}

#[tokio::test]
async fn without_the_right_nothing_is_seeded() {
    let server = alone("").start().await;
    let url = format!("{}/v2/{APP}/blobs/uploads/", server.url());
    let refused = crate::harness::Client::new();
    let refused = refused.send(Method::POST, &url, &[]).await;
    assert_eq!((refused.status, &*refused.error_code()), (403, "DENIED"));
}

#[tokio::test]
async fn a_seeded_tag_obeys_freshness_and_outlives_what_the_remote_says() {
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub)
        .freshness("ttl = \"1ms\"")
        .section(ACCESS)
        .start()
        .await;
    let pusher = Pusher::of(&server);
    let seeded = ImageBuilder::new(1).layer(3000).build();
    pusher.image(APP, "1", &seeded).await;
    pusher.image(APP, "2", &seeded).await;
    let newer = ImageBuilder::new(2).layer(3000).build();
    hub.put_image("library/app", "1", &newer);
    let pulled = get(&server.manifest_url("library/app", "1")).await;
    assert_eq!(pulled.header("docker-content-digest"), newer.root);
    // The remote never had this one: it says so, and the row stays for when it cannot be asked.
    let absent = get(&server.manifest_url("library/app", "2")).await;
    assert_eq!(absent.status, 404);
    let entry = format!("/api/v1/cache/entry?name={APP}&reference=2");
    assert_eq!(pusher.get(&entry).await.status, 200);
}

#[tokio::test]
async fn seeding_is_denied_when_what_never_goes_would_exceed_the_budget() {
    let server = alone("max_bytes = \"100KiB\"").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(60_000).build();
    pusher.image(APP, "1", &image).await;
    let large = crate::harness::random_bytes(2, 60_000);
    let session = pusher.session(APP).await;
    let refused = pusher
        .finish(&session, &crate::harness::sha256(&large), large)
        .await;
    assert_eq!((refused.status, &*refused.error_code()), (403, "DENIED"));
    let message = &refused.errors()[0].1;
    assert!(message.contains("100.0 KiB"), "{message}");
    assert!(pusher.has_manifest(APP, "1").await);
}
