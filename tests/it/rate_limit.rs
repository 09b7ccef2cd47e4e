//! What a remote limits: how it is spared, and what clients are told.

use crate::{
    fill::KIB,
    harness::{Answer, FakeRegistry, Fault, Image, ImageBuilder, On, get},
    server::{Setup, TestServer},
};

async fn scene(pulls_left: Option<u64>) -> (FakeRegistry, TestServer, Image) {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    for tag in ["a", "b", "c"] {
        remote.put_image("app", tag, &image);
    }
    remote.configure(|options| options.pulls_left = pulls_left);
    let server = Setup::empty().mirror("r", &remote, "").start().await;
    (remote, server, image)
}

/// 503 with a time, never 429.
fn assert_told_to_wait(answer: &Answer, longest_seconds: u64) {
    let code = answer.error_code();
    assert_eq!((answer.status, code.as_str()), (503, "UNAVAILABLE"));
    let seconds: u64 = answer.header("retry-after").parse().expect("a number");
    assert!((1..=longest_seconds).contains(&seconds), "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_is_met_once_and_clients_are_told_when_to_come_back() {
    let (remote, server, image) = scene(None).await;
    remote.fault_always(On::any(), Fault::too_many("60"));
    let blob = server.blob_url("r/app", &image.layers()[0]);
    for url in [
        server.manifest_url("r/app", "a"),
        server.manifest_url("r/app", "b"),
        server.manifest_url("r/app", &image.root),
        blob,
        format!("{}/v2/r/app/tags/list", server.url()),
    ] {
        assert_told_to_wait(&get(&url).await, 60);
    }
    assert_eq!(remote.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_last_pull_is_spent_no_other_is_sent_and_layers_still_come() {
    let (remote, server, image) = scene(Some(1)).await;
    assert_eq!(get(&server.manifest_url("r/app", "a")).await.status, 200);
    for tag in ["b", "c"] {
        // One comes back in 216 s.
        assert_told_to_wait(&get(&server.manifest_url("r/app", tag)).await, 217);
    }
    assert_eq!(remote.count(On::manifest().get()), 1);
    for digest in image.blobs.keys() {
        assert_eq!(get(&server.blob_url("r/app", digest)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_not_announced_holds_back_until_the_time_it_names() {
    let (remote, server, _) = scene(Some(0)).await;
    for tag in ["a", "b", "c"] {
        assert_told_to_wait(&get(&server.manifest_url("r/app", tag)).await, 60);
    }
    assert_eq!(remote.count(On::manifest().get()), 1);
}
