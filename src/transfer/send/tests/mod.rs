//! Sending from a source in memory to a small registry that takes pushes and has its moods.

mod following;
mod memory;
mod moods;
mod registry;

use std::sync::Arc;

use serde_json::{Value, json};

use self::{memory::MemorySource, registry::Registry};
use super::*;
use crate::{client::RegistryClient, config, oci::Descriptor, telemetry::Metrics};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Source and destination of one test.
struct Scene {
    source: MemorySource,
    registry: Registry,
    destination: Destination,
    sender: Sender,
    progress: Progress,
}

impl Scene {
    async fn new() -> Self {
        let registry = Registry::start().await;
        let destination = registry.destination();
        Self {
            source: MemorySource::default(),
            registry,
            destination,
            sender: Sender::new(4, []),
            progress: Progress::default(),
        }
    }

    async fn send(&self, order: &Order) -> Result<Sent, SendError> {
        let source: Arc<dyn Source> = Arc::new(self.source.clone());
        self.sender
            .send(&source, &self.destination, order, &self.progress)
            .await
    }

    async fn outcome(&self, order: &Order) -> Outcome {
        self.send(order).await.expect("it is sent").outcome
    }
}

fn order(tag: &str) -> Order {
    Order {
        from: "from/app".parse().unwrap(),
        reference: tag.parse().unwrap(),
        to: "to/app".parse().unwrap(),
        tags: vec![tag.parse().unwrap()],
        mount_from: None,
        existing: Existing::Overwrite,
        version: None,
        platforms: Platforms::All,
        referrers: Referrers::No,
    }
}

fn blob(source: &MemorySource, media_type: &str, bytes: &[u8]) -> Value {
    let digest = source.add_blob(bytes);
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// An image with these layers, by its digest.
fn image(source: &MemorySource, architecture: &str, layers: &[&[u8]]) -> Value {
    let config = json!({"os": "linux", "architecture": architecture}).to_string();
    let layers: Vec<_> = layers
        .iter()
        .map(|bytes| blob(source, LAYER, bytes))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(source, CONFIG, config.as_bytes()),
        "layers": layers,
    });
    let mut entry = source.add_manifest(MANIFEST, &manifest);
    entry["platform"] = json!({"os": "linux", "architecture": architecture});
    entry
}

fn index(source: &MemorySource, manifests: &[Value]) -> Value {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    source.add_manifest(INDEX, &index)
}

#[tokio::test]
async fn what_is_named_is_sent_before_what_names_it_and_the_tag_last() {
    let scene = Scene::new().await;
    let manifests = [
        image(&scene.source, "amd64", &[b"one", b"shared"]),
        image(&scene.source, "arm64", &[b"two", b"shared"]),
    ];
    scene.source.tag("1", &index(&scene.source, &manifests));
    assert_eq!(scene.outcome(&order("1")).await, Outcome::Sent);
    // The registry refuses manifests that name what it does not have.
    assert!(scene.registry.has_tag("to/app", "1"));
    let puts = scene.registry.seen("PUT /v2/to/app/manifests/");
    assert_eq!(puts.len(), 3);
    assert!(puts[2].ends_with("/manifests/1"), "{puts:?}");
    let counted = scene.progress.read();
    assert_eq!((counted.blobs_sent, counted.blobs_present), (5, 1));
    assert_eq!(
        counted.bytes_total,
        counted.bytes_sent + counted.bytes_skipped
    );
}

#[tokio::test]
async fn nothing_but_one_question_is_sent_when_all_is_there() {
    let scene = Scene::new().await;
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[b"one"]));
    assert_eq!(scene.outcome(&order("1")).await, Outcome::Sent);
    scene.registry.forget_seen();
    assert_eq!(scene.outcome(&order("1")).await, Outcome::Unchanged);
    assert_eq!(scene.registry.seen(""), ["HEAD /v2/to/app/manifests/1"]);
    assert_eq!(scene.source.reads(), 1, "manifests that were read");
}

#[tokio::test]
async fn what_another_repository_there_has_is_mounted() {
    let scene = Scene::new().await;
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[b"one"]));
    let other = Order {
        to: "to/other".parse().unwrap(),
        ..order("1")
    };
    let (order, sent) = (order("1"), Outcome::Sent);
    let both = tokio::join!(scene.outcome(&order), scene.outcome(&other));
    assert_eq!(both, (sent.clone(), sent));
    let counted = scene.progress.read();
    assert_eq!((counted.blobs_sent, counted.blobs_mounted), (2, 2));
}

#[tokio::test]
async fn what_the_source_has_is_mounted_when_it_is_the_destination_too() {
    let scene = Scene::new().await;
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[b"one"]));
    assert_eq!(scene.outcome(&order("1")).await, Outcome::Sent);
    let within = Order {
        to: "to/other".parse().unwrap(),
        mount_from: Some("to/app".parse().unwrap()),
        ..order("1")
    };
    // Nothing is known of what is there.
    let scene = Scene {
        destination: scene.registry.destination(),
        ..scene
    };
    assert_eq!(scene.outcome(&within).await, Outcome::Sent);
    assert_eq!(scene.progress.read().blobs_mounted, 2);
}

#[tokio::test]
async fn a_tag_that_is_something_else_is_kept_if_it_may_not_be_overwritten() {
    let scene = Scene::new().await;
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[b"one"]));
    let first = scene.send(&order("1")).await.unwrap();
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[b"two"]));
    let only = |digests: Vec<Digest>| Order {
        existing: Existing::OverwriteOnly(digests),
        ..order("1")
    };
    let there = first.digest.clone();
    assert_eq!(
        scene.outcome(&only(vec![])).await,
        Outcome::Kept {
            there,
            is_newer: false
        }
    );
    assert_eq!(
        scene.outcome(&only(vec![first.digest])).await,
        Outcome::Sent
    );
}

#[tokio::test]
async fn only_the_platforms_that_are_asked_for_are_sent() {
    let scene = Scene::new().await;
    let manifests = [
        image(&scene.source, "amd64", &[b"one"]),
        image(&scene.source, "arm64", &[b"two"]),
    ];
    let index = index(&scene.source, &manifests);
    scene.source.tag("1", &index);
    let with = |platforms| Order {
        platforms,
        ..order("1")
    };
    let arm = || vec!["linux/arm64".parse().unwrap()];
    let rewrite = with(Platforms::Rewrite(arm()));
    let sent = scene.send(&rewrite).await.unwrap();
    assert_ne!(sent.digest.to_string(), index["digest"]);
    assert_eq!(scene.progress.read().blobs_sent, 2);
    assert_eq!(scene.outcome(&rewrite).await, Outcome::Unchanged);
    // An index whose other manifests are missing is for those who take one.
    scene.registry.takes_sparse_indexes();
    let these = vec![manifests[1]["digest"].as_str().unwrap().parse().unwrap()];
    let only = scene.send(&with(Platforms::Only(these.clone()))).await;
    assert_eq!(only.unwrap().digest, sent.digest);
    let keep = scene.send(&with(Platforms::Keep(these))).await.unwrap();
    assert_eq!(keep.digest.to_string(), index["digest"]);
    assert_eq!(scene.progress.read().blobs_sent, 2);
    let none = with(Platforms::Rewrite(vec!["linux/s390x".parse().unwrap()]));
    assert_eq!(scene.outcome(&none).await, Outcome::NoPlatform);
    scene.source.tag("2", &manifests[0]);
    let single = Order {
        platforms: Platforms::Rewrite(arm()),
        ..order("2")
    };
    assert_eq!(scene.outcome(&single).await, Outcome::NoPlatform);
}

#[tokio::test]
async fn referrers_and_signature_tags_follow_their_subject() {
    let scene = Scene::new().await;
    let root = image(&scene.source, "amd64", &[b"one"]);
    scene.source.tag("1", &root);
    let artifact = |subject: &Value, content: &[u8]| {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/example",
            "config": blob(&scene.source, "application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [blob(&scene.source, "text/plain", content)],
            "subject": subject,
        });
        let entry = scene.source.add_manifest(MANIFEST, &manifest);
        scene.source.refers(subject, &entry);
        entry
    };
    let bill = artifact(&root, b"bill of materials");
    let signature = artifact(&bill, b"signature of the bill");
    let hex = root["digest"].as_str().unwrap().replace(':', "-");
    scene.source.tag(
        &format!("{hex}.sig"),
        &image(&scene.source, "", &[b"signature"]),
    );
    let with_referrers = Order {
        referrers: Referrers::All,
        ..order("1")
    };
    let sent = scene.send(&with_referrers).await.unwrap();
    assert_eq!(sent.referrers, 3);
    assert!(scene.registry.has_tag("to/app", &format!("{hex}.sig")));
    // The registry keeps no lists: they are tags.
    let listed = scene.registry.manifest("to/app", &hex);
    assert_eq!(listed["manifests"][0]["digest"], bill["digest"]);
    assert_eq!(
        listed["manifests"][0]["artifactType"],
        "application/example"
    );
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1);
    let hex = bill["digest"].as_str().unwrap().replace(':', "-");
    let listed = scene.registry.manifest("to/app", &hex);
    assert_eq!(listed["manifests"][0]["digest"], signature["digest"]);
    let again = scene.send(&with_referrers).await.unwrap();
    assert_eq!((again.outcome, again.referrers), (Outcome::Unchanged, 0));
}

#[tokio::test]
async fn a_registry_that_keeps_the_list_itself_gets_no_tag_for_it() {
    let scene = Scene::new().await;
    scene.registry.lists_referrers();
    let root = image(&scene.source, "amd64", &[b"one"]);
    scene.source.tag("1", &root);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": blob(&scene.source, "application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [], "subject": root,
    });
    let entry = scene.source.add_manifest(MANIFEST, &manifest);
    scene.source.refers(&root, &entry);
    let with_referrers = Order {
        referrers: Referrers::All,
        ..order("1")
    };
    assert_eq!(scene.send(&with_referrers).await.unwrap().referrers, 1);
    let hex = root["digest"].as_str().unwrap().replace(':', "-");
    assert!(!scene.registry.has_tag("to/app", &hex));
}

#[tokio::test]
async fn who_is_missing_is_told_by_the_side_that_misses_it() {
    let scene = Scene::new().await;
    let missing = scene.send(&order("1")).await.unwrap_err();
    assert!(matches!(missing, SendError::Source(_)), "{missing}");
    assert!(missing.is_terminal());
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[b"one"]));
    scene.registry.refuses_pushes();
    let refused = scene.send(&order("1")).await.unwrap_err();
    assert!(refused.is_terminal());
    assert!(refused.to_string().contains("DENIED"), "{refused}");
}
