//! What the server has acknowledged, and what it was about to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::watch;

use crate::{harness::sha256, push::Pusher};

/// Blobs that are looked at at the same time.
const AT_ONCE: usize = 8;

/// Shared by all who push.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Mutex<Entries>,
    images: watch::Sender<u64>,
}

#[derive(Default)]
struct Entries {
    /// Repository and digest.
    blobs: BTreeSet<(String, String)>,
    /// By repository and digest.
    manifests: BTreeMap<(String, String), Bytes>,
    /// By repository and name.
    tags: BTreeMap<(String, String), Tag>,
    /// By path.
    sessions: BTreeMap<String, Session>,
}

#[derive(Debug, Clone, Default)]
struct Tag {
    /// Points to this.
    acknowledged: Option<String>,
    /// Or to this: there was no answer.
    tried: Option<String>,
}

/// One that was begun and is not ended.
#[derive(Debug, Clone)]
struct Session {
    repository: String,
    bytes: Bytes,
}

impl Ledger {
    pub(super) fn session_begun(&self, repository: &str, path: &str, bytes: &Bytes) {
        let session = Session {
            repository: repository.to_owned(),
            bytes: bytes.clone(),
        };
        self.entries().sessions.insert(path.to_owned(), session);
    }

    pub(super) fn session_ended(&self, path: &str) {
        self.entries().sessions.remove(path);
    }

    pub(super) fn blob(&self, repository: &str, digest: &str) {
        let blob = (repository.to_owned(), digest.to_owned());
        self.entries().blobs.insert(blob);
    }

    pub(super) fn manifest_tried(&self, repository: &str, tag: &str, digest: &str) {
        let key = (repository.to_owned(), tag.to_owned());
        let mut entries = self.entries();
        entries.tags.entry(key).or_default().tried = Some(digest.to_owned());
    }

    pub(super) fn manifest(&self, repository: &str, tag: &str, bytes: &Bytes) {
        let digest = sha256(bytes);
        let mut entries = self.entries();
        let manifest = (repository.to_owned(), digest.clone());
        entries.manifests.insert(manifest, bytes.clone());
        let pointing = Tag {
            acknowledged: Some(digest),
            tried: None,
        };
        let key = (repository.to_owned(), tag.to_owned());
        entries.tags.insert(key, pointing);
        drop(entries);
        self.images.send_modify(|images| *images += 1);
    }

    /// What no manifest names may have gone.
    pub(super) fn forget_blobs(&self) {
        self.entries().blobs.clear();
    }

    /// How many were acknowledged.
    pub(super) fn images(&self) -> u64 {
        *self.images.borrow()
    }

    pub(super) async fn until_images(&self, count: u64) {
        let mut images = self.images.subscribe();
        let enough = images.wait_for(|images| *images >= count);
        let in_time = tokio::time::timeout(std::time::Duration::from_mins(2), enough).await;
        assert!(in_time.is_ok(), "{count} images are not pushed");
    }

    /// All of it is there, and nothing that is broken.
    pub(super) async fn verify(&self, url: &str) {
        let pusher = Pusher::at(url);
        self.go_on_with_sessions(&pusher).await;
        let (blobs, manifests) = {
            let entries = self.entries();
            (entries.blobs.clone(), entries.manifests.clone())
        };
        let seen = Mutex::new(BTreeSet::new());
        let check = async |repository: &str, digest: &str| {
            let path = format!("/v2/{repository}/blobs/{digest}");
            let head = pusher.head(&path).await;
            assert_eq!(head.status, 200, "a pushed blob is lost: {path}");
            if seen.lock().expect("no panic").insert(digest.to_owned()) {
                let blob = pusher.get(&path).await;
                assert_eq!(blob.status, 200, "{path}");
                assert_eq!(sha256(&blob.body), digest, "{path}");
            }
        };
        let check = &check;
        stream::iter(&blobs)
            .for_each_concurrent(AT_ONCE, |(repository, digest)| check(repository, digest))
            .await;
        for ((repository, digest), bytes) in &manifests {
            let path = format!("/v2/{repository}/manifests/{digest}");
            let manifest = pusher.get(&path).await;
            assert_eq!(manifest.status, 200, "a pushed manifest is lost: {path}");
            assert_eq!(manifest.body, bytes, "{path}");
        }
        for (repository, digest) in self.verify_tags(&pusher).await {
            check(&repository, &digest).await;
        }
    }

    /// Each tag points to what was pushed last. Gives the blobs that they lead to, each of a repository.
    async fn verify_tags(&self, pusher: &Pusher) -> BTreeSet<(String, String)> {
        let tags = self.entries().tags.clone();
        let mut led_to = BTreeSet::new();
        for ((repository, name), tag) in tags {
            let path = format!("/v2/{repository}/manifests/{name}");
            let manifest = pusher.get(&path).await;
            if manifest.status == 404 {
                assert_eq!(tag.acknowledged, None, "a pushed tag is lost: {path}");
                self.entries().tags.remove(&(repository, name));
                continue;
            }
            assert_eq!(manifest.status, 200, "{path}");
            let digest = sha256(&manifest.body);
            let known = [&tag.acknowledged, &tag.tried];
            assert!(
                known.contains(&&Some(digest.clone())),
                "{path} is {digest}, not {tag:?}"
            );
            let pointing = Tag {
                acknowledged: Some(digest),
                tried: None,
            };
            let value: Value = serde_json::from_slice(&manifest.body).expect("JSON");
            let layers = value["layers"].as_array().expect("a list");
            for descriptor in layers.iter().chain([&value["config"]]) {
                let digest = descriptor["digest"].as_str().expect("a digest");
                led_to.insert((repository.clone(), digest.to_owned()));
            }
            self.entries().tags.insert((repository, name), pointing);
        }
        led_to
    }

    /// Each goes on where the server says, or has ended: then its blob is there.
    async fn go_on_with_sessions(&self, pusher: &Pusher) {
        let sessions = std::mem::take(&mut self.entries().sessions);
        for (path, session) in sessions {
            let Session { repository, bytes } = session;
            let digest = sha256(&bytes);
            let status = pusher.get(&path).await;
            if status.status == 404 {
                let blob = format!("/v2/{repository}/blobs/{digest}");
                let blob = pusher.head(&blob).await;
                assert_eq!(blob.status, 200, "a session is lost: {path}");
                continue;
            }
            assert_eq!(status.status, 204, "{path}");
            let last = status.header("range").strip_prefix("0-");
            let last: usize = last.and_then(|last| last.parse().ok()).expect("a range");
            // `0-0` is nothing, or one byte; none is sent alone here.
            let received = if last == 0 { 0 } else { last + 1 };
            let rest = bytes.slice(received..);
            let finished = pusher.finish(&path, &digest, rest).await;
            assert_eq!(finished.status, 201, "{path} {:?}", finished.body);
            self.blob(&repository, &digest);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
