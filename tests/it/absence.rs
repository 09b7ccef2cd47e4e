//! What the remote says is not there, or not for us: an answer, remembered for a while. An outage is neither.

use crate::{
    fill::KIB,
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer, on_both},
};

on_both! {
    what_is_not_there_is_asked_for_once,
    without_a_time_each_request_asks,
    what_was_not_there_is_found_when_its_time_is_over,
    what_is_refused_is_asked_for_once_and_says_so,
    an_outage_is_not_remembered,
    a_deleted_tag_is_gone_and_its_image_stays,
    a_deleted_tag_that_is_kept_is_served_as_stale_and_listed,
    a_list_that_is_gone_is_kept_only_if_the_project_says_so,
    a_refused_tag_is_not_served_while_the_remote_refuses_it_and_its_content_is_kept,
    a_remote_that_is_down_is_no_remote_that_refuses,
    a_tag_that_was_only_asked_for_by_head_is_gone_when_it_is_deleted,
    a_list_is_asked_for_again_when_something_of_it_was_pulled,
}

const IMPATIENT: &str = "answer_timeout = \"300ms\"\nheader_timeout = \"500ms\"";
const LONG: &str = "negative_ttl = \"1h\"";
const NONE: &str = "negative_ttl = \"0s\"";

/// A remote with `app:latest`, and its mirror where every tag is asked about each time.
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
            .remote("r", remote.url(), IMPATIENT)
            .project("r", "r", project_keys)
            .freshness("tags = \"**\"\nmode = \"always\"")
            .start()
            .await;
        Self {
            remote,
            server,
            image,
        }
    }

    async fn pulled(self) -> Self {
        assert_eq!(get(&self.tag()).await.status, 200);
        self.remote.forget_requests();
        self
    }

    fn tag(&self) -> String {
        self.server.manifest_url("r/app", "latest")
    }

    /// What the remote does not have, and the questions that it is asked for each.
    fn nothing(&self) -> [(String, On); 4] {
        let digest = format!("sha256:{}", "0".repeat(64));
        [
            (self.server.manifest_url("r/app", "none"), On::manifest()),
            (self.server.manifest_url("r/app", &digest), On::manifest()),
            (self.server.blob_url("r/app", &digest), On::blob()),
            (
                format!("{}/v2/r/none/tags/list", self.server.url()),
                On::tags(),
            ),
        ]
    }
}

async fn what_is_not_there_is_asked_for_once() {
    let scene = Scene::new(LONG).await;
    for (url, on) in scene.nothing() {
        scene.remote.forget_requests();
        for _ in 0..3 {
            let (got, had) = (get(&url).await, head(&url).await);
            assert_eq!((got.status, had.status), (404, 404), "{url}");
            assert!(got.error_code().ends_with("_UNKNOWN"), "{url}");
        }
        assert_eq!(scene.remote.count(on), 1, "{url}");
    }
}

async fn without_a_time_each_request_asks() {
    let scene = Scene::new(NONE).await;
    for (url, on) in scene.nothing() {
        scene.remote.forget_requests();
        for _ in 0..3 {
            assert_eq!(get(&url).await.status, 404, "{url}");
        }
        assert_eq!(scene.remote.count(on), 3, "{url}");
    }
}

async fn what_was_not_there_is_found_when_its_time_is_over() {
    let scene = Scene::new("negative_ttl = \"100ms\"").await;
    let url = scene.server.manifest_url("r/app", "v2");
    assert_eq!(get(&url).await.status, 404);
    scene.remote.tag("app", "v2", &scene.image.root);
    let found = async { while get(&url).await.status != 200 {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), found)
        .await
        .expect("the tag is found");
}

async fn what_is_refused_is_asked_for_once_and_says_so() {
    let scene = Scene::new(LONG).await;
    scene.remote.fault_always(On::any(), Fault::status(403));
    for _ in 0..3 {
        let answer = get(&scene.tag()).await;
        assert_eq!(answer.status, 404);
        let said = answer.json()["errors"][0]["message"].to_string();
        assert!(said.contains("refuses"), "{said}");
    }
    assert_eq!(scene.remote.count(On::manifest()), 1);
}

async fn an_outage_is_not_remembered() {
    let scene = Scene::new(LONG).await;
    let blob = scene.server.blob_url("r/app", &scene.image.layers()[0]);
    let tags = format!("{}/v2/r/app/tags/list", scene.server.url());
    let urls = [scene.tag(), blob, tags];
    scene.remote.fault_always(On::any(), Fault::status(503));
    for url in &urls {
        assert!(get(url).await.status >= 500, "{url}");
    }
    scene.remote.clear_faults();
    for url in &urls {
        assert_eq!(get(url).await.status, 200, "{url}");
    }
}

async fn a_deleted_tag_is_gone_and_its_image_stays() {
    let scene = Scene::new(LONG).await.pulled().await;
    scene.remote.delete_tag("app", "latest");
    for _ in 0..3 {
        assert_eq!(get(&scene.tag()).await.status, 404);
        assert_eq!(head(&scene.tag()).await.status, 404);
    }
    assert_eq!(scene.remote.count(On::manifest()), 1);
    let image = scene.server.manifest_url("r/app", &scene.image.root);
    assert_eq!(get(&image).await.status, 200);
    scene.remote.stop().await;
    assert_eq!(get(&scene.tag()).await.status, 404);
}

async fn a_deleted_tag_that_is_kept_is_served_as_stale_and_listed() {
    for fault in [None, Some(Fault::status(401)), Some(Fault::status(403))] {
        let keys = format!("{LONG}\nkeep_deleted = true");
        let scene = Scene::new(&keys).await.pulled().await;
        let tags = format!("{}/v2/r/app/tags/list", scene.server.url());
        assert_eq!(get(&tags).await.status, 200);
        scene.remote.delete_tag("app", "latest");
        scene.remote.tag("app", "other", &scene.image.root);
        if let Some(fault) = fault.clone() {
            scene.remote.fault_always(On::manifest(), fault);
        }
        scene.remote.forget_requests();
        for _ in 0..3 {
            for answer in [get(&scene.tag()).await, head(&scene.tag()).await] {
                assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
                assert_eq!(answer.header("docker-content-digest"), scene.image.root);
                assert!(answer.header("warning").starts_with("299 - "));
            }
        }
        assert_eq!(scene.remote.count(On::manifest()), 1, "{fault:?}");
        let listed = get(&tags).await.json()["tags"].clone();
        assert_eq!(listed, serde_json::json!(["latest", "other"]));
    }
}

async fn a_list_that_is_gone_is_kept_only_if_the_project_says_so() {
    for (keys, status) in [("", 404), ("keep_deleted = true", 200)] {
        let scene = Scene::new(keys).await.pulled().await;
        let tags = format!("{}/v2/r/app/tags/list", scene.server.url());
        assert_eq!(get(&tags).await.status, 200);
        scene.remote.remove_repository("app");
        let answer = get(&tags).await;
        assert_eq!(answer.status, status, "{keys}");
        if status == 200 {
            assert_eq!(answer.header("x-cache"), "stale");
        }
    }
}

async fn a_refused_tag_is_not_served_while_the_remote_refuses_it_and_its_content_is_kept() {
    for refusal in [Fault::status(401), Fault::status(403)] {
        let scene = Scene::new(NONE).await.pulled().await;
        scene.remote.fault_always(On::any(), refusal);
        assert_eq!(get(&scene.tag()).await.status, 404);
        assert_eq!(head(&scene.tag()).await.status, 404);
        scene.remote.clear_faults();
        scene.remote.forget_requests();
        let again = get(&scene.tag()).await;
        assert_eq!((again.status, again.header("x-cache")), (200, "hit"));
        assert_eq!(scene.remote.count(On::manifest().get()), 0);
    }
}

async fn a_remote_that_is_down_is_no_remote_that_refuses() {
    let scene = Scene::new(LONG).await.pulled().await;
    scene.remote.fault_always(On::any(), Fault::status(503));
    let answer = get(&scene.tag()).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
    scene.remote.clear_faults();
    scene.remote.fault_always(On::any(), Fault::status(403));
    assert_eq!(get(&scene.tag()).await.status, 404);
}

async fn a_tag_that_was_only_asked_for_by_head_is_gone_when_it_is_deleted() {
    let scene = Scene::new(NONE).await;
    assert_eq!(head(&scene.tag()).await.status, 200);
    scene.remote.delete_tag("app", "latest");
    assert_eq!(get(&scene.tag()).await.status, 404);
    scene.remote.stop().await;
    // Nothing is known of it any more.
    assert!(head(&scene.tag()).await.status >= 500);
}

async fn a_list_is_asked_for_again_when_something_of_it_was_pulled() {
    let scene = Scene::new(LONG).await;
    let tags = format!("{}/v2/r/new/tags/list", scene.server.url());
    assert_eq!(get(&tags).await.status, 404);
    scene.remote.put_image("new", "1", &scene.image);
    assert_eq!(get(&tags).await.status, 404);
    assert_eq!(
        get(&scene.server.manifest_url("r/new", "1")).await.status,
        200
    );
    let listed = get(&tags).await;
    assert_eq!(listed.json()["tags"], serde_json::json!(["1"]));
}
