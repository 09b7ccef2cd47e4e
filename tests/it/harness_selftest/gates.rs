//! Holds, waits and counts.

use std::sync::Arc;

use crate::harness::{FakeRegistry, ImageBuilder, On, SlowReader, get, head};

async fn remote() -> (Arc<FakeRegistry>, String, String) {
    let registry = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(1000).build();
    registry.put_image("a/b", "latest", &image);
    let manifest = registry.manifest_url("a/b", "latest");
    let blob = registry.blob_url("a/b", &image.layers()[0]);
    (Arc::new(registry), manifest, blob)
}

#[tokio::test]
async fn held_requests_wait_and_get_the_answer_of_their_arrival() {
    let (registry, manifest, _) = remote().await;
    let hold = registry.hold(On::manifest().get());
    let waiting = tokio::spawn({
        let manifest = manifest.clone();
        async move { get(&manifest).await }
    });
    hold.reached(1).await;
    assert_eq!(head(&manifest).await.status, 200);
    registry.delete_tag("a/b", "latest");
    assert_eq!(head(&manifest).await.status, 404);
    assert!(!waiting.is_finished());
    hold.release();
    assert_eq!(waiting.await.expect("the request ran").status, 200);
    assert_eq!(get(&manifest).await.status, 404);
}

#[tokio::test]
async fn a_gate_can_stand_in_the_body_and_let_them_go_one_by_one() {
    let (registry, _, blob) = remote().await;
    let hold = registry.hold_after(On::blob(), 600);
    let mut one = SlowReader::open(&blob, &[]).await;
    let mut other = SlowReader::open(&blob, &[]).await;
    assert_eq!(one.read(600).await.len(), 600);
    assert_eq!(other.read(600).await.len(), 600);
    hold.reached(2).await;
    assert_eq!(registry.bytes_sent(On::blob()), 1200);
    assert_eq!(registry.peak(On::blob()), 2);
    hold.release_some(1);
    registry.wait_for_ends(On::blob(), 1).await;
    assert_eq!(registry.running(On::blob()), 1);
    hold.release_some(1);
    one.read_to_end().await;
    other.read_to_end().await;
    assert!(one.is_complete() && other.is_complete());
}

#[tokio::test]
async fn requests_are_recorded_with_all_their_parts() {
    let (registry, manifest, blob) = remote().await;
    get(&format!("{manifest}?ns=docker.io")).await;
    crate::harness::get_range(&blob, "0-9").await;
    head(&blob).await;
    registry.wait_for_bytes(On::blob(), 10).await;
    let recorded = &registry.requests_on(&On::manifest())[0];
    assert_eq!(recorded.request.repository, "a/b");
    assert_eq!(recorded.request.reference, "latest");
    assert_eq!(recorded.request.parameter("ns"), Some("docker.io"));
    assert_eq!(recorded.status, 200);
    assert_eq!(registry.count(On::blob().ranged().answered(206)), 1);
    assert_eq!(registry.count(On::blob().unranged().head()), 1);
    assert_eq!(registry.count(On::any().header("range", "bytes=0-9")), 1);
    assert_eq!(registry.count(On::any().with_header("authorization")), 0);
    assert_eq!(registry.bytes_sent(On::blob().repository("a/b")), 10);
    assert_eq!(registry.peak(On::any()), 1);
    registry.forget_requests();
    assert_eq!(registry.count(On::any()), 0);
}

#[tokio::test]
async fn waits_end_when_the_requests_have_come() {
    let (registry, _, blob) = remote().await;
    let waiting = tokio::spawn({
        let registry = Arc::clone(&registry);
        async move { registry.wait_for(On::blob().get(), 2).await }
    });
    get(&blob).await;
    get(&blob).await;
    waiting.await.expect("both requests came");
}
