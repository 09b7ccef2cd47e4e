//! Pushes, deletes and clean-up at the same time: at the end every manifest that a tag leads to is complete.
//!
//! `ENTREPOT_CLEAN_UP_SECONDS` makes it longer, `ENTREPOT_CLEAN_UP_SEED` repeats its choices, though not the order in
//! which tasks run.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    harness::{media_type, random_bytes, sha256},
    push::{Pusher, setup},
    server::{TestServer, on_both},
};

on_both!(pushes_deletes_and_clean_up_leave_every_tag_complete);

const REPOSITORIES: u64 = 3;
const TAGS: u64 = 6;
/// Layers are of few kinds, so that everybody has them and loses them.
const LAYERS: u64 = 12;
const PUSHERS: u64 = 4;
const DELETERS: u64 = 2;
/// Short, so that much goes while it is pushed; longer than one step of a push under load.
const GRACE: &str = "[upkeep]\norphan_grace = \"1s\"";

/// How often what happened.
#[derive(Default)]
struct Tally {
    pushed: AtomicU64,
    deleted: AtomicU64,
    collected: AtomicU64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the length and the seed of a run are told to this test alone"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn pushes_deletes_and_clean_up_leave_every_tag_complete() {
    let length = Duration::from_secs(setting("ENTREPOT_CLEAN_UP_SECONDS").unwrap_or(8));
    let seed = setting("ENTREPOT_CLEAN_UP_SEED").unwrap_or_else(rand::random);
    eprintln!("ENTREPOT_CLEAN_UP_SEED={seed}");
    let server = setup("")
        .section(GRACE)
        .variable("ENTREPOT__STORAGE__SPOOL_MAX_AGE", "3s")
        .start()
        .await;
    let (tally, end) = (Tally::default(), Instant::now() + length);
    let random = |number: u64| StdRng::seed_from_u64(seed.wrapping_add(number));
    let pushers = (0..PUSHERS).map(|number| push(&server, random(number), &tally, end));
    let deleters = (0..DELETERS).map(|n| delete(&server, random(PUSHERS + n), &tally, end));
    tokio::join!(
        join_all(pushers),
        join_all(deleters),
        collect(&server, &tally, end)
    );
    let complete = verify(&server).await;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (pushed, deleted, collected) = (
        count(&tally.pushed),
        count(&tally.deleted),
        count(&tally.collected),
    );
    eprintln!("{pushed} pushed, {deleted} deleted, {collected} collected, {complete} complete");
    assert!(pushed > 0 && deleted > 0 && collected > 0 && complete > 0);
    // With nobody pushing everything goes that no manifest names, and what is complete stays so.
    tokio::time::sleep(Duration::from_millis(3200)).await;
    Pusher::of(&server).upkeep("orphans").await;
    assert_eq!(verify(&server).await, complete);
}

fn repository(random: &mut StdRng) -> String {
    format!("team/app-{}", random.random_range(0..REPOSITORIES))
}

fn tag(random: &mut StdRng) -> String {
    format!("tag-{}", random.random_range(0..TAGS))
}

/// As clients do: each blob that is not there, then the manifest; once more when something went meanwhile.
async fn push(server: &TestServer, mut random: StdRng, tally: &Tally, end: Instant) {
    let pusher = Pusher::of(server);
    while Instant::now() < end {
        let repository = repository(&mut random);
        let layers: Vec<Bytes> = (0..3)
            .map(|_| random_bytes(random.random_range(0..LAYERS), 4000))
            .collect();
        let config = Bytes::from(json!({"made": random.random::<u64>()}).to_string());
        let manifest = manifest(&config, &layers);
        let tag = tag(&mut random);
        loop {
            for bytes in layers.iter().chain([&config]) {
                if !pusher.has_blob(&repository, &sha256(bytes)).await {
                    pusher.blob(&repository, bytes).await;
                }
                if random.random_ratio(1, 20) {
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
                }
            }
            let bytes = manifest.clone();
            let pushed = pusher.manifest(&repository, &tag, media_type::OCI_MANIFEST, bytes);
            let pushed = pushed.await;
            if pushed.status == 201 {
                break;
            }
            // A blob that was deleted by name between its HEAD and the manifest.
            assert_eq!(
                pushed.error_code(),
                "MANIFEST_BLOB_UNKNOWN",
                "{:?}",
                pushed.body
            );
        }
        tally.pushed.fetch_add(1, Ordering::Relaxed);
    }
}

fn manifest(config: &Bytes, layers: &[Bytes]) -> Bytes {
    let descriptor = |media_type: &str, bytes: &Bytes| json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()});
    let layers = layers
        .iter()
        .map(|bytes| descriptor(media_type::OCI_LAYER, bytes));
    Bytes::from(
        json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, config),
            "layers": layers.collect::<Vec<_>>(),
        })
        .to_string(),
    )
}

/// Deletes tags, manifests, and blobs that no manifest of the repository names.
async fn delete(server: &TestServer, mut random: StdRng, tally: &Tally, end: Instant) {
    let pusher = Pusher::of(server);
    while Instant::now() < end {
        let (repository, tag) = (repository(&mut random), tag(&mut random));
        let deleted = if random.random_bool(0.5) {
            pusher.delete_manifest(&repository, &tag).await
        } else {
            let head = pusher
                .head(&format!("/v2/{repository}/manifests/{tag}"))
                .await;
            let digest = head.header("docker-content-digest").to_owned();
            if digest.is_empty() {
                continue;
            }
            pusher.delete_manifest(&repository, &digest).await
        };
        assert!([202, 404].contains(&deleted.status), "{:?}", deleted.body);
        tally
            .deleted
            .fetch_add(u64::from(deleted.status == 202), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
    }
}

async fn collect(server: &TestServer, tally: &Tally, end: Instant) {
    let pusher = Pusher::of(server);
    while Instant::now() < end {
        let collected = pusher.upkeep("orphans").await;
        let links = collected["links"].as_u64().expect("a count");
        tally.collected.fetch_add(links, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pulls everything that a tag leads to; how many tags there are.
async fn verify(server: &TestServer) -> u64 {
    let pusher = Pusher::of(server);
    let mut complete = 0;
    for number in 0..REPOSITORIES {
        let repository = format!("team/app-{number}");
        let tags = pusher.get(&format!("/v2/{repository}/tags/list")).await;
        let tags: Value = serde_json::from_slice(&tags.body).expect("JSON");
        for tag in tags["tags"].as_array().expect("a list") {
            let tag = tag.as_str().expect("a tag");
            let pulled = pusher
                .get(&format!("/v2/{repository}/manifests/{tag}"))
                .await;
            assert_eq!(pulled.status, 200, "{repository}:{tag}");
            assert_eq!(sha256(&pulled.body), pulled.header("docker-content-digest"));
            let manifest: Value = serde_json::from_slice(&pulled.body).expect("JSON");
            let layers = manifest["layers"].as_array().expect("a list");
            for descriptor in layers.iter().chain([&manifest["config"]]) {
                let digest = descriptor["digest"].as_str().expect("a digest");
                let blob = pusher
                    .get(&format!("/v2/{repository}/blobs/{digest}"))
                    .await;
                assert_eq!(blob.status, 200, "{repository}:{tag} lacks {digest}");
                assert_eq!(sha256(&blob.body), digest);
            }
            complete += 1;
        }
    }
    complete
}
