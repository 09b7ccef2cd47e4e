//! When a tag is asked for again, and what that costs the remote.

use futures_util::future::join_all;

use crate::{
    fill::{KIB, until_connected},
    harness::{Client, FakeRegistry, Fault, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer, on_both},
};

on_both! {
    an_immutable_tag_is_never_asked_for_again,
    a_tag_within_its_ttl_is_served_without_asking,
    an_unchanged_tag_costs_one_head_per_request_and_no_pull,
    a_tag_that_moved_is_pulled_once,
    a_tag_that_moved_back_costs_no_pull,
    concurrent_misses_of_a_tag_are_one_get,
    concurrent_head_misses_of_a_tag_are_one_head,
    concurrent_checks_of_a_tag_share_a_head,
    a_head_miss_costs_one_head_and_says_size_and_type,
    what_containerd_asks_for_costs_one_head_and_one_get,
    a_remote_that_says_no_digest_is_asked_for_the_whole,
    a_remote_whose_heads_say_no_length_is_asked_for_the_whole,
    the_first_rule_that_matches_decides,
    what_a_client_accepts_changes_neither_question_nor_answer,
    lists_are_as_fresh_as_the_first_rule_for_all_tags_says,
    concurrent_misses_of_a_list_are_one_request,
}

/// A remote with `app:latest`, and its mirror under these rules of freshness.
struct Scene {
    remote: FakeRegistry,
    server: TestServer,
    image: Image,
}

impl Scene {
    async fn new(rules: &[&str]) -> Self {
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(1).layer(KIB).build();
        remote.put_image("app", "latest", &image);
        let setup = Setup::empty().mirror("r", &remote, "");
        let setup = rules
            .iter()
            .fold(setup, |setup, rule| setup.freshness(rule));
        Self {
            server: setup.start().await,
            remote,
            image,
        }
    }

    /// One rule for all tags.
    async fn all(mode: &str) -> Self {
        Self::new(&[&format!("tags = \"**\"\n{mode}")]).await
    }

    /// Pulls the tag once, and forgets what that cost.
    async fn pulled(self) -> Self {
        assert_eq!(self.get("latest").await, self.image.root);
        self.remote.forget_requests();
        self
    }

    fn url(&self, reference: &str) -> String {
        self.server.manifest_url("r/app", reference)
    }

    /// Digest of the manifest that a GET gives.
    async fn get(&self, reference: &str) -> String {
        let answer = get(&self.url(reference)).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert_eq!(
            crate::harness::sha256(&answer.body),
            answer.header("docker-content-digest")
        );
        answer.header("docker-content-digest").to_owned()
    }

    async fn head(&self, reference: &str) -> String {
        let answer = head(&self.url(reference)).await;
        assert_eq!(answer.status, 200);
        answer.header("docker-content-digest").to_owned()
    }

    /// Points the tag at another image.
    fn move_tag(&self) -> Image {
        let moved = ImageBuilder::new(2).layer(KIB).build();
        self.remote.put_image("app", "latest", &moved);
        moved
    }

    /// HEADs and GETs of manifests that the remote was asked for.
    fn asked(&self) -> (usize, usize) {
        let manifests = |on: On| self.remote.count(on);
        (
            manifests(On::manifest().head()),
            manifests(On::manifest().get()),
        )
    }
}

async fn an_immutable_tag_is_never_asked_for_again() {
    let scene = Scene::all("mode = \"immutable\"\nttl = \"0s\"")
        .await
        .pulled()
        .await;
    scene.move_tag();
    for _ in 0..3 {
        assert_eq!(scene.get("latest").await, scene.image.root);
        assert_eq!(scene.head("latest").await, scene.image.root);
    }
    assert_eq!(scene.asked(), (0, 0));
}

async fn a_tag_within_its_ttl_is_served_without_asking() {
    let scene = Scene::all("mode = \"ttl\"\nttl = \"1h\"")
        .await
        .pulled()
        .await;
    scene.move_tag();
    assert_eq!(scene.get("latest").await, scene.image.root);
    assert_eq!(scene.head("latest").await, scene.image.root);
    let answer = get(&scene.url("latest")).await;
    assert_eq!(answer.header("x-cache"), "hit");
    assert!(!answer.header("age").is_empty());
    assert_eq!(scene.asked(), (0, 0));
}

async fn an_unchanged_tag_costs_one_head_per_request_and_no_pull() {
    for mode in ["mode = \"always\"", "mode = \"ttl\"\nttl = \"0s\""] {
        let scene = Scene::all(mode).await.pulled().await;
        for asked in 1..=3 {
            let answer = get(&scene.url("latest")).await;
            assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
            assert!(answer.body == scene.image.root_manifest().bytes);
            assert_eq!(scene.asked(), (asked, 0));
        }
        assert_eq!(scene.head("latest").await, scene.image.root);
        assert_eq!(scene.asked(), (4, 0));
    }
}

async fn a_tag_that_moved_is_pulled_once() {
    let scene = Scene::all("mode = \"always\"").await.pulled().await;
    let moved = scene.move_tag();
    let answer = get(&scene.url("latest")).await;
    assert_eq!(answer.header("x-cache"), "miss");
    assert!(answer.body == moved.root_manifest().bytes);
    assert_eq!(scene.get("latest").await, moved.root);
    assert_eq!(scene.asked(), (2, 1));
}

async fn a_tag_that_moved_back_costs_no_pull() {
    let scene = Scene::all("mode = \"always\"").await.pulled().await;
    let moved = scene.move_tag();
    assert_eq!(scene.get("latest").await, moved.root);
    scene.remote.tag("app", "latest", &scene.image.root);
    assert_eq!(scene.get("latest").await, scene.image.root);
    assert_eq!(scene.asked(), (2, 1));
}

async fn concurrent_misses_of_a_tag_are_one_get() {
    let scene = Scene::all("ttl = \"1h\"").await;
    let hold = scene.remote.hold(On::manifest());
    let url = scene.url("latest");
    let gets = tokio::spawn(async move { join_all((0..20).map(|_| get(&url))).await });
    hold.reached(1).await;
    until_connected(&scene.server, 20).await;
    hold.release();
    let answers = gets.await.expect("all are answered");
    assert!(
        answers
            .iter()
            .all(|answer| answer.body == scene.image.root_manifest().bytes)
    );
    assert_eq!(scene.asked(), (0, 1));
}

async fn concurrent_head_misses_of_a_tag_are_one_head() {
    let scene = Scene::all("ttl = \"1h\"").await;
    let hold = scene.remote.hold(On::manifest());
    let url = scene.url("latest");
    let heads = tokio::spawn(async move { join_all((0..20).map(|_| head(&url))).await });
    hold.reached(1).await;
    until_connected(&scene.server, 20).await;
    hold.release();
    let answers = heads.await.expect("all are answered");
    for answer in &answers {
        assert_eq!(answer.header("docker-content-digest"), scene.image.root);
    }
    assert_eq!(scene.asked(), (1, 0));
}

async fn concurrent_checks_of_a_tag_share_a_head() {
    let scene = Scene::all("mode = \"always\"").await.pulled().await;
    let hold = scene.remote.hold(On::manifest());
    let url = scene.url("latest");
    let gets = tokio::spawn(async move { join_all((0..20).map(|_| get(&url))).await });
    hold.reached(1).await;
    until_connected(&scene.server, 20).await;
    hold.release();
    let answers = gets.await.expect("all are answered");
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(scene.remote.peak(On::manifest()), 1);
    assert_eq!(scene.asked().1, 0);
}

async fn a_head_miss_costs_one_head_and_says_size_and_type() {
    let scene = Scene::all("ttl = \"1h\"").await;
    for _ in 0..2 {
        let answer = head(&scene.url("latest")).await;
        let manifest = scene.image.root_manifest();
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-length"),
            manifest.bytes.len().to_string()
        );
        assert_eq!(answer.header("content-type"), manifest.media_type);
        assert_eq!(answer.header("docker-content-digest"), manifest.digest);
    }
    assert_eq!(scene.asked(), (1, 0));
}

async fn what_containerd_asks_for_costs_one_head_and_one_get() {
    let scene = Scene::all("ttl = \"0s\"").await;
    let digest = scene.head("latest").await;
    assert_eq!(scene.get(&digest).await, scene.image.root);
    assert_eq!(scene.asked(), (1, 1));
    scene.remote.stop().await;
    assert_eq!(scene.get("latest").await, scene.image.root);
    assert_eq!(scene.head("latest").await, scene.image.root);
}

async fn a_remote_that_says_no_digest_is_asked_for_the_whole() {
    let scene = Scene::all("mode = \"always\"").await;
    scene
        .remote
        .configure(|options| options.digest_header = false);
    assert_eq!(scene.head("latest").await, scene.image.root);
    assert_eq!(scene.get("latest").await, scene.image.root);
    let moved = scene.move_tag();
    assert_eq!(scene.get("latest").await, moved.root);
    assert_eq!(scene.head("latest").await, moved.root);
}

async fn a_remote_whose_heads_say_no_length_is_asked_for_the_whole() {
    let scene = Scene::all("mode = \"always\"").await;
    scene
        .remote
        .fault_always(On::manifest().head(), Fault::NoLength);
    let answer = head(&scene.url("latest")).await;
    let length = scene.image.root_manifest().bytes.len();
    assert_eq!(answer.header("content-length"), length.to_string());
    assert_eq!(scene.get("latest").await, scene.image.root);
}

async fn the_first_rule_that_matches_decides() {
    let scene = Scene::new(&[
        "tags = \"v*\"\nmode = \"immutable\"",
        "tags = \"/^v1$/\"\nmode = \"always\"",
        "tags = \"nightly-*\"\nttl = \"1h\"",
        "tags = \"**\"\nmode = \"always\"",
    ])
    .await;
    for (tag, heads) in [("v1", 0), ("nightly-7", 0), ("latest", 1), ("1.0", 1)] {
        scene.remote.tag("app", tag, &scene.image.root);
        scene.get(tag).await;
        scene.remote.forget_requests();
        scene.get(tag).await;
        assert_eq!(scene.asked(), (heads, 0), "{tag}");
    }
}

async fn what_a_client_accepts_changes_neither_question_nor_answer() {
    let scene = Scene::all("mode = \"always\"").await;
    let accept = [(
        "accept",
        "application/vnd.docker.distribution.manifest.v1+json",
    )];
    for accepted in [&accept[..], &[]] {
        let answer = Client::new()
            .send(http::Method::GET, &scene.url("latest"), accepted)
            .await;
        assert!(answer.body == scene.image.root_manifest().bytes);
    }
    let requests = scene.remote.requests_on(&On::manifest());
    let asked: Vec<_> = requests
        .iter()
        .map(|entry| entry.request.header("accept"))
        .collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
    assert!(asked[0].contains("application/vnd.oci.image.index.v1+json"));
}

async fn lists_are_as_fresh_as_the_first_rule_for_all_tags_says() {
    let named = "tags = \"v*\"\nmode = \"always\"";
    for (rule, expected) in [
        ("tags = \"**\"\nmode = \"always\"", 3),
        ("tags = \"**\"\nttl = \"0s\"", 3),
        ("tags = \"*\"\nttl = \"1h\"", 1),
    ] {
        let scene = Scene::new(&[named, rule]).await;
        let root = &scene.image.root;
        for path in ["tags/list".to_owned(), format!("referrers/{root}")] {
            for _ in 0..3 {
                let url = format!("{}/v2/r/app/{path}", scene.server.url());
                assert_eq!(get(&url).await.status, 200);
            }
        }
        let asked = [On::tags(), On::referrers()].map(|on| scene.remote.count(on));
        assert_eq!(asked, [expected; 2], "{rule}");
    }
}

async fn concurrent_misses_of_a_list_are_one_request() {
    let scene = Scene::all("ttl = \"1h\"").await;
    let hold = scene.remote.hold(On::tags());
    let url = format!("{}/v2/r/app/tags/list", scene.server.url());
    let lists = tokio::spawn(async move { join_all((0..20).map(|_| get(&url))).await });
    hold.reached(1).await;
    until_connected(&scene.server, 20).await;
    hold.release();
    let answers = lists.await.expect("all are answered");
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(scene.remote.count(On::tags()), 1);
}
