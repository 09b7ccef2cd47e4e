//! Remotes that answer, but take longer than anybody waits for who has something cached: what they say is heard all the same.

use std::time::Duration;

use crate::{
    fill::KIB,
    harness::{Answer, FakeRegistry, Fault, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer, on_both},
};

on_both! {
    a_tag_that_moved_at_a_slow_remote_is_noticed_behind_stale_answers,
    a_tag_that_moved_at_a_slow_remote_that_tells_no_digest_is_noticed,
    a_tag_that_a_slow_remote_deleted_is_gone,
    a_slow_remote_is_heard_behind_a_lapsing_answer,
    long_lists_of_a_slow_remote_are_noticed,
    who_may_not_be_given_the_old_answer_waits_for_a_slow_remote,
}

const SLOW: Duration = Duration::from_millis(600);
const IMPATIENT: &str = "answer_timeout = \"200ms\"";
const ALWAYS: &str = "mode = \"always\"";

/// A remote with `app:latest` that was pulled, whose answers are slow since.
struct Scene {
    remote: FakeRegistry,
    server: TestServer,
    old: Image,
    new: Image,
}

impl Scene {
    async fn new(rule: &str) -> Self {
        let remote = FakeRegistry::builder().page_size(1).start().await;
        let [old, new] = [1, 2].map(|seed| ImageBuilder::new(seed).layer(KIB).build());
        remote.put_image("app", "latest", &old);
        let server = Setup::empty()
            .remote("r", remote.url(), IMPATIENT)
            .project("r", "r", "negative_ttl = \"0s\"")
            .freshness(&format!("tags = \"**\"\n{rule}"))
            .start()
            .await;
        let scene = Self {
            remote,
            server,
            old,
            new,
        };
        assert_eq!(get(&scene.tag()).await.status, 200);
        for url in scene.lists() {
            assert_eq!(get(&url).await.status, 200);
        }
        scene.remote.fault_always(On::any(), Fault::Delay(SLOW));
        scene
    }

    fn tag(&self) -> String {
        self.server.manifest_url("r/app", "latest")
    }

    /// Of tags and of referrers.
    fn lists(&self) -> [String; 2] {
        let base = format!("{}/v2/r/app", self.server.url());
        [
            format!("{base}/tags/list"),
            format!("{base}/referrers/{}", self.old.root),
        ]
    }

    /// Asks until the tag is the new image; until then it is the old one, of these kinds.
    async fn assert_noticed(&self, kinds: &[&str]) {
        let asking = async {
            loop {
                let answer = get(&self.tag()).await;
                let digest = answer.header("docker-content-digest").to_owned();
                assert_eq!(answer.status, 200);
                if digest == self.new.root {
                    return;
                }
                assert_eq!(digest, self.old.root);
                assert!(kinds.contains(&answer.header("x-cache")), "{answer:?}");
            }
        };
        in_time(asking).await;
    }
}

async fn in_time<T>(asking: impl Future<Output = T>) -> T {
    let asked = tokio::time::timeout(Duration::from_secs(15), asking).await;
    asked.expect("it is noticed within 15 s")
}

async fn until(url: &str, wanted: impl Fn(&Answer) -> bool) {
    in_time(async { while !wanted(&get(url).await) {} }).await;
}

async fn a_tag_that_moved_at_a_slow_remote_is_noticed_behind_stale_answers() {
    let scene = Scene::new(ALWAYS).await;
    scene.remote.put_image("app", "latest", &scene.new);
    scene.assert_noticed(&["stale"]).await;
    let had = head(&scene.tag()).await;
    assert_eq!((had.status, had.header("x-cache")), (200, "stale"));
    assert_eq!(had.header("docker-content-digest"), scene.new.root);
}

async fn a_tag_that_moved_at_a_slow_remote_that_tells_no_digest_is_noticed() {
    let scene = Scene::new(ALWAYS).await;
    scene
        .remote
        .configure(|options| options.digest_header = false);
    scene.remote.put_image("app", "latest", &scene.new);
    scene.assert_noticed(&["stale"]).await;
}

async fn a_tag_that_a_slow_remote_deleted_is_gone() {
    let scene = Scene::new(ALWAYS).await;
    scene.remote.delete_tag("app", "latest");
    assert_eq!(get(&scene.tag()).await.header("x-cache"), "stale");
    until(&scene.tag(), |answer| answer.status == 404).await;
}

async fn a_slow_remote_is_heard_behind_a_lapsing_answer() {
    let scene = Scene::new("ttl = \"0s\"\nstale_while_revalidate = \"1h\"").await;
    scene.remote.put_image("app", "latest", &scene.new);
    scene.assert_noticed(&["hit", "stale"]).await;
}

async fn long_lists_of_a_slow_remote_are_noticed() {
    let scene = Scene::new(ALWAYS).await;
    for tag in ["a", "b", "c", "d"] {
        scene.remote.tag("app", tag, &scene.old.root);
    }
    let artifact = ImageBuilder::artifact(3, "application/vnd.example.sbom", &scene.old).build();
    scene.remote.put_untagged("app", &artifact);
    let [tags, referrers] = scene.lists();
    let old = get(&tags).await;
    assert_eq!((old.status, old.header("x-cache")), (200, "stale"));
    let length = |answer: &Answer, key: &str| answer.json()[key].as_array().map_or(0, Vec::len);
    until(&tags, |answer| length(answer, "tags") == 5).await;
    until(&referrers, |answer| length(answer, "manifests") == 1).await;
}

async fn who_may_not_be_given_the_old_answer_waits_for_a_slow_remote() {
    let scene = Scene::new("mode = \"always\"\nstale_if_error = \"0s\"").await;
    scene.remote.put_image("app", "latest", &scene.new);
    let answer = get(&scene.tag()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("docker-content-digest"), scene.new.root);
    let tags = get(&scene.lists()[0]).await;
    assert_eq!((tags.status, tags.header("x-cache")), (200, "miss"));
}
