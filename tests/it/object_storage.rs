//! Content in a bucket, with a local tier before it: what gets there, what comes back, and what an outage of it costs.

use std::path::Path;

use crate::{
    fill::{KIB, MIB},
    harness::{
        Bucket, FakeRegistry, Image, ImageBuilder, Line, On, Trouble, drain_sha256, get, head,
        sha256,
    },
    server::{Setup, TestServer},
};

/// One image at a remote, and a server that keeps content in a bucket behind a way that can break.
struct Scene {
    remote: FakeRegistry,
    image: Image,
    line: Line,
    server: TestServer,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|setup| setup).await
    }

    async fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(3).layer(MIB).layer(18 * MIB).build();
        remote.put_image("app", "latest", &image);
        let bucket = Bucket::new();
        let line = Line::to(bucket.server()).await;
        let setup = Setup::empty().mirror("r", &remote, "");
        let setup = change(setup.bucket(bucket.behind(line.address())));
        Self {
            server: setup.start().await,
            remote,
            image,
            line,
        }
    }

    fn bucket(&self) -> &Bucket {
        self.server.bucket.as_ref().expect("there is one")
    }

    /// Manifest, config and layers.
    fn contents(&self) -> usize {
        self.image.manifests.len() + self.image.blobs.len()
    }

    /// Everything is right, to the byte.
    async fn assert_pulls(&self) {
        let manifest = get(&self.server.manifest_url("r/app", "latest")).await;
        assert_eq!(manifest.status, 200);
        assert_eq!(sha256(&manifest.body), self.image.root);
        for layer in self.image.layers() {
            let drained = drain_sha256(&self.server.blob_url("r/app", &layer)).await;
            assert!(drained.complete, "{}", drained.status);
            assert_eq!(drained.digest, layer);
        }
        let config = self.image.config();
        let answer = get(&self.server.blob_url("r/app", &config)).await;
        assert_eq!(sha256(&answer.body), config);
    }

    /// Waits until so many uploads are done.
    async fn uploaded(&self, count: usize) {
        let line = format!("entrepot_uploads_total{{outcome=\"done\"}} {count}");
        let uploaded =
            async { while !self.server.metrics().await.lines().any(|has| has == line) {} };
        let in_time = tokio::time::timeout(std::time::Duration::from_mins(1), uploaded).await;
        assert!(
            in_time.is_ok(),
            "no {line}: {}",
            self.server.metrics().await
        );
    }

    /// As on a new machine: nothing is on the local disk.
    async fn lose_local_files(&mut self) {
        self.server.stop().await;
        std::fs::remove_dir_all(self.local()).expect("blobs are here");
        self.server.start_again().await;
    }

    fn local(&self) -> std::path::PathBuf {
        self.server.folder.path().join("data/blobs")
    }
}

fn local_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |path: std::path::PathBuf| match path.is_dir() {
        true => local_bytes(&path),
        false => path.metadata().map_or(0, |metadata| metadata.len()),
    };
    entries.map(|entry| size(entry.path())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_is_brought_into_the_bucket() {
    let scene = Scene::new().await;
    scene.assert_pulls().await;
    scene.uploaded(scene.contents()).await;
    let mut stored: Vec<String> = Vec::new();
    for (key, path) in scene.bucket().files() {
        assert!(key.starts_with("content/objects/"), "{key}");
        stored.push(sha256(&std::fs::read(path).expect("an object")));
    }
    stored.sort();
    let manifests = scene
        .image
        .manifests
        .iter()
        .map(|manifest| manifest.digest.clone());
    let mut expected: Vec<String> = manifests.chain(scene.image.blobs.keys().cloned()).collect();
    expected.sort();
    assert_eq!(stored, expected);
    assert_eq!(scene.bucket().unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_in_the_bucket_comes_from_there() {
    let mut scene = Scene::new().await;
    scene.assert_pulls().await;
    scene.uploaded(scene.contents()).await;
    scene.lose_local_files().await;
    scene.remote.stop().await;
    let layer = scene.image.layers().remove(1);
    let answer = head(&scene.server.blob_url("r/app", &layer)).await;
    assert_eq!(answer.header("content-length"), (18 * MIB).to_string());
    scene.assert_pulls().await;
    // And is on the local disk again.
    scene.server.settled().await;
    scene.line.set(Trouble::Refused);
    scene.assert_pulls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_share_one_download_from_the_bucket() {
    let mut scene = Scene::new().await;
    scene.assert_pulls().await;
    scene.uploaded(scene.contents()).await;
    scene.lose_local_files().await;
    scene.remote.forget_requests();
    let url = scene.server.blob_url("r/app", &scene.image.layers()[1]);
    let before = scene.line.bytes();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { drain_sha256(&url).await })
        })
        .collect();
    for client in clients {
        let drained = client.await.expect("a client ends");
        assert!(drained.complete && drained.digest == scene.image.layers()[1]);
    }
    let sent = scene.line.bytes() - before;
    assert!(sent < 19 * MIB as u64, "{sent}");
    assert_eq!(scene.remote.count(On::blob()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_bucket_that_is_away() {
    for trouble in [Trouble::Refused, Trouble::Silent] {
        let scene = Scene::new().await;
        scene.line.set(trouble);
        scene.assert_pulls().await;
        scene.server.settled().await;
        scene.assert_pulls().await;
        assert!(scene.bucket().files().is_empty());
        scene.line.repair();
        scene.uploaded(scene.contents()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_on_after_a_restart() {
    let mut scene = Scene::new().await;
    scene.line.set(Trouble::Refused);
    scene.assert_pulls().await;
    scene.server.settled().await;
    scene.server.stop().await;
    assert!(scene.bucket().files().is_empty());
    scene.line.repair();
    scene.server.start_again().await;
    scene.uploaded(scene.contents()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bucket_does_not_give_is_fetched_from_the_remote_or_is_unavailable() {
    let mut scene = Scene::new().await;
    scene.assert_pulls().await;
    scene.uploaded(scene.contents()).await;
    scene.lose_local_files().await;
    scene.line.set(Trouble::Refused);
    scene.remote.stop().await;
    for url in [
        scene.server.manifest_url("r/app", &scene.image.root),
        scene.server.blob_url("r/app", &scene.image.layers()[0]),
    ] {
        let answer = get(&url).await;
        assert_eq!(answer.status, 503, "{url}");
        assert_eq!(answer.error_code(), "UNAVAILABLE");
    }
    scene.remote.start_again().await;
    scene.assert_pulls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_never_is_a_complete_answer_and_is_replaced() {
    let mut scene = Scene::new().await;
    scene.assert_pulls().await;
    let contents = scene.contents();
    scene.uploaded(contents).await;
    scene.lose_local_files().await;
    for (_, path) in scene.bucket().files() {
        let mut bytes = std::fs::read(&path).expect("an object");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("an object");
    }
    for layer in scene.image.layers() {
        let drained = drain_sha256(&scene.server.blob_url("r/app", &layer)).await;
        assert!(!drained.complete || drained.status == 502);
    }
    let config = get(&scene.server.blob_url("r/app", &scene.image.config())).await;
    assert_eq!(config.status, 502);
    // Now from the remote, and from there to the bucket once more.
    scene.assert_pulls().await;
    scene.uploaded(contents).await;
    scene.lose_local_files().await;
    scene.remote.stop().await;
    scene.assert_pulls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_disk_keeps_its_budget_and_everything_still_pulls() {
    let scene = Scene::with(|setup| setup.section("local_max_bytes = \"2MiB\"")).await;
    scene.assert_pulls().await;
    scene.uploaded(scene.contents()).await;
    let kept = async {
        while local_bytes(&scene.local()) > 2 * MIB as u64 {
            // A fill of the large layer brings it over the budget again.
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), kept)
        .await
        .expect("the budget is kept in time");
    scene.remote.forget_requests();
    scene.assert_pulls().await;
    assert_eq!(scene.remote.count(On::blob()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_uploaded_yet_stays_on_the_local_disk() {
    let scene = Scene::with(|setup| setup.section("local_max_bytes = \"64KiB\"")).await;
    scene.line.set(Trouble::Refused);
    scene.assert_pulls().await;
    scene.server.settled().await;
    assert!(local_bytes(&scene.local()) > 64 * KIB as u64);
    scene.remote.stop().await;
    scene.assert_pulls().await;
}
