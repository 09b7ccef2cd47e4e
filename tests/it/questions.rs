//! How many questions remotes are asked at once, and small questions that cost them nothing.

use futures_util::future::join_all;

use crate::{
    fill::{KIB, until_hit},
    harness::{Client, FakeRegistry, ImageBuilder, On, get},
    server::Setup,
};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_pulls_of_a_warm_tag_within_its_ttl_ask_nothing() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let server = Setup::empty()
        .mirror("r", &remote, "")
        .freshness("tags = \"**\"\nttl = \"1h\"")
        .start()
        .await;
    let urls = [
        server.manifest_url("r/app", "latest"),
        server.manifest_url("r/app", &image.root),
        server.blob_url("r/app", &image.config()),
        server.blob_url("r/app", &image.layers()[0]),
    ];
    assert_eq!(get(&urls[0]).await.status, 200);
    until_hit(&urls[2]).await;
    until_hit(&urls[3]).await;
    remote.forget_requests();
    for _ in 0..50 {
        for answer in join_all(urls.iter().map(|url| get(url))).await {
            assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
        }
    }
    assert_eq!(remote.count(On::any()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_bounded_and_who_finds_no_place_is_told_when_to_come_back() {
    let remote = FakeRegistry::start().await;
    let server = Setup::empty().mirror("r", &remote, "").start().await;
    let hold = remote.hold(On::manifest());
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for tag in 0..300 {
        let (url, sender) = (
            server.manifest_url("r/app", &format!("v{tag}")),
            sender.clone(),
        );
        tokio::spawn(async move { sender.send(get(&url).await) });
    }
    hold.reached(256).await;
    // All others are held.
    for _ in 0..44 {
        let answer = answers.recv().await.expect("an answer");
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    }
    hold.release();
    for _ in 0..256 {
        assert_eq!(answers.recv().await.expect("an answer").status, 404);
    }
    assert_eq!(remote.peak(On::manifest()), 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_blob_hears_so_by_head_too() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let server = Setup::empty().mirror("r", &remote, "").start().await;
    let url = server.blob_url("r/app", &image.layers()[0]);
    let etag = format!("\"{}\"", image.layers()[0]);
    for (sent, status) in [(etag.as_str(), 304), ("\"other\"", 200)] {
        for method in [http::Method::HEAD, http::Method::GET] {
            let answer = Client::new()
                .send(method, &url, &[("if-none-match", sent)])
                .await;
            assert_eq!((answer.status, answer.header("etag")), (status, &*etag));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_a_project_claims_means_that_project_also_by_that_name_itself() {
    let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let [of_hub, of_quay] = [1, 2].map(|seed| ImageBuilder::new(seed).layer(KIB).build());
    hub.put_image("team/app", "1", &of_hub);
    quay.put_image("team/app", "1", &of_quay);
    let server = Setup::hub(&hub).mirror("quay.io", &quay, "").start().await;
    let url = format!("{}/v2/team/app/manifests/1", server.url());
    for (host, ns, image) in [
        ("quay.io", "?ns=quay.io", &of_quay),
        ("mirror.example", "?ns=quay.io", &of_quay),
        ("mirror.example", "?ns=mirror.example", &of_hub),
        ("mirror.example", "", &of_hub),
    ] {
        let answer = Client::new()
            .send(http::Method::GET, &format!("{url}{ns}"), &[("host", host)])
            .await;
        assert_eq!(
            answer.header("docker-content-digest"),
            image.root,
            "{host} {ns}"
        );
    }
}
