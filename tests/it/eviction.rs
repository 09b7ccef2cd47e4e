//! Budgets: whole images go, the least recently used first, and what stays is whole.

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    fill::{MIB, until_hit},
    harness::{FakeRegistry, Image, ImageBuilder, On, get, random_bytes},
    server::{Setup, TestServer},
    small_disk::{blob_file, until},
};

struct Scene {
    remote: FakeRegistry,
    server: TestServer,
}

impl Scene {
    async fn new(storage: &str, project: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let setup = Setup::empty()
            .section(storage)
            .mirror("r", &remote, project);
        let server = setup.start().await;
        Self { remote, server }
    }

    /// Pulls an image whole, and waits until all of it is in the store.
    async fn pull(&self, tag: &str, image: &Image) {
        let manifest = get(&self.server.manifest_url("r/app", tag)).await;
        assert_eq!(manifest.status, 200);
        for child in image.children() {
            get(&self.server.manifest_url("r/app", &child)).await;
        }
        for digest in image.blobs.keys() {
            let url = self.server.blob_url("r/app", digest);
            assert!(get(&url).await.complete);
            until_hit(&url).await;
        }
    }

    fn is_stored(&self, digest: &str) -> bool {
        blob_file(&self.server.folder.path().join("data"), digest).exists()
    }

    fn is_whole(&self, image: &Image) -> bool {
        let manifests = image.manifests.iter().map(|manifest| &manifest.digest);
        manifests
            .chain(image.blobs.keys())
            .all(|digest| self.is_stored(digest))
    }

    async fn until_gone(&self, digest: &str) {
        until("an image is evicted", || !self.is_stored(digest)).await;
    }

    /// Everything of an image is answered from here.
    async fn assert_served(&self, tag: &str, image: &Image) {
        assert_eq!(
            get(&self.server.manifest_url("r/app", tag)).await.status,
            200,
            "{tag}"
        );
        for digest in image.blobs.keys() {
            let answer = get(&self.server.blob_url("r/app", digest)).await;
            assert!(answer.body == image.blob(digest));
            assert_eq!(answer.header("x-cache"), "hit");
        }
    }

    async fn database(&self) -> SqliteConnection {
        let file = self.server.folder.path().join("data/entrepot.db");
        let options = SqliteConnectOptions::new().filename(file);
        options.connect().await.expect("a database")
    }

    async fn run(&self, sql: &'static str) {
        let mut database = self.database().await;
        sqlx::raw_sql(sql)
            .execute(&mut database)
            .await
            .expect("a statement");
    }
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(MIB).build()
}

/// Room for two images of one layer and a bit.
const BUDGET: &str = "max_bytes = \"2500KiB\"";
/// The same; an image that was evicted while it was pulled leaves blobs that nothing names.
const NO_GRACE: &str = "max_bytes = \"2500KiB\"\n[upkeep]\norphan_grace = \"0s\"";

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_image_goes_and_the_others_stay_whole() {
    for (storage, project) in [(BUDGET, ""), ("", BUDGET)] {
        let mut scene = Scene::new(storage, project).await;
        let images = [image(1), image(2), image(3)];
        for (image, tag) in images.iter().zip(["v1", "v2", "v3"]) {
            scene.remote.put_image("app", tag, image);
        }
        scene.pull("v1", &images[0]).await;
        scene.pull("v2", &images[1]).await;
        // Used again: now the second one is the least recently used.
        get(&scene.server.manifest_url("r/app", "v1")).await;
        scene.pull("v3", &images[2]).await;
        scene.until_gone(&images[1].layers()[0]).await;
        scene.until_gone(&images[1].root).await;
        scene.until_gone(&images[1].config()).await;
        assert!(scene.is_whole(&images[0]) && scene.is_whole(&images[2]));
        // Also after a restart, and without the remote.
        scene.server.stop().await;
        scene.remote.stop().await;
        scene.server.start_again().await;
        scene.assert_served("v1", &images[0]).await;
        scene.assert_served("v3", &images[2]).await;
        let gone = get(&scene.server.manifest_url("r/app", "v2")).await;
        assert!(gone.status >= 500, "{}", gone.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_evicted_is_pulled_again() {
    let scene = Scene::new("max_bytes = \"1500KiB\"", "").await;
    let images = [image(1), image(2)];
    for (image, tag) in images.iter().zip(["v1", "v2"]) {
        scene.remote.put_image("app", tag, image);
    }
    for _ in 0..3 {
        scene.pull("v1", &images[0]).await;
        scene.until_gone(&images[1].layers()[0]).await;
        scene.pull("v2", &images[1]).await;
        scene.until_gone(&images[0].layers()[0]).await;
    }
    scene.assert_served("v2", &images[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_another_image_shares_stay() {
    let scene = Scene::new("max_bytes = \"3500KiB\"", "").await;
    let shared = |seed| {
        ImageBuilder::new(seed)
            .shared_layer(99, MIB)
            .layer(MIB)
            .build()
    };
    let images = [shared(1), shared(2), image(3)];
    for (image, tag) in images.iter().zip(["v1", "v2", "v3"]) {
        scene.remote.put_image("app", tag, image);
        scene.pull(tag, image).await;
    }
    scene.until_gone(&images[0].layers()[1]).await;
    assert!(scene.is_whole(&images[1]) && scene.is_whole(&images[2]));
    scene.assert_served("v2", &images[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_goes_with_its_children() {
    let scene = Scene::new("max_bytes = \"2500KiB\"", "").await;
    let index = ImageBuilder::new(1)
        .platforms(&["linux/amd64", "linux/arm64"])
        .layer(MIB)
        .build();
    scene.remote.put_image("app", "index", &index);
    scene.remote.put_image("app", "v2", &image(2));
    scene.pull("index", &index).await;
    scene.pull("v2", &image(2)).await;
    for manifest in &index.manifests {
        scene.until_gone(&manifest.digest).await;
    }
    for digest in index.blobs.keys() {
        scene.until_gone(digest).await;
    }
    assert!(scene.is_whole(&image(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_and_seeded_images_stay() {
    let scene = Scene::new(NO_GRACE, "").await;
    let images = [image(1), image(2), image(3)];
    for (image, tag) in images.iter().zip(["v1", "v2", "v3"]) {
        scene.remote.put_image("app", tag, image);
    }
    scene.pull("v1", &images[0]).await;
    scene.pull("v2", &images[1]).await;
    scene
        .run("INSERT INTO pin SELECT id, 'v1', 0 FROM repository")
        .await;
    scene
        .run("UPDATE manifest SET seeded = TRUE WHERE digest = (SELECT digest FROM tag WHERE name = 'v2')")
        .await;
    scene.pull("v3", &images[2]).await;
    // It came last, and is all that may go.
    scene.until_gone(&images[2].layers()[0]).await;
    assert!(scene.is_whole(&images[0]) && scene.is_whole(&images[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nothing_more_may_go_what_does_not_fit_is_passed_on() {
    let scene = Scene::new(BUDGET, "").await;
    // Nothing names these, so they have their grace.
    let passed = async {
        for seed in 100.. {
            let digest = scene.remote.put_blob("app", random_bytes(seed, MIB));
            let answer = get(&scene.server.blob_url("r/app", &digest)).await;
            assert!(answer.complete);
            if answer.header("x-cache") == "bypass" {
                break;
            }
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(30), passed).await;
    in_time.expect("what does not fit is passed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_names_goes_first_and_after_its_grace() {
    let scene = Scene::new(NO_GRACE, "").await;
    let loose = scene.remote.put_blob("app", random_bytes(9, MIB));
    let images = [image(1), image(2)];
    scene.remote.put_image("app", "v1", &images[0]);
    scene.remote.put_image("app", "v2", &images[1]);
    scene.pull("v1", &images[0]).await;
    until_hit(&scene.server.blob_url("r/app", &loose)).await;
    scene.pull("v2", &images[1]).await;
    scene.until_gone(&loose).await;
    assert!(scene.is_whole(&images[0]) && scene.is_whole(&images[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_waits_for_a_blob_is_not_evicted() {
    let scene = Scene::new(BUDGET, "").await;
    let slow = ImageBuilder::new(1).layer(MIB).layer(MIB / 2).build();
    let images = [image(2), image(3)];
    scene.remote.put_image("app", "slow", &slow);
    for (image, tag) in images.iter().zip(["v2", "v3"]) {
        scene.remote.put_image("app", tag, image);
    }
    get(&scene.server.manifest_url("r/app", "slow")).await;
    let layers = slow.layers();
    until_hit(&scene.server.blob_url("r/app", &layers[0])).await;
    let waited_for = scene.server.blob_url("r/app", &layers[1]);
    let hold = scene.remote.hold(On::blob().reference(&layers[1]));
    let client = tokio::spawn(async move { get(&waited_for).await });
    hold.reached(1).await;
    // More than the budget, and the slow one is the oldest.
    scene.pull("v2", &images[0]).await;
    scene.pull("v3", &images[1]).await;
    scene.until_gone(&images[0].layers()[0]).await;
    assert!(scene.is_stored(&slow.root) && scene.is_stored(&layers[0]));
    hold.release();
    assert!(client.await.expect("a client ends").complete);
}
