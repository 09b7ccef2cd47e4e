//! A remote whose rate limit is nearly, or quite, used up: what is here is served in place of asking.

use crate::{
    fill::KIB,
    harness::{FakeRegistry, ImageBuilder, On, get, head},
    server::{Setup, TestServer},
};

/// A remote with tags of one image that counts GETs of manifests, as Docker Hub does, and its mirror.
async fn scene(pulls: u64, rule: &str) -> (FakeRegistry, TestServer) {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    for tag in ["latest", "v1", "v2", "v3"] {
        remote.put_image("app", tag, &image);
    }
    remote.configure(|options| options.pulls_left = Some(pulls));
    let server = Setup::empty()
        .mirror("r", &remote, "")
        .freshness(&format!("tags = \"**\"\nttl = \"0s\"\n{rule}"))
        .start()
        .await;
    let pulled = get(&server.manifest_url("r/app", "latest")).await;
    assert_eq!(pulled.status, 200);
    remote.forget_requests();
    (remote, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_little_is_left_what_is_here_is_served_and_the_rest_is_pulled() {
    let (remote, server) = scene(3, "").await;
    let latest = server.manifest_url("r/app", "latest");
    for answer in [get(&latest).await, head(&latest).await, get(&latest).await] {
        assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
    }
    assert_eq!(remote.count(On::any()), 0);
    let answer = get(&server.manifest_url("r/app", "v1")).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "miss"));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nothing_is_left_what_is_here_is_served_and_the_rest_is_told_when_to_come_back() {
    let (remote, server) = scene(1, "").await;
    let latest = get(&server.manifest_url("r/app", "latest")).await;
    assert_eq!((latest.status, latest.header("x-cache")), (200, "stale"));
    let other = get(&server.manifest_url("r/app", "v1")).await;
    assert_eq!(
        (other.status, other.error_code().as_str()),
        (503, "UNAVAILABLE")
    );
    let seconds: u64 = other.header("retry-after").parse().expect("a number");
    assert!(seconds > 0);
    assert_eq!(remote.count(On::any()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_behind_an_answer_when_little_is_left() {
    let (remote, server) = scene(3, "stale_while_revalidate = \"1h\"").await;
    for _ in 0..3 {
        let answer = get(&server.manifest_url("r/app", "latest")).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
    }
    assert_eq!(remote.count(On::any()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_given_anything_stale_is_worth_a_question() {
    let (remote, server) = scene(3, "stale_if_error = \"0s\"").await;
    let answer = get(&server.manifest_url("r/app", "latest")).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
    assert_eq!(remote.count(On::manifest().head()), 1);
}
