//! Upkeep on a real folder and a real database.

use std::{collections::HashMap, os::unix::fs::FileExt, path::PathBuf, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::{
    access::{ProjectSet, Projects},
    config::{self, Database},
    meta::{Deletable, ManifestCommit, Meta, Removal},
    oci::{Digest, Manifest, Name},
    store::{Store, paths},
    telemetry::Metrics,
    transfer::{Fills, Limits, Parts, Space},
};

/// Hosted projects of these names.
fn projects(hosted: &[&str]) -> Projects {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrepot.toml");
    let tables = hosted
        .iter()
        .map(|name| format!("[[project]]\nname = \"{name}\"\nkind = \"hosted\"\n"));
    std::fs::write(&file, tables.collect::<String>()).unwrap();
    let config = config::load(Some(&file), []).unwrap();
    Projects::new(ProjectSet::new(config.projects, &config.remotes))
}

struct Scene {
    folder: TempDir,
    store: Store,
    meta: Meta,
    fills: Fills,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Scene {
    async fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let meta = Meta::open(&Database::Sqlite(folder.path().join("entrepot.db"))).await;
        let meta = meta.unwrap();
        let fills = Fills::new(Parts {
            store: store.clone(),
            meta: meta.clone(),
            metrics: Metrics::default(),
            space: Space::new(store.clone(), limits),
            tier: None,
            cluster: None,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        Self {
            folder,
            store,
            meta,
            fills,
        }
    }

    fn evictor(&self, hosted: &[&str]) -> Evictor {
        Evictor::new(evict::Parts {
            meta: self.meta.clone(),
            fills: self.fills.clone(),
            projects: projects(hosted),
            leftovers: self.leftovers(),
            orphan_grace: Duration::from_hours(1),
            local: None,
        })
    }

    fn leftovers(&self) -> Leftovers {
        Leftovers {
            store: self.store.clone(),
            meta: self.meta.clone(),
            fills: self.fills.clone(),
            spool_max_age: Duration::from_hours(1),
        }
    }

    fn scrubber(&self, bytes_per_second: u64) -> Scrubber {
        Scrubber::new(self.store.clone(), self.fills.clone(), bytes_per_second)
    }

    async fn blob(&self, repository: &str, content: &str) -> Digest {
        let bytes = Bytes::from(content.to_owned());
        let digest = Digest::sha256(&bytes);
        let size = bytes.len() as u64;
        let placed = self.store.put(&digest, bytes).await.unwrap();
        let repositories = [name(repository)];
        self.meta
            .blob_link(&repositories, &digest, size)
            .await
            .unwrap();
        placed.settle().await;
        digest
    }

    /// A manifest of 10 bytes that names one blob of 1000.
    async fn image(&self, repository: &str, content: &str) -> (Digest, Digest) {
        let blob = self.blob(repository, &format!("{content:>1000}")).await;
        let text = format!(
            r#"{{"config":{{"mediaType":"application/x","digest":"{blob}","size":1000}}}}"#
        );
        let manifest = Digest::sha256(text.as_bytes());
        let placed = self
            .store
            .put(&manifest, text.clone().into())
            .await
            .unwrap();
        let commit = ManifestCommit {
            repository: name(repository),
            digest: manifest.clone(),
            media_type: "application/x".to_owned(),
            size_bytes: text.len() as u64,
            manifest: Manifest::parse(text.as_bytes()),
            tag: None,
        };
        self.meta.manifest_commit(commit).await.unwrap();
        placed.settle().await;
        (manifest, blob)
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        paths::on_disk(self.folder.path(), &paths::blob(digest))
    }
}

fn budget(max_bytes: u64) -> Limits {
    Limits {
        max_bytes: Some(max_bytes),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eviction_keeps_budgets_and_leaves_hosted_projects_alone() {
    let scene = Scene::new(budget(2500)).await;
    let (_, hosted) = scene.image("hosted/app", "hosted").await;
    let mut images = Vec::new();
    for content in ["one", "two", "three"] {
        images.push(scene.image("mirror/app", content).await);
        // The next one is used later, in whole milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let evictor = scene.evictor(&["hosted"]);
    // Nothing is known to be there yet.
    assert_eq!(evictor.run_once().await, Evicted::default());
    scene.fills.space().measured(None, 10_000);
    let evicted = evictor.run_once().await;
    assert_eq!(
        (evicted.images, evicted.blobs, evicted.in_vain),
        (1, 2, false)
    );
    for (digest, is_here) in [(&images[0].1, false), (&images[1].1, true), (&hosted, true)] {
        assert_eq!(scene.file(digest).exists(), is_here);
    }
    assert_eq!(evictor.run_once().await, Evicted::default());
    assert_eq!(scene.meta.gone(10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projects_budget_takes_from_that_project_only() {
    let scene = Scene::new(Limits {
        projects: HashMap::from([("small".to_owned(), 1500)]),
        ..Limits::default()
    })
    .await;
    let (_, other) = scene.image("large/app", "other").await;
    let shared = scene.image("small/app", "shared").await.1;
    scene.image("large/app", "shared").await;
    let (_, kept) = scene.image("small/app", "kept").await;
    scene.fills.space().measured(Some("small"), 10_000);
    let evicted = scene.evictor(&[]).run_once().await;
    // What the other project has, too, frees nothing on the disk.
    assert_eq!((evicted.images, evicted.blobs, evicted.bytes), (1, 0, 0));
    for digest in [&other, &shared, &kept] {
        assert!(scene.file(digest).exists());
    }
    assert!(
        !scene
            .meta
            .blob_linked(&name("small/app"), &shared)
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn eviction_that_cannot_help_says_so_until_it_can() {
    let scene = Scene::new(budget(500)).await;
    let loose = scene.blob("mirror/app", &"x".repeat(600)).await;
    scene.fills.space().measured(None, 10_000);
    let evictor = scene.evictor(&[]);
    assert!(evictor.run_once().await.in_vain);
    assert!(
        scene
            .fills
            .space()
            .reserve("mirror", 100, 0)
            .await
            .unwrap()
            .is_none()
    );
    scene.meta.content_lost(&loose).await.unwrap();
    assert_eq!(evictor.run_once().await, Evicted::default());
    assert!(
        scene
            .fills
            .space()
            .reserve("mirror", 100, 0)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spools_that_take_the_budget_go_when_no_image_is_left_that_may() {
    let scene = Scene::new(budget(2500)).await;
    let spool = scene.store.spool(&Digest::sha256(b"large")).await.unwrap();
    let spool = spool.append(vec![vec![0; 10_000].into()]).await.unwrap();
    let left = paths::spool(&Digest::sha256(b"large"));
    let left = paths::on_disk(scene.folder.path(), &left);
    assert!(left.exists());
    drop(spool);
    scene.leftovers().run_once().await;
    assert!(left.exists() && scene.fills.space().standing().left >= 10_000);
    let evicted = scene.evictor(&[]).run_once().await;
    assert!(!evicted.in_vain && !left.exists());
    assert_eq!(scene.fills.space().standing().left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_finds_what_changed_without_a_write_and_files_without_rows() {
    let scene = Scene::new(Limits::default()).await;
    let (manifest, blob) = scene.image("r/app", "damaged").await;
    let (_, right) = scene.image("r/app", "right").await;
    let stray = Digest::sha256(b"stray");
    drop(scene.store.put(&stray, Bytes::from("stray")).await.unwrap());
    let file = std::fs::File::options()
        .write(true)
        .open(scene.file(&blob))
        .unwrap();
    let sealed = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"!", 10).unwrap();
    file.set_modified(sealed).unwrap();
    assert!(scene.store.get(&blob).await.unwrap().is_some());

    let scrubbed = scene.scrubber(u64::MAX).run_once().await.unwrap();
    assert_eq!((scrubbed.blobs, scrubbed.strays), (5, 1));
    assert_eq!(scrubbed.damaged, std::slice::from_ref(&blob));
    assert!(!scene.file(&blob).exists() && !scene.file(&stray).exists());
    // It is not said to be here any more; what names it is.
    assert!(!scene.meta.blob_linked(&name("r/app"), &blob).await.unwrap());
    assert!(scene.file(&manifest).exists() && scene.file(&right).exists());
    let again = scene.scrubber(u64::MAX).run_once().await.unwrap();
    assert_eq!((again.blobs, again.damaged.len(), again.strays), (3, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_reads_no_faster_than_it_may() {
    let scene = Scene::new(Limits::default()).await;
    scene.blob("r/app", &"x".repeat(100_000)).await;
    let started = std::time::Instant::now();
    scene.scrubber(500_000).run_once().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_an_eviction_are_deleted_unless_they_came_back() {
    let scene = Scene::new(Limits::default()).await;
    let (manifest, blob) = scene.image("r/app", "image").await;
    let app = name("r/app");
    let purge = scene.meta.image_delete(&app, &manifest, Removal::Purge);
    assert_eq!(purge.await.unwrap().unwrap().gone.len(), 2);
    // As if the process had ended here, and somebody had pulled the blob since.
    scene.blob("r/other", &format!("{:>1000}", "image")).await;
    let leftovers = scene.leftovers();
    let busy = scene.store.claim(&manifest).await.unwrap();
    leftovers.run_once().await;
    assert!(scene.file(&manifest).exists() && scene.file(&blob).exists());
    assert_eq!(
        scene.meta.gone(10).await.unwrap(),
        std::slice::from_ref(&manifest)
    );
    drop(busy);
    leftovers.run_once().await;
    assert!(!scene.file(&manifest).exists() && scene.file(&blob).exists());
    assert_eq!(scene.meta.gone(10).await.unwrap(), []);
}

impl Scene {
    fn orphans(&self, grace: Duration, longest_push: Duration) -> Orphans {
        Orphans::new(orphans::Parts {
            meta: self.meta.clone(),
            fills: self.fills.clone(),
            projects: projects(&["hosted"]),
            grace,
            longest_push,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_up_takes_what_hosted_projects_do_not_name_after_its_grace() {
    let scene = Scene::new(Limits::default()).await;
    let (manifest, named) = scene.image("hosted/app", "named").await;
    let left = scene.blob("hosted/app", "of a push that never ended").await;
    let shared = scene.blob("hosted/app", "shared").await;
    scene.blob("mirror/app", "shared").await;
    let cached = scene.blob("mirror/app", "cached").await;
    let (deleted, of_deleted) = scene.image("hosted/other", "deleted").await;
    let (other, deletable) = (name("hosted/other"), Deletable::default());
    let deletion = scene.meta.delete_manifest(&other, &deleted, deletable);
    deletion.await.unwrap();

    let hour = Duration::from_hours(1);
    let early = scene.orphans(hour, hour).run_once().await.unwrap();
    assert_eq!(early, Collected::default());
    assert!(scene.file(&left).exists() && scene.file(&of_deleted).exists());
    // Deletes of clients leave the file to whoever comes by.
    assert!(!scene.file(&deleted).exists());
    let collected = scene
        .orphans(Duration::ZERO, Duration::ZERO)
        .run_once()
        .await
        .unwrap();
    assert_eq!(
        (collected.links, collected.blobs, collected.bytes),
        (3, 2, 1026)
    );
    for (digest, is_here) in [
        (&manifest, true),
        (&named, true),
        (&shared, true),
        (&cached, true),
        (&left, false),
        (&of_deleted, false),
    ] {
        assert_eq!(scene.file(digest).exists(), is_here, "{digest}");
    }
    let is_linked = scene.meta.blob_linked(&name("hosted/app"), &shared).await;
    assert!(!is_linked.unwrap());
    let again = scene
        .orphans(Duration::ZERO, Duration::ZERO)
        .run_once()
        .await
        .unwrap();
    assert_eq!(again, Collected::default());
    assert_eq!(scene.meta.gone(10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_up_leaves_the_first_layers_of_a_long_push() {
    let scene = Scene::new(Limits::default()).await;
    let first = scene.blob("hosted/app", "first layer").await;
    let grace = Duration::from_millis(200);
    tokio::time::sleep(grace * 2).await;
    scene.blob("hosted/app", "second layer").await;
    let orphans = scene.orphans(grace, Duration::from_hours(1));
    assert_eq!(orphans.run_once().await.unwrap(), Collected::default());
    assert!(scene.file(&first).exists());
    tokio::time::sleep(grace * 2).await;
    assert_eq!(orphans.run_once().await.unwrap().blobs, 2);
}
