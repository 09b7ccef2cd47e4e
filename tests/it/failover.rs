//! Remotes with several URLs, and remotes of which nobody answers: who waits for what, and how often.

use std::time::{Duration, Instant};

use crate::{
    fill::{KIB, MIB},
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On, SlowReader, get, random_bytes},
    server::{Setup, TestServer},
};

/// How long a wait for the background may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two registries with the same content, one remote.
struct Scene {
    first: FakeRegistry,
    second: FakeRegistry,
    server: TestServer,
    image: Image,
}

impl Scene {
    async fn new(keys: &str) -> Self {
        let first = FakeRegistry::start().await;
        let image = ImageBuilder::new(1).layer(KIB).build();
        for tag in ["a", "b", "c", "d"] {
            first.put_image("app", tag, &image);
        }
        let second = FakeRegistry::builder().content_of(&first).start().await;
        let urls = format!("{}\", \"{}", first.url(), second.url());
        let server = Setup::empty()
            .remote("r", &urls, keys)
            .project("r", "r", "")
            .start()
            .await;
        Self {
            first,
            second,
            server,
            image,
        }
    }

    async fn pull(&self, tag: &str) {
        let answer = get(&self.server.manifest_url("r/app", tag)).await;
        assert_eq!(answer.status, 200, "{tag}: {:?}", answer.body);
        assert!(answer.body == self.image.root_manifest().bytes);
    }

    async fn until_healthy(&self, remote: &FakeRegistry, healthy: u8) {
        let line = format!(
            "entrepot_remote_healthy{{remote=\"r\",url=\"{}\"}} {healthy}\n",
            remote.url()
        );
        until_told(&self.server, &line).await;
    }
}

/// Waits until a line is among the metrics, which asks no remote.
async fn until_told(server: &TestServer, line: &str) {
    let told = async {
        while !server.metrics().await.contains(line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, told).await;
    in_time.unwrap_or_else(|_| panic!("waited for {line}"));
}

/// Requests of this kind to the remote `r` that had no answer.
async fn unanswered(server: &TestServer, kind: &str, method: &str) -> u64 {
    let line = format!(
        "entrepot_remote_requests_total{{remote=\"r\",kind=\"{kind}\",method=\"{method}\",status=\"0\"}} "
    );
    let metrics = server.metrics().await;
    let found = metrics.lines().find_map(|had| had.strip_prefix(&line));
    found.map_or(0, |count| count.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_url_that_hangs_delays_one_pull_by_two_seconds_and_no_other() {
    let scene = Scene::new("").await;
    scene.first.stop_answering().await;
    let began = Instant::now();
    scene.pull("a").await;
    // Far less than header_timeout.
    assert!(began.elapsed() < Duration::from_secs(8));
    for tag in ["b", "c", "d"] {
        scene.pull(tag).await;
    }
    let blob = scene.image.layers().remove(0);
    assert_eq!(
        get(&scene.server.blob_url("r/app", &blob)).await.status,
        200
    );
    assert_eq!(unanswered(&scene.server, "manifest", "GET").await, 1);
    assert_eq!(unanswered(&scene.server, "blob", "GET").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_url_that_is_dead_is_tried_once_until_it_answers_again() {
    let scene = Scene::new("").await;
    scene.until_healthy(&scene.first, 1).await;
    scene.first.stop().await;
    for tag in ["a", "b", "c"] {
        scene.pull(tag).await;
    }
    scene.until_healthy(&scene.first, 0).await;
    scene.until_healthy(&scene.second, 1).await;
    assert_eq!(unanswered(&scene.server, "manifest", "GET").await, 1);
    assert_eq!(scene.second.count(On::manifest()), 3);

    scene.first.start_again().await;
    scene.until_healthy(&scene.first, 1).await;
    assert_eq!(scene.first.count(On::manifest()), 0);
    scene.pull("d").await;
    assert_eq!(scene.first.count(On::manifest()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_url_that_fails_again_and_again_is_passed_over() {
    let scene = Scene::new("").await;
    scene.first.fault_always(On::any(), Fault::status(503));
    for tag in ["a", "b", "c", "d"] {
        scene.pull(tag).await;
    }
    assert_eq!(scene.first.count(On::manifest()), 3);
    scene.until_healthy(&scene.first, 0).await;
    scene.first.clear_faults();
    scene.until_healthy(&scene.first, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_goes_on_at_its_byte_at_the_next_url_when_the_first_hangs_or_stalls() {
    for stalls in [true, false] {
        let scene = Scene::new("idle_timeout = \"500ms\"").await;
        let bytes = random_bytes(7, MIB);
        let digest = scene.first.put_blob("app", bytes.clone());
        let half = MIB as u64 / 2;
        let hold = scene.first.hold_after(On::blob().get(), half);
        let url = scene.server.blob_url("r/app", &digest);
        let mut reader = SlowReader::open(&url, &[]).await;
        assert!(reader.read(KIB).await == bytes[..KIB]);
        hold.reached(1).await;
        if !stalls {
            scene.first.stop_answering().await;
        }
        assert!(reader.read_to_end().await == bytes[KIB..]);
        let resumed = scene.second.requests_on(&On::blob().get());
        let ranges: Vec<_> = resumed
            .iter()
            .map(|entry| entry.request.header("range"))
            .collect();
        assert_eq!(ranges, [format!("bytes={half}-")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_remote_delays_a_cached_tag_once() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let keys = "answer_timeout = \"700ms\"\nheader_timeout = \"4s\"";
    let server = Setup::empty()
        .remote("r", remote.url(), keys)
        .project("r", "r", "")
        .freshness("tags = \"**\"\nttl = \"0s\"")
        .start()
        .await;
    let url = server.manifest_url("r/app", "latest");
    assert_eq!(get(&url).await.status, 200);
    remote.stop_answering().await;
    let began = Instant::now();
    for _ in 0..20 {
        let answer = get(&url).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
    }
    // Once, or twice if the second comes in the moment before the first is known to wait for long; far less than twenty.
    assert!(began.elapsed() < Duration::from_secs(10));
    let healthy = |healthy: u8| {
        let url = remote.url();
        format!("entrepot_remote_healthy{{remote=\"r\",url=\"{url}\"}} {healthy}\n")
    };
    until_told(&server, &healthy(0)).await;
    assert_eq!(get(&url).await.header("x-cache"), "stale");
    assert_eq!(unanswered(&server, "manifest", "HEAD").await, 1);

    remote.start_again().await;
    until_told(&server, &healthy(1)).await;
    assert_eq!(get(&url).await.header("x-cache"), "hit");
}
