//! Answers that are given at once while the remote is asked behind them.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    fill::KIB,
    harness::{Answer, FakeRegistry, Fault, Hold, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer},
};

/// So long that who waits for it fails the test.
const PATIENT: &str = "answer_timeout = \"60s\"\nheader_timeout = \"60s\"";

/// A remote with `app:latest` that was pulled, behind a mirror where no answer is fresh and all may be given.
struct Scene {
    remote: FakeRegistry,
    server: TestServer,
    image: Image,
}

impl Scene {
    async fn new(project_keys: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(1).layer(KIB).build();
        remote.put_image("app", "latest", &image);
        let server = Setup::empty()
            .remote("r", remote.url(), PATIENT)
            .project("r", "r", project_keys)
            .freshness("tags = \"**\"\nttl = \"0s\"\nstale_while_revalidate = \"1h\"")
            .start()
            .await;
        let scene = Self {
            remote,
            server,
            image,
        };
        assert_eq!(get(&scene.tag()).await.status, 200);
        assert_eq!(get(&scene.tags()).await.status, 200);
        scene.remote.forget_requests();
        scene
    }

    fn tag(&self) -> String {
        self.server.manifest_url("r/app", "latest")
    }

    fn tags(&self) -> String {
        format!("{}/v2/r/app/tags/list", self.server.url())
    }

    fn assert_is_hit(&self, answer: &Answer) {
        assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
        assert_eq!(answer.header("docker-content-digest"), self.image.root);
        assert!(!answer.header("age").is_empty());
    }
}

/// Asks until the answer is as wanted.
async fn until(url: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let asking = async {
        loop {
            let answer = get(url).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking)
        .await
        .expect("the answer comes within 10 s")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_remote_keeps_nobody_waiting_and_is_asked_once() {
    let scene = Scene::new("").await;
    let hold = scene.remote.hold(On::any());
    scene.assert_is_hit(&get(&scene.tag()).await);
    scene.assert_is_hit(&head(&scene.tag()).await);
    hold.reached(1).await;
    let url = scene.tag();
    for answer in join_all((0..20).map(|_| get(&url))).await {
        scene.assert_is_hit(&answer);
    }
    let tags = get(&scene.tags()).await;
    assert_eq!((tags.status, tags.header("x-cache")), (200, "hit"));
    hold.reached(2).await;
    get(&scene.tags()).await;
    let asked = [On::manifest(), On::tags()].map(|on| scene.remote.count(on));
    assert_eq!(asked, [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_brought_behind_the_old_answer() {
    let scene = Scene::new("").await;
    let moved = ImageBuilder::new(2).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    scene.assert_is_hit(&get(&scene.tag()).await);
    scene.remote.wait_for_ends(On::manifest().get(), 1).await;
    until(&scene.tag(), |answer| {
        answer.header("docker-content-digest") == moved.root
    })
    .await;
    assert_eq!(scene.remote.count(On::manifest().get()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changed_is_brought_behind_the_old_answer() {
    let scene = Scene::new("").await;
    scene.remote.tag("app", "new", &scene.image.root);
    let old = get(&scene.tags()).await;
    assert_eq!(old.json()["tags"], serde_json::json!(["latest"]));
    let both = serde_json::json!(["latest", "new"]);
    until(&scene.tags(), |answer| answer.json()["tags"] == both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_gone_is_found_out_behind_the_last_answer() {
    let scene = Scene::new("negative_ttl = \"1h\"").await;
    scene.remote.delete_tag("app", "latest");
    scene.assert_is_hit(&get(&scene.tag()).await);
    until(&scene.tag(), |answer| answer.status == 404).await;
    let scene = Scene::new("negative_ttl = \"1h\"\nkeep_deleted = true").await;
    scene.remote.delete_tag("app", "latest");
    let kept = until(&scene.tag(), |answer| answer.header("x-cache") == "stale").await;
    assert_eq!(kept.status, 200);
    assert_eq!(scene.remote.count(On::manifest()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_found_out_behind_the_last_answer() {
    let scene = Scene::new("negative_ttl = \"1h\"").await;
    scene
        .remote
        .fault_always(On::manifest(), Fault::status(403));
    scene.assert_is_hit(&get(&scene.tag()).await);
    until(&scene.tag(), |answer| answer.status == 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_down_is_asked_again_behind_each_answer() {
    let scene = Scene::new("").await;
    scene
        .remote
        .fault_always(On::manifest(), Fault::status(503));
    for _ in 0..3 {
        scene.assert_is_hit(&get(&scene.tag()).await);
    }
    scene.remote.clear_faults();
    let moved = ImageBuilder::new(2).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    until(&scene.tag(), |answer| {
        answer.header("docker-content-digest") == moved.root
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_time_the_remote_is_asked_first() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let server = Setup::empty()
        .mirror("r", &remote, "")
        .freshness("tags = \"**\"\nttl = \"0s\"\nstale_while_revalidate = \"1ms\"")
        .start()
        .await;
    let url = server.manifest_url("r/app", "latest");
    assert_eq!(get(&url).await.status, 200);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let moved = ImageBuilder::new(2).layer(KIB).build();
    remote.put_image("app", "latest", &moved);
    let answer = get(&url).await;
    assert_eq!(answer.header("docker-content-digest"), moved.root);
}

/// A tag that was pulled and has moved, and whose new manifest the remote does not give.
async fn moved(rule: &str) -> (FakeRegistry, TestServer, [Image; 2], Hold) {
    let remote = FakeRegistry::start().await;
    let images = [1, 2].map(|seed| ImageBuilder::new(seed).layer(KIB).build());
    remote.put_image("app", "latest", &images[0]);
    let keys = "answer_timeout = \"300ms\"\nheader_timeout = \"60s\"";
    let server = Setup::empty()
        .remote("r", remote.url(), keys)
        .project("r", "r", "")
        .freshness(&format!("tags = \"**\"\nttl = \"0s\"\n{rule}"))
        .start()
        .await;
    let url = server.manifest_url("r/app", "latest");
    assert_eq!(get(&url).await.status, 200);
    remote.put_image("app", "latest", &images[1]);
    remote.forget_requests();
    let hold = remote.hold(On::manifest().get());
    (remote, server, images, hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_manifest_that_is_slow_to_come_is_fetched_behind_the_old_one() {
    let (remote, server, [old, new], hold) = moved("").await;
    let url = server.manifest_url("r/app", "latest");
    for _ in 0..2 {
        let answer = get(&url).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
        assert_eq!(answer.header("docker-content-digest"), old.root);
    }
    hold.release();
    until(&url, |answer| {
        answer.header("docker-content-digest") == new.root
    })
    .await;
    assert_eq!(remote.count(On::manifest().get()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_given_the_old_manifest_waits_for_the_new_one() {
    let (_remote, server, [_, new], hold) = moved("stale_if_error = \"0s\"").await;
    let url = server.manifest_url("r/app", "latest");
    let asking = tokio::spawn(async move { get(&url).await });
    hold.reached(1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    hold.release();
    let answer = asking.await.expect("no panic");
    assert_eq!(answer.header("docker-content-digest"), new.root);
}
