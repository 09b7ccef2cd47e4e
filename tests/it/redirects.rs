//! Where remotes lead: content servers, and places that nobody should be led to.

use std::sync::Arc;

use crate::{
    harness::{Authority, FakeRegistry, Fault, Image, ImageBuilder, On, SlowReader, get, head},
    server::{Setup, TestServer},
};

const ACCOUNT: &str = "username = \"robot\"\npassword = \"s3cret\"";
const SIZE: usize = 400_000;

struct Scene {
    remote: FakeRegistry,
    cdn: FakeRegistry,
    image: Image,
    server: TestServer,
}

impl Scene {
    /// A registry with a login and its content server on another host.
    async fn new() -> Self {
        let cdn = FakeRegistry::builder()
            .address([127, 0, 0, 2])
            .start()
            .await;
        let builder = FakeRegistry::builder()
            .redirect_blobs_to(&cdn)
            .bearer_account("robot", "s3cret");
        let remote = builder.start().await;
        let image = ImageBuilder::new(1).layer(SIZE).build();
        remote.put_image("app", "1", &image);
        let keys = format!(
            "{ACCOUNT}\nidle_timeout = \"500ms\"\nheader_timeout = \"3s\"\nretry_for = \"3s\""
        );
        let server = Setup::empty()
            .mirror_with("r.io", &remote, &keys)
            .start()
            .await;
        Self {
            remote,
            cdn,
            image,
            server,
        }
    }

    fn layer(&self) -> String {
        self.image.layers()[0].clone()
    }

    fn url(&self) -> String {
        self.server.blob_url("r.io/app", &self.layer())
    }
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_credentials() {
    let scene = Scene::new().await;
    let answer = get(&scene.url()).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.body, scene.image.blob(&scene.layer()));
    assert_eq!(scene.cdn.count(On::cdn().get()), 1);
    assert_eq!(scene.cdn.count(On::any().with_header("authorization")), 0);
    assert!(scene.remote.count(On::blob().with_header("authorization")) >= 1);
    assert!(
        answer.header("location").is_empty(),
        "clients are never sent elsewhere"
    );
}

#[tokio::test]
async fn credentials_are_dropped_on_another_port_of_the_same_host() {
    let cdn = FakeRegistry::start().await;
    let remote = FakeRegistry::builder()
        .redirect_blobs_to(&cdn)
        .basic("robot", "s3cret")
        .start()
        .await;
    let image = ImageBuilder::new(2).layer(1000).build();
    remote.put_image("app", "1", &image);
    let server = Setup::empty()
        .mirror_with("r.io", &remote, ACCOUNT)
        .start()
        .await;
    let layer = &image.layers()[0];
    assert_eq!(
        get(&server.blob_url("r.io/app", layer)).await.body,
        image.blob(layer)
    );
    assert_eq!(cdn.count(On::any().with_header("authorization")), 0);
}

#[tokio::test]
async fn a_cold_head_follows_the_redirect() {
    let scene = Scene::new().await;
    let answer = head(&scene.url()).await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, SIZE.to_string().as_str())
    );
    assert_eq!(scene.cdn.count(On::cdn().get()), 0);
}

#[tokio::test]
async fn a_resumed_download_keeps_its_range_over_the_redirect() {
    let scene = Scene::new().await;
    scene.cdn.fault(On::cdn().get(), Fault::CutAfter(150_000));
    let answer = get(&scene.url()).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.body, scene.image.blob(&scene.layer()));
    assert_eq!(scene.cdn.count(On::cdn().ranged()), 1);
    assert_eq!(scene.cdn.count(On::cdn().unranged()), 1);
    assert!(
        scene.cdn.bytes_sent(On::cdn()) < SIZE as u64 + 140_000,
        "{}",
        scene.cdn.bytes_sent(On::cdn())
    );
}

#[tokio::test]
async fn a_stalled_content_server_is_left_and_asked_again() {
    let scene = Scene::new().await;
    scene.cdn.fault(On::cdn().get(), Fault::HangAfter(100_000));
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    assert_eq!(reader.read_to_end().await, scene.image.blob(&scene.layer()));
    assert_eq!(scene.cdn.count(On::cdn().ranged()), 1);
}

#[tokio::test]
async fn an_expired_signature_is_asked_for_anew() {
    let scene = Scene::new().await;
    scene.cdn.fault(On::cdn().get(), Fault::CutAfter(150_000));
    scene.cdn.fault(On::cdn().ranged(), Fault::status(403));
    let answer = get(&scene.url()).await;
    assert_eq!(
        (answer.status, answer.complete),
        (200, true),
        "{}",
        scene.remote.count(On::blob())
    );
    assert_eq!(answer.body, scene.image.blob(&scene.layer()));
}

#[tokio::test]
async fn bad_redirects_are_refused_with_a_reason() {
    let scene = Scene::new().await;
    let loops = format!("{}/v2/app/blobs/{}", scene.remote.url(), scene.layer());
    for (target, reason) in [
        (loops.as_str(), "loop"),
        ("http://169.254.169.254/latest/meta-data/", "refused"),
        ("http://[fe80::1]/x", "refused"),
        ("http://robot:pw@127.0.0.1/x", "credentials"),
        ("ftp://127.0.0.1/x", "not http"),
        ("file:///etc/passwd", "not http"),
        ("http://", "no URL"),
    ] {
        scene
            .remote
            .fault_always(On::blob(), Fault::Redirect(target.to_owned()));
        let answer = get(&scene.url()).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (502, "UNAVAILABLE"),
            "{target}"
        );
        let message = answer.json()["errors"][0]["message"].to_string();
        assert!(message.contains(reason), "{target}: {message}");
        scene.remote.clear_faults();
    }
    assert_eq!(get(&scene.url()).await.status, 200);
}

#[tokio::test]
async fn a_chain_of_redirects_has_an_end() {
    let scene = Scene::new().await;
    // Each hop leads to a new place on the content server, for ever.
    for hop in 0..10 {
        let here = format!("/v2/hop/blobs/{hop}");
        let next = format!("{}/v2/hop/blobs/{}", scene.cdn.url(), hop + 1);
        scene.cdn.fault_always(
            On::blob().repository("hop").reference(&hop.to_string()),
            Fault::Redirect(next),
        );
        if hop == 0 {
            let first = format!("{}{here}", scene.cdn.url());
            scene
                .remote
                .fault_always(On::blob(), Fault::Redirect(first));
        }
    }
    let answer = get(&scene.url()).await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.json()["errors"][0]["message"]
            .to_string()
            .contains("more than 5")
    );
    assert!(scene.cdn.requests().len() <= 10);
}

#[tokio::test]
async fn https_never_leads_to_http() {
    let authority = Arc::new(Authority::new());
    let plain = FakeRegistry::start().await;
    let remote = FakeRegistry::builder()
        .tls(&authority)
        .redirect_blobs_to(&plain)
        .start()
        .await;
    let image = ImageBuilder::new(3).layer(1000).build();
    remote.put_image("app", "1", &image);
    let server = Setup::empty()
        .mirror_with("r.io", &remote, "verify_tls = false")
        .start()
        .await;
    let answer = get(&server.blob_url("r.io/app", &image.layers()[0])).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
    assert!(
        answer.json()["errors"][0]["message"]
            .to_string()
            .contains("from https to http")
    );
    assert_eq!(plain.connections(), 0);
}

#[tokio::test]
async fn a_content_server_that_denies_or_has_lost_something_is_an_outage_and_no_404() {
    let scene = Scene::new().await;
    for status in [401, 403, 404] {
        scene.cdn.fault_always(On::cdn(), Fault::status(status));
        let answer = get(&scene.url()).await;
        assert!(
            matches!(answer.status, 502..=504),
            "{status}: {}",
            answer.status
        );
        assert_ne!(head(&scene.url()).await.status, 404);
        assert_eq!(scene.cdn.count(On::any().with_header("authorization")), 0);
        scene.cdn.clear_faults();
    }
}
