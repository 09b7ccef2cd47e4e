//! The remote is down: what was pulled still pulls and says that it is stale; what was not is never a 404.

use std::time::{Duration, Instant};

use crate::{
    fill::{KIB, until_hit},
    harness::{Answer, FakeRegistry, Fault, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer, on_both},
};

on_both! {
    a_remote_that_refuses_connections_is_outlived,
    a_remote_that_never_answers_is_outlived,
    a_remote_that_is_unavailable_is_outlived,
    a_remote_that_limits_us_is_outlived_and_its_429_goes_no_further,
    a_remote_that_talks_nonsense_is_outlived,
    two_failures_and_a_success_are_a_success,
    a_refusal_after_a_token_is_a_404_that_says_so,
    a_404_of_the_remote_is_a_404,
    a_tag_that_the_remote_deleted_is_gone,
    a_tag_that_the_remote_deleted_is_kept_if_the_project_says_so,
    a_tag_that_moved_to_what_cannot_be_had_still_pulls,
    a_head_that_told_of_a_move_does_not_lose_what_was_pulled,
    a_stale_answer_is_not_given_for_longer_than_its_rule_says,
    an_offline_server_serves_what_it_has_and_never_dials,
    a_server_starts_and_serves_while_its_remote_is_down,
}

const IMPATIENT: &str = "answer_timeout = \"300ms\"\nheader_timeout = \"500ms\"";

/// An index with two images and a referrer, and a mirror that always asks.
struct Scene {
    remote: FakeRegistry,
    server: TestServer,
    image: Image,
}

impl Scene {
    async fn new(project: &str) -> Self {
        Self::of(IMPATIENT, project).await
    }

    /// With these keys of the remote and of the project.
    async fn of(remote_keys: &str, project_keys: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let platforms = ["linux/amd64", "linux/arm64"];
        let image = ImageBuilder::new(1)
            .layer(16 * KIB)
            .platforms(&platforms)
            .build();
        remote.put_image("app", "latest", &image);
        let artifact = ImageBuilder::artifact(2, "application/vnd.example.sbom", &image).build();
        remote.put_untagged("app", &artifact);
        remote.put_image("other", "latest", &ImageBuilder::new(3).layer(KIB).build());
        let setup = Setup::empty()
            .remote("r", remote.url(), remote_keys)
            .project("r", "r", project_keys);
        let server = setup.freshness("tags = \"**\"\nttl = \"0s\"").start().await;
        Self {
            remote,
            server,
            image,
        }
    }

    /// All that there is of `app` has been pulled.
    async fn pulled(self) -> Self {
        let urls = [
            vec![self.tag(), self.tags(), self.referrers()],
            self.children(),
        ]
        .concat();
        for url in urls {
            assert_eq!(get(&url).await.status, 200, "{url}");
        }
        for url in self.blobs() {
            until_hit(&url).await;
        }
        self
    }

    fn tag(&self) -> String {
        self.server.manifest_url("r/app", "latest")
    }

    fn tags(&self) -> String {
        format!("{}/v2/r/app/tags/list", self.server.url())
    }

    fn referrers(&self) -> String {
        format!(
            "{}/v2/r/app/referrers/{}",
            self.server.url(),
            self.image.root
        )
    }

    fn children(&self) -> Vec<String> {
        let children = self.image.children();
        children
            .iter()
            .map(|digest| self.server.manifest_url("r/app", digest))
            .collect()
    }

    fn blobs(&self) -> Vec<String> {
        self.image
            .blobs
            .keys()
            .map(|digest| self.server.blob_url("r/app", digest))
            .collect()
    }

    /// What was pulled still pulls, marked as stale where the remote had to be asked.
    async fn assert_still_pulls(&self) {
        let tag = get(&self.tag()).await;
        assert!(tag.body == self.image.root_manifest().bytes);
        for answer in [tag, head(&self.tag()).await] {
            assert_stale(&answer);
            assert_eq!(answer.header("docker-content-digest"), self.image.root);
            assert!(answer.header("age").parse::<u64>().is_ok());
        }
        let tags = get(&self.tags()).await;
        assert_stale(&tags);
        assert_eq!(tags.json()["tags"], serde_json::json!(["latest"]));
        let referrers = get(&self.referrers()).await;
        assert_stale(&referrers);
        assert_eq!(
            referrers.json()["manifests"].as_array().map(Vec::len),
            Some(1)
        );
        for url in [self.children(), self.blobs()].concat() {
            let answer = get(&url).await;
            assert_eq!(
                (answer.status, answer.header("x-cache")),
                (200, "hit"),
                "{url}"
            );
        }
    }

    /// What was never pulled is unavailable, soon, and never "not there".
    async fn assert_the_rest_is_unavailable(&self) {
        let nothing = format!("sha256:{}", "0".repeat(64));
        let urls = [
            self.server.manifest_url("r/other", "latest"),
            self.server.manifest_url("r/app", "v2"),
            self.server.manifest_url("r/app", &nothing),
            self.server.blob_url("r/app", &nothing),
            format!("{}/v2/r/other/tags/list", self.server.url()),
            format!("{}/v2/r/other/referrers/{nothing}", self.server.url()),
        ];
        for url in urls {
            let begun = Instant::now();
            let answer = get(&url).await;
            assert_eq!(answer.error_code(), "UNAVAILABLE");
            // Which of them depends on whether the last try ends before the time does.
            for status in [answer.status, head(&url).await.status] {
                assert!((502..=504).contains(&status), "{status} {url}");
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "{url}");
        }
    }

    async fn assert_outlived(&self) {
        self.assert_still_pulls().await;
        self.assert_the_rest_is_unavailable().await;
    }
}

fn assert_stale(answer: &Answer) {
    assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
    assert!(answer.header("warning").starts_with("299 - "));
}

async fn a_remote_that_refuses_connections_is_outlived() {
    let scene = Scene::new("").await.pulled().await;
    scene.remote.stop().await;
    scene.assert_outlived().await;
}

async fn a_remote_that_never_answers_is_outlived() {
    let scene = Scene::new("").await.pulled().await;
    scene.remote.stop_answering().await;
    scene.assert_outlived().await;
}

async fn a_remote_that_is_unavailable_is_outlived() {
    let scene = Scene::new("").await.pulled().await;
    scene.remote.fault_always(On::any(), Fault::status(503));
    scene.assert_outlived().await;
}

async fn a_remote_that_limits_us_is_outlived_and_its_429_goes_no_further() {
    let scene = Scene::new("").await.pulled().await;
    scene.remote.fault_always(On::any(), Fault::too_many("7"));
    scene.assert_outlived().await;
    let answer = get(&scene.server.manifest_url("r/other", "latest")).await;
    assert_eq!(answer.status, 503);
    let seconds: u64 = answer.header("retry-after").parse().expect("a number");
    assert!((1..=7).contains(&seconds), "{seconds}");
}

async fn a_remote_that_talks_nonsense_is_outlived() {
    for fault in [
        Fault::GarbageHttp,
        Fault::CutInHeaders,
        Fault::DropBeforeAnswer,
    ] {
        let scene = Scene::new("").await.pulled().await;
        scene.remote.fault_always(On::any(), fault);
        scene.assert_outlived().await;
    }
}

async fn two_failures_and_a_success_are_a_success() {
    let scene = Scene::of("", "").await;
    scene
        .remote
        .fault_times(On::manifest(), 2, Fault::status(503));
    let answer = get(&scene.tag()).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "miss"));
    let url = scene.blobs().remove(0);
    scene.remote.fault_times(On::blob(), 2, Fault::status(503));
    assert_eq!(get(&url).await.status, 200);
    assert_eq!(scene.remote.faults_left(), 0);
}

async fn a_refusal_after_a_token_is_a_404_that_says_so() {
    let remote = FakeRegistry::builder().like_docker_hub().start().await;
    remote.put_image("library/app", "latest", &ImageBuilder::new(1).build());
    let server = Setup::hub(&remote).start().await;
    assert_eq!(
        get(&server.manifest_url("docker.io/app", "latest"))
            .await
            .status,
        200
    );
    for repository in ["docker.io/typo", "docker.io/library/app"] {
        remote.fault_times(
            On::manifest().repository("library/app"),
            2,
            Fault::status(403),
        );
        let answer = get(&server.manifest_url(repository, "v2")).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "MANIFEST_UNKNOWN")
        );
        let said = answer.json()["errors"][0]["message"].to_string();
        assert!(said.contains("refuses"), "{said}");
    }
}

async fn a_404_of_the_remote_is_a_404() {
    let scene = Scene::new("").await;
    let nothing = format!("sha256:{}", "0".repeat(64));
    for (url, code) in [
        (scene.server.manifest_url("r/app", "v2"), "MANIFEST_UNKNOWN"),
        (
            scene.server.manifest_url("r/app", &nothing),
            "MANIFEST_UNKNOWN",
        ),
        (scene.server.blob_url("r/app", &nothing), "BLOB_UNKNOWN"),
        (
            format!("{}/v2/r/nowhere/tags/list", scene.server.url()),
            "NAME_UNKNOWN",
        ),
    ] {
        let answer = get(&url).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, code),
            "{url}"
        );
        assert!(!answer.body.windows(7).any(|seven| seven == b"refuses"));
    }
}

async fn a_tag_that_the_remote_deleted_is_gone() {
    let scene = Scene::new("").await.pulled().await;
    scene.remote.delete_tag("app", "latest");
    assert_eq!(get(&scene.tag()).await.status, 404);
    assert_eq!(head(&scene.tag()).await.status, 404);
    let by_digest = scene.server.manifest_url("r/app", &scene.image.root);
    assert_eq!(get(&by_digest).await.status, 200);
}

async fn a_tag_that_the_remote_deleted_is_kept_if_the_project_says_so() {
    let scene = Scene::new("keep_deleted = true").await.pulled().await;
    scene.remote.delete_tag("app", "latest");
    for answer in [get(&scene.tag()).await, head(&scene.tag()).await] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("docker-content-digest"), scene.image.root);
    }
}

async fn a_tag_that_moved_to_what_cannot_be_had_still_pulls() {
    let scene = Scene::new("").await.pulled().await;
    let moved = ImageBuilder::new(9).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    scene
        .remote
        .fault_always(On::manifest().get(), Fault::status(503));
    let answer = get(&scene.tag()).await;
    assert_stale(&answer);
    assert!(answer.body == scene.image.root_manifest().bytes);
    scene.remote.stop().await;
    let answer = get(&scene.tag()).await;
    assert_stale(&answer);
    assert_eq!(answer.header("docker-content-digest"), scene.image.root);
    scene.remote.clear_faults();
    scene.remote.start_again().await;
    // That it answers again is noticed in the background.
    let url = scene.tag();
    let noticed = async { while get(&url).await.body != moved.root_manifest().bytes {} };
    let in_time = tokio::time::timeout(Duration::from_secs(20), noticed).await;
    in_time.expect("the new manifest comes");
}

async fn a_head_that_told_of_a_move_does_not_lose_what_was_pulled() {
    let scene = Scene::new("").await.pulled().await;
    scene
        .remote
        .put_image("app", "latest", &ImageBuilder::new(9).layer(KIB).build());
    assert_eq!(head(&scene.tag()).await.status, 200);
    scene.remote.stop().await;
    let answer = get(&scene.tag()).await;
    assert_stale(&answer);
    assert!(answer.body == scene.image.root_manifest().bytes);
}

async fn a_stale_answer_is_not_given_for_longer_than_its_rule_says() {
    let remote = FakeRegistry::start().await;
    remote.put_image("app", "latest", &ImageBuilder::new(1).build());
    let setup = Setup::empty()
        .remote("r", remote.url(), IMPATIENT)
        .project("r", "r", "");
    let rule = "tags = \"**\"\nttl = \"0s\"\nstale_if_error = \"0s\"";
    let server = setup.freshness(rule).start().await;
    let url = server.manifest_url("r/app", "latest");
    assert_eq!(get(&url).await.status, 200);
    remote.stop().await;
    assert_eq!(get(&url).await.status, 503);
}

async fn an_offline_server_serves_what_it_has_and_never_dials() {
    for offline in ["[mirror]\noffline = true", ""] {
        let mut scene = Scene::new("").await.pulled().await;
        scene.server.stop().await;
        let key = if offline.is_empty() {
            "offline = true"
        } else {
            ""
        };
        let setup = Setup::empty()
            .section(offline)
            .remote("r", scene.remote.url(), "");
        let setup = setup
            .project("r", "r", key)
            .freshness("tags = \"**\"\nttl = \"0s\"");
        let file = scene.server.folder.path().join("entrepot.toml");
        std::fs::write(file, setup.text()).expect("a file");
        let connections = scene.remote.connections();
        scene.server.start_again().await;
        scene.assert_outlived().await;
        assert_eq!(scene.remote.connections(), connections);
    }
}

async fn a_server_starts_and_serves_while_its_remote_is_down() {
    let mut scene = Scene::new("").await.pulled().await;
    scene.server.stop().await;
    scene.remote.stop().await;
    scene.server.start_again().await;
    assert_eq!(
        get(&format!("{}/readyz", scene.server.url())).await.status,
        200
    );
    assert_eq!(
        get(&format!("{}/v2/", scene.server.url())).await.status,
        200
    );
    scene.assert_outlived().await;
}
