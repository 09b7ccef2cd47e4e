//! What refers to an image: how it follows, also later, and what happens when something comes in between.

use super::*;

fn with_referrers() -> Order {
    Order {
        referrers: Referrers::All,
        ..order("1")
    }
}

/// The tag of a manifest's list, or of its signatures.
fn hex(subject: &Value) -> String {
    subject["digest"].as_str().unwrap().replace(':', "-")
}

impl Scene {
    /// Something that refers to this manifest.
    fn refer(&self, subject: &Value) -> Value {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/example",
            "config": blob(&self.source, "application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [],
            "subject": subject,
        });
        let entry = self.source.add_manifest(MANIFEST, &manifest);
        self.source.refers(subject, &entry);
        entry
    }

    fn listed(&self, subject: &Value) -> Value {
        let list = self.registry.manifest("to/app", &hex(subject));
        list["manifests"].clone()
    }
}

#[tokio::test]
async fn a_referrer_that_was_put_and_never_listed_is_listed_by_the_next_try() {
    let scene = Scene::new().await;
    let root = image(&scene.source, "amd64", &[b"one"]);
    scene.source.tag("1", &root);
    let signature = scene.refer(&root);
    scene.registry.mood(|mood| mood.refuses_lists = true);
    scene.send(&with_referrers()).await.unwrap_err();
    scene.registry.mood(|mood| mood.refuses_lists = false);
    // By another process.
    let scene = Scene {
        destination: scene.registry.destination(),
        ..scene
    };
    assert_eq!(scene.outcome(&with_referrers()).await, Outcome::Unchanged);
    let listed = scene.listed(&root);
    assert_eq!(listed[0]["digest"], signature["digest"]);
    assert_eq!(listed[0]["artifactType"], "application/example");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_keeps_the_lists_itself_is_not_asked_for_them() {
    let scene = Scene::new().await;
    scene.registry.lists_referrers();
    let root = image(&scene.source, "amd64", &[b"one"]);
    scene.source.tag("1", &root);
    scene.refer(&root);
    assert_eq!(scene.outcome(&with_referrers()).await, Outcome::Sent);
    scene.registry.forget_seen();
    let again = scene.outcome(&with_referrers()).await;
    assert_eq!(again, Outcome::Unchanged);
    assert_eq!(scene.registry.seen("GET"), Vec::<String>::new());
}

#[tokio::test]
async fn what_refers_to_one_platform_and_comes_later_follows() {
    let scene = Scene::new().await;
    let children = [
        image(&scene.source, "amd64", &[b"one"]),
        image(&scene.source, "arm64", &[b"two"]),
    ];
    scene.source.tag("1", &index(&scene.source, &children));
    assert_eq!(scene.outcome(&with_referrers()).await, Outcome::Sent);
    let bill = scene.refer(&children[1]);
    let sig = format!("{}.sig", hex(&children[0]));
    let signature = image(&scene.source, "", &[b"signature"]);
    scene.source.tag(&sig, &signature);
    let again = scene.send(&with_referrers()).await.unwrap();
    assert_eq!((again.outcome, again.referrers), (Outcome::Unchanged, 2));
    assert_eq!(scene.listed(&children[1])[0]["digest"], bill["digest"]);
    assert!(scene.registry.has_tag("to/app", &sig));
}

#[tokio::test]
async fn what_a_source_cannot_tell_now_is_missed_only_by_who_takes_what_can_be_reached() {
    let scene = Scene::new().await;
    let root = image(&scene.source, "amd64", &[b"one"]);
    scene.source.tag("1", &root);
    scene.refer(&root);
    scene.source.tells_no_referrers();
    let error = scene.send(&with_referrers()).await.unwrap_err();
    assert!(!error.is_terminal(), "{error}");
    let reachable = Order {
        referrers: Referrers::Reachable,
        ..order("1")
    };
    let sent = scene.send(&reachable).await.unwrap();
    assert_eq!((sent.outcome, sent.referrers), (Outcome::Unchanged, 0));
    assert!(sent.missed.is_some());
}
