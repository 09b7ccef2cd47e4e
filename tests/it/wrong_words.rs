//! Remotes whose headers, or whose HEADs, say what is not so: what was verified counts, and what is there is not called
//! missing.

use crate::{
    fill::KIB,
    harness::{Answer, FakeRegistry, Fault, Image, ImageBuilder, On, get, head, media_type},
    server::{Setup, TestServer, on_both},
};

on_both! {
    a_manifest_that_has_its_digest_is_right_whatever_is_announced,
    a_wrong_word_of_a_head_does_not_stay_with_what_is_here,
    a_wrong_word_of_a_get_does_not_stay_with_a_manifest,
    a_tag_whose_told_manifest_is_not_there_is_asked_for_itself,
    a_tag_whose_told_manifest_is_not_there_is_served_stale_in_an_outage,
    a_tag_that_is_gone_after_all_is_gone,
    a_tag_that_was_only_asked_for_by_head_is_found_although_that_lied,
}

/// A remote with `app:latest`, and its mirror.
struct Scene {
    remote: FakeRegistry,
    server: TestServer,
    image: Image,
}

impl Scene {
    async fn new(rule: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(1).layer(KIB).build();
        remote.put_image("app", "latest", &image);
        let server = Setup::empty()
            .mirror("r", &remote, "")
            .freshness(&format!("tags = \"**\"\n{rule}"))
            .start()
            .await;
        Self {
            remote,
            server,
            image,
        }
    }

    async fn pulled(self) -> Self {
        self.assert_right(&get(&self.tag()).await, "miss");
        self.remote.forget_requests();
        self
    }

    fn tag(&self) -> String {
        self.server.manifest_url("r/app", "latest")
    }

    fn assert_right(&self, answer: &Answer, outcome: &str) {
        let manifest = self.image.root_manifest();
        assert_eq!((answer.status, answer.header("x-cache")), (200, outcome));
        assert_eq!(answer.header("docker-content-digest"), manifest.digest);
        assert_eq!(answer.header("content-type"), manifest.media_type);
        let length = manifest.bytes.len().to_string();
        assert_eq!(answer.header("content-length"), length);
    }

    /// HEADs tell of a manifest that nobody has.
    fn lie(&self) {
        let heads = On::manifest().head();
        self.remote.fault_always(heads, Fault::WrongDigestHeader);
    }

    /// GETs of the manifest under its tag.
    fn by_tag() -> On {
        On::manifest().get().reference("latest")
    }
}

async fn a_manifest_that_has_its_digest_is_right_whatever_is_announced() {
    let scene = Scene::new("mode = \"always\"").await;
    let manifests = On::manifest();
    scene
        .remote
        .fault_always(manifests, Fault::WrongDigestHeader);
    let url = scene.server.manifest_url("r/app", &scene.image.root);
    scene.assert_right(&get(&url).await, "miss");
}

async fn a_wrong_word_of_a_head_does_not_stay_with_what_is_here() {
    for fault in [
        Fault::WrongContentLength(7),
        Fault::WrongMediaType("application/vnd.wrong+json"),
        Fault::WrongMediaType(media_type::OCI_INDEX),
    ] {
        let scene = Scene::new("mode = \"always\"").await.pulled().await;
        let heads = On::manifest().head();
        scene.remote.fault_always(heads.clone(), fault);
        for _ in 0..2 {
            scene.assert_right(&head(&scene.tag()).await, "hit");
            scene.assert_right(&get(&scene.tag()).await, "hit");
        }
        assert_eq!(scene.remote.count(heads), 4);
        scene.remote.stop().await;
        scene.assert_right(&head(&scene.tag()).await, "stale");
    }
}

async fn a_wrong_word_of_a_get_does_not_stay_with_a_manifest() {
    let scene = Scene::new("mode = \"immutable\"").await;
    let wrong = Fault::WrongMediaType("image/png");
    scene.remote.fault(On::manifest().get(), wrong);
    scene.assert_right(&get(&scene.tag()).await, "miss");
    scene.assert_right(&get(&scene.tag()).await, "hit");
}

async fn a_tag_whose_told_manifest_is_not_there_is_asked_for_itself() {
    for rule in ["mode = \"always\"", "ttl = \"0s\"\nstale_if_error = \"0s\""] {
        let scene = Scene::new(rule).await.pulled().await;
        scene.lie();
        for _ in 0..2 {
            assert_eq!(
                get(&scene.tag()).await.body,
                scene.image.root_manifest().bytes
            );
        }
        // The tag has moved twice; who answered the HEAD knows of the first time only.
        let moved = ImageBuilder::new(2).layer(KIB).build();
        scene.remote.put_image("app", "latest", &moved);
        let answer = get(&scene.tag()).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "miss"));
        assert_eq!(answer.header("docker-content-digest"), moved.root);
    }
}

async fn a_tag_whose_told_manifest_is_not_there_is_served_stale_in_an_outage() {
    let scene = Scene::new("mode = \"always\"").await.pulled().await;
    scene.lie();
    let broken = Fault::status(503);
    scene.remote.fault_always(Scene::by_tag(), broken);
    scene.assert_right(&get(&scene.tag()).await, "stale");
    scene.remote.clear_faults();
    scene.assert_right(&get(&scene.tag()).await, "hit");
}

async fn a_tag_that_is_gone_after_all_is_gone() {
    let scene = Scene::new("mode = \"always\"").await.pulled().await;
    scene.lie();
    let gone = Fault::status(404);
    scene.remote.fault(Scene::by_tag(), gone);
    assert_eq!(get(&scene.tag()).await.status, 404);
    scene.remote.stop().await;
    // Nothing is known of it any more.
    assert!(head(&scene.tag()).await.status >= 404);
}

async fn a_tag_that_was_only_asked_for_by_head_is_found_although_that_lied() {
    let scene = Scene::new("ttl = \"1h\"").await;
    scene.lie();
    assert_eq!(head(&scene.tag()).await.status, 200);
    scene.assert_right(&get(&scene.tag()).await, "miss");
    scene.assert_right(&get(&scene.tag()).await, "hit");
}
