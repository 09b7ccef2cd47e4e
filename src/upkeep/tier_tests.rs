//! What works behind object storage, on a real bucket.

use std::{
    fs::FileTimes,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::{Collector, LocalTier, Uploader, Uploads};
use crate::{
    config,
    meta::{ManifestCommit, Meta, Removal},
    oci::{Digest, Manifest, Name},
    store::{
        ObjectId, Objects, Store,
        object::tests::{bucket::Bucket, storage},
    },
    telemetry::Metrics,
    transfer::{Tier, TierParts},
};

/// A store, its rows, and a bucket.
struct Scene {
    bucket: Bucket,
    objects: Objects,
    store: Store,
    meta: Meta,
    tier: Tier,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (bucket, folder) = (Bucket::new(), tempfile::tempdir().unwrap());
        let objects = Objects::new(&storage(&bucket.settings("")), TaskTracker::new()).unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let database = config::Database::Sqlite(folder.path().join("entrepot.db"));
        let meta = Meta::open(&database).await.unwrap();
        let tier = Tier::new(TierParts {
            objects: objects.clone(),
            store: store.clone(),
            meta: meta.clone(),
            metrics: Metrics::default(),
            cluster: None,
        });
        Self {
            bucket,
            objects,
            store,
            meta,
            tier,
            folder,
        }
    }

    /// A manifest with its file, rows and object.
    async fn stored(&self, content: &'static str) -> Digest {
        let digest = self.here(content).await;
        self.tier.upload(&digest).await.unwrap();
        digest
    }

    /// The same without its object.
    async fn here(&self, content: &'static str) -> Digest {
        let bytes = Bytes::from_static(content.as_bytes());
        let digest = Digest::sha256(&bytes);
        let commit = ManifestCommit {
            repository: repository(),
            digest: digest.clone(),
            media_type: "application/x".into(),
            size_bytes: bytes.len() as u64,
            manifest: Manifest::parse(&bytes),
            tag: None,
        };
        let placed = self.store.put(&digest, bytes).await.unwrap();
        self.meta.manifest_commit(commit).await.unwrap();
        placed.settle().await;
        digest
    }

    fn collector(&self, grace: Duration) -> Collector {
        Collector {
            objects: self.objects.clone(),
            meta: self.meta.clone(),
            grace,
        }
    }

    fn local(&self, max_bytes: u64) -> LocalTier {
        LocalTier::new(
            self.store.clone(),
            self.meta.clone(),
            self.tier.clone(),
            max_bytes,
        )
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let folder = self.folder.path().join("blobs/sha256");
        folder.join(&hex[..2]).join(hex)
    }

    fn used(&self, digest: &Digest, age: Duration) {
        let file = std::fs::File::options().write(true).open(self.file(digest));
        let times = FileTimes::new().set_accessed(SystemTime::now() - age);
        file.unwrap().set_times(times).unwrap();
    }
}

fn repository() -> Name {
    "p/r".parse().unwrap()
}

#[tokio::test]
async fn an_object_goes_when_its_content_is_gone_for_long_enough() {
    let scene = Scene::new().await;
    let (gone, stays) = (scene.stored("gone").await, scene.stored("stays").await);
    assert_eq!(scene.bucket.files().len(), 2);
    let deleted = scene
        .meta
        .image_delete(&repository(), &gone, Removal::Purge)
        .await;
    assert!(deleted.unwrap().is_some());
    assert_eq!(scene.collector(Duration::from_hours(1)).run_once().await, 0);
    assert_eq!(scene.collector(Duration::ZERO).run_once().await, 1);
    assert_eq!(scene.collector(Duration::ZERO).run_once().await, 0);
    assert_eq!(scene.bucket.files().len(), 1);
    assert!(scene.tier.object(&stays).await.unwrap().is_some());
    assert!(scene.tier.object(&gone).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_killed_upload_left_is_taken_away() {
    let scene = Scene::new().await;
    let (id, bytes) = (ObjectId::new(), vec![7; 17 << 20]);
    let digest = Digest::sha256(&bytes);
    let blob = scene.store.put(&digest, bytes.into()).await.unwrap();
    let blob = blob.settle().await;
    let upload = scene.objects.begin(id, &digest, blob).await.unwrap();
    let multipart = upload.multipart().unwrap().to_owned();
    let (meta, soon) = (&scene.meta, SystemTime::now() + Duration::from_mins(1));
    meta.upload_begin(id.into(), 17 << 20, soon).await.unwrap();
    // It is alive, and left alone.
    assert_eq!(scene.collector(Duration::ZERO).run_once().await, 0);
    assert_eq!(scene.bucket.unfinished(), 1);
    let now = SystemTime::now();
    let alive = meta.upload_alive(id.into(), Some(multipart), now).await;
    assert!(alive.unwrap());
    assert_eq!(scene.collector(Duration::ZERO).run_once().await, 1);
    assert_eq!(scene.bucket.unfinished(), 0);
}

#[tokio::test]
async fn an_object_that_no_row_knows_of_is_found() {
    let scene = Scene::new().await;
    scene.stored("known").await;
    scene.objects.write(b"stray").await.unwrap();
    let collector = scene.collector(Duration::ZERO);
    assert_eq!(collector.find_strays(Duration::from_hours(1)).await, 0);
    assert_eq!(collector.find_strays(Duration::ZERO).await, 1);
    assert_eq!(collector.run_once().await, 1);
    assert_eq!(scene.bucket.files().len(), 1);
}

#[tokio::test]
async fn the_queue_is_worked_through_and_two_do_not_upload_the_same() {
    let scene = Scene::new().await;
    for content in ["a", "b", "c"] {
        scene.here(content).await;
    }
    let uploader = Uploader::new(scene.tier.clone(), scene.meta.clone());
    let (one, other) = tokio::join!(uploader.run_once(), uploader.run_once());
    assert_eq!(one.blobs + other.blobs, 3);
    let nothing = Uploads::default();
    assert_eq!(uploader.run_once().await, nothing);
    scene.collector(Duration::ZERO).run_once().await;
    assert_eq!(scene.bucket.files().len(), 3);
}

#[tokio::test]
async fn a_file_that_was_damaged_is_not_uploaded_and_goes() {
    let scene = Scene::new().await;
    let digest = scene.here("content").await;
    let path = scene.file(&digest);
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "CONTENT").unwrap();
    // As if the disk had done it: nobody sees it but who reads.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    let uploaded = scene.tier.upload(&digest).await;
    assert!(uploaded.is_err_and(|error| !error.is_outage()));
    assert!(!path.exists());
    assert!(scene.bucket.files().is_empty());
}

#[tokio::test]
async fn the_least_recently_used_files_go_first_and_what_is_not_uploaded_stays() {
    let scene = Scene::new().await;
    let old = scene.stored("old").await;
    let new = scene.stored("new").await;
    let local = scene.here("never uploaded").await;
    for (digest, hours) in [(&local, 1000), (&old, 100), (&new, 1)] {
        scene.used(digest, Duration::from_hours(hours));
    }
    assert_eq!(scene.local(0).make_room(1).await.unwrap(), 3);
    let is_here = |digest| scene.file(digest).exists();
    assert_eq!([&old, &new, &local].map(is_here), [false, true, true]);
    // Within its budget nothing goes.
    assert!(scene.local(17).run_once().await);
    assert!(is_here(&new));
    assert!(!scene.local(1).run_once().await);
    assert_eq!([&new, &local].map(is_here), [false, true]);
    // It comes back from the bucket.
    assert_eq!(scene.tier.read(&old).await.unwrap().unwrap(), "old");
    assert!(is_here(&old));
}
