//! What is cached and what is missing; refresh, purge and pins: through the mirror in this process, as the API uses it.

use std::sync::Arc;

use entrepot::{
    access::{Caller, ProjectSet, Projects},
    client::Remotes,
    config,
    meta::Meta,
    mirror::{
        Entry, EntryState, Mirror, MirrorError, Missing, MissingKind, Outcome, Parts, Repository,
    },
    oci::{Digest, Reference, Tag},
    store::Store,
    telemetry::Metrics,
    transfer::{self, Content, Fills, Limits, Space},
};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    fill::KIB,
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On, install_crypto},
    server::Setup,
};

/// A remote with `app:latest` of two platforms, and its mirror, without a server around it.
struct Scene {
    remote: FakeRegistry,
    mirror: Mirror,
    meta: Meta,
    store: Store,
    image: Image,
    tasks: TaskTracker,
    _folder: TempDir,
}

impl Scene {
    /// With these keys of the project, whose tags are fresh for an hour.
    async fn new(keys: &str) -> Self {
        install_crypto();
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(1)
            .layer(KIB)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        remote.put_image("app", "latest", &image);
        let folder = TempDir::new().expect("a folder");
        let setup = Setup::empty()
            .remote("r", remote.url(), "header_timeout = \"1s\"")
            .project("r", "r", keys)
            .freshness("tags = \"**\"\nttl = \"1h\"");
        let file = folder.path().join("entrepot.toml");
        std::fs::write(&file, setup.text()).expect("a file");
        let config = config::load(Some(&file), []).unwrap_or_else(|error| panic!("{error}"));
        let store = Store::open(&config.storage.path).await.expect("a store");
        let meta = Meta::open(&config.database).await.expect("a database");
        let remotes = Remotes::new(&config.remotes, &Metrics::default());
        let remotes = remotes.expect("no files to read");
        let tasks = TaskTracker::new();
        let space = Space::new(store.clone(), Limits::default());
        let fills = Fills::new(transfer::Parts {
            store: store.clone(),
            meta: meta.clone(),
            metrics: Metrics::default(),
            space,
            tier: None,
            cluster: None,
            shutdown: CancellationToken::new(),
            tasks: tasks.clone(),
        });
        let mirror = Mirror::new(Parts {
            projects: Projects::new(ProjectSet::new(config.projects, &config.remotes)),
            remotes,
            store: store.clone(),
            meta: meta.clone(),
            fills,
            offline: false,
            tasks: tasks.clone(),
        });
        Self {
            remote,
            mirror,
            meta,
            store,
            image,
            tasks,
            _folder: folder,
        }
    }

    fn repository(&self, name: &str) -> Repository {
        let name = format!("r/{name}").parse().expect("a name");
        self.mirror
            .resolve(&name, None, &Caller::Anonymous)
            .expect("it is public")
    }

    async fn pull(&self, name: &str, reference: &str) -> Result<(String, Outcome), MirrorError> {
        let reference: Reference = reference.parse().expect("a reference");
        let repository = self.repository(name);
        let answer = self.mirror.get_manifest(&repository, &reference).await?;
        Ok((answer.content.digest.to_string(), answer.outcome))
    }

    async fn pull_blob(&self, name: &str, digest: &str) {
        let repository = self.repository(name);
        let digest = digest.parse().expect("a digest");
        let answer = self.mirror.get_blob(&repository, &digest).await;
        let content: Content = answer.expect("the remote has it").content;
        content.body(None).collect().await.expect("the whole blob");
    }

    /// All of the manifests and blobs of an image that are the first platform's.
    async fn pull_first_platform(&self, name: &str, image: &Image) {
        let child = &image.manifests[0].digest;
        self.pull(name, child).await.expect("the remote has it");
        self.pull_blob(name, &image.config()).await;
        for layer in image.layers() {
            self.pull_blob(name, &layer).await;
        }
        self.settled().await;
    }

    async fn pull_all(&self, name: &str, tag: &str, image: &Image) {
        self.pull(name, tag).await.expect("the remote has it");
        for manifest in &image.manifests {
            self.pull(name, &manifest.digest)
                .await
                .expect("the remote has it");
        }
        for digest in image.blobs.keys() {
            self.pull_blob(name, digest).await;
        }
        self.settled().await;
    }

    /// Waits until fills have their rows.
    async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    async fn entry(&self, name: &str, reference: &str) -> Option<Entry> {
        let reference = reference.parse().expect("a reference");
        let repository = self.repository(name);
        let entry = self.mirror.entry(&repository, &reference);
        entry.await.expect("rows can be read")
    }

    async fn refresh(&self, name: &str, tag: &str) -> Result<Entry, MirrorError> {
        let tag: Tag = tag.parse().expect("a tag");
        self.mirror.refresh(&self.repository(name), &tag).await
    }

    async fn purge(&self, name: &str, reference: &str) -> bool {
        let reference = reference.parse().expect("a reference");
        let repository = self.repository(name);
        let purged = self.mirror.purge(&repository, &reference);
        purged.await.expect("rows and files can be deleted")
    }

    async fn is_stored(&self, digest: &str) -> bool {
        let digest: Digest = digest.parse().expect("a digest");
        let blob = self.store.get(&digest).await.expect("a store");
        blob.is_some()
    }
}

fn digests(missing: &[Missing], kind: MissingKind) -> Vec<String> {
    let of_kind = missing.iter().filter(|part| part.kind == kind);
    let mut digests: Vec<_> = of_kind.map(|part| part.digest.to_string()).collect();
    digests.sort();
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_which_one_platform_was_pulled_is_incomplete() {
    let scene = Scene::new("").await;
    assert!(scene.entry("app", "latest").await.is_none());
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    let children = scene.image.children();
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    assert_eq!(entry.digest.to_string(), scene.image.root);
    assert_eq!(
        entry.size_bytes,
        scene.image.root_manifest().bytes.len() as u64
    );
    let mut expected = children.clone();
    expected.sort();
    assert_eq!(digests(&entry.missing, MissingKind::Manifest), expected);
    let mut platforms: Vec<_> = entry
        .missing
        .iter()
        .map(|part| part.platform.clone())
        .collect();
    platforms.sort();
    let wanted = ["linux/amd64", "linux/arm64"].map(|platform| Some(platform.to_owned()));
    assert_eq!(platforms, wanted);
    assert!(entry.missing.iter().all(|part| part.size_bytes.is_some()));

    let first = &scene.image.manifests[0];
    scene
        .pull("app", &first.digest)
        .await
        .expect("the remote has it");
    let entry = scene
        .entry("app", &first.digest)
        .await
        .expect("it was pulled");
    let mut blobs = scene.image.layers();
    blobs.push(scene.image.config());
    blobs.sort();
    assert!(!entry.complete);
    assert_eq!(digests(&entry.missing, MissingKind::Blob), blobs);
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    let of_first = |part: &&Missing| part.kind == MissingKind::Blob;
    for part in entry.missing.iter().filter(of_first) {
        assert_eq!(part.platform.as_deref(), Some("linux/amd64"));
    }

    scene.pull_first_platform("app", &scene.image).await;
    let entry = scene
        .entry("app", &first.digest)
        .await
        .expect("it was pulled");
    assert!(entry.complete && entry.missing.is_empty());
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    assert!(!entry.complete);
    let missing = digests(&entry.missing, MissingKind::Manifest);
    assert_eq!(
        (missing, entry.missing.len()),
        (vec![children[1].clone()], 1)
    );
    assert_eq!(entry.missing[0].platform.as_deref(), Some("linux/arm64"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_image_says_its_size_its_times_and_that_it_is_complete() {
    let scene = Scene::new("").await;
    scene.pull_all("app", "latest", &scene.image).await;
    scene.meta.flush_uses().await.expect("rows can be written");
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    let manifests = scene.image.manifests.iter();
    let manifests: u64 = manifests.map(|manifest| manifest.bytes.len() as u64).sum();
    assert_eq!(entry.size_bytes, manifests + scene.image.blob_bytes());
    assert!(entry.complete && entry.missing.is_empty() && !entry.pinned);
    assert_eq!(entry.state, EntryState::Fresh);
    assert!(entry.filled_at.is_some() && entry.checked_at.is_some());
    assert!(entry.used_at >= entry.filled_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_is_a_use_and_a_head_is_none() {
    let scene = Scene::new("").await;
    scene.pull_all("app", "latest", &scene.image).await;
    let repository = scene.repository("app");
    let used_at = async || {
        scene.meta.flush_uses().await.expect("rows can be written");
        let entry = scene.entry("app", "latest").await;
        entry.and_then(|entry| entry.used_at).expect("it was used")
    };
    let first = used_at().await;
    // Times are kept to the millisecond.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let latest: Reference = "latest".parse().expect("a tag");
    let layer: Digest = scene.image.layers()[0].parse().expect("a digest");
    let mirror = &scene.mirror;
    let head = mirror.head_manifest(&repository, &latest).await;
    let head_blob = mirror.head_blob(&repository, &layer).await;
    assert!(head.is_ok() && head_blob.is_ok());
    assert_eq!(used_at().await, first);
    scene.pull_blob("app", &layer.to_string()).await;
    let second = used_at().await;
    assert!(second > first);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    scene.pull("app", "latest").await.expect("it is here");
    assert!(used_at().await > second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tags_is_parsed_once() {
    let scene = Scene::new("").await;
    let repository = scene.repository("app");
    let list = async || {
        scene
            .mirror
            .list_tags(&repository)
            .await
            .expect("the remote has it")
    };
    let (first, second) = (list().await, list().await);
    assert_eq!(second.outcome, Outcome::Hit);
    assert!(Arc::ptr_eq(&first.content, &second.content));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_layers_are_not_missed() {
    let scene = Scene::new("").await;
    let image = ImageBuilder::new(5)
        .layer(KIB)
        .foreign_layer("http://elsewhere.example/layer", 9)
        .build();
    scene.remote.put_image("windows", "1", &image);
    scene.pull("windows", "1").await.expect("the remote has it");
    for digest in image.blobs.keys() {
        scene.pull_blob("windows", digest).await;
    }
    scene.settled().await;
    let entry = scene.entry("windows", "1").await.expect("it was pulled");
    assert!(entry.complete, "{:?}", entry.missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_page_by_page_by_name_and_tag() {
    let scene = Scene::new("").await;
    let mut expected = Vec::new();
    for name in ["a", "a-b", "a/x", "b"] {
        for tag in ["1", "2", "B", "a"] {
            scene.remote.put_image(name, tag, &scene.image);
            scene.pull(name, tag).await.expect("the remote has it");
            expected.push((format!("r/{name}"), tag.to_owned()));
        }
    }
    // Of this one no tag is here.
    scene.remote.put_image("a-a", "1", &scene.image);
    scene
        .pull("a-a", &scene.image.root)
        .await
        .expect("the remote has it");
    for limit in [1, 3, 4, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let projects = ["r".to_owned(), "none".to_owned()];
            let page = scene.mirror.entries(&projects, after.clone(), limit).await;
            let page = page.expect("rows can be read");
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            let Reference::Tag(tag) = last.reference.clone() else {
                panic!("entries are tags");
            };
            after = Some((last.name.clone(), tag));
            seen.extend(page.iter().map(|entry| {
                assert_eq!(entry.digest.to_string(), scene.image.root);
                (entry.name.to_string(), entry.reference.to_string())
            }));
        }
        assert_eq!(seen, expected, "{limit}");
    }
    let none = scene.mirror.entries(&["x".to_owned()], None, 10).await;
    assert!(none.expect("rows can be read").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_asks_now_and_brings_what_is_new() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    let moved = ImageBuilder::new(2).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    let (digest, outcome) = scene.pull("app", "latest").await.expect("it is here");
    assert_eq!((digest, outcome), (scene.image.root.clone(), Outcome::Hit));
    let entry = scene
        .refresh("app", "latest")
        .await
        .expect("the remote has it");
    assert_eq!(entry.digest.to_string(), moved.root);
    assert_eq!(entry.state, EntryState::Fresh);
    scene.remote.forget_requests();
    let (digest, outcome) = scene.pull("app", "latest").await.expect("it is here");
    assert_eq!((digest, outcome), (moved.root.clone(), Outcome::Hit));
    assert_eq!(scene.remote.count(On::any()), 0);
    // Unchanged: one HEAD.
    scene
        .refresh("app", "latest")
        .await
        .expect("the remote has it");
    assert_eq!(scene.remote.count(On::manifest().head()), 1);
    assert_eq!(scene.remote.count(On::manifest().get()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_forgets_that_a_tag_was_not_there() {
    let scene = Scene::new("negative_ttl = \"1h\"").await;
    assert!(matches!(
        scene.pull("app", "new").await,
        Err(MirrorError::NotFound(_))
    ));
    scene.remote.tag("app", "new", &scene.image.root);
    assert!(matches!(
        scene.pull("app", "new").await,
        Err(MirrorError::NotFound(_))
    ));
    let entry = scene
        .refresh("app", "new")
        .await
        .expect("the remote has it");
    assert_eq!(entry.digest.to_string(), scene.image.root);
    scene.pull("app", "new").await.expect("it is here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_does_not_join_a_question_from_before_it() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.purge("app", "latest").await;
    scene.remote.forget_requests();
    let hold = scene.remote.hold(On::manifest());
    let (mirror, repository) = (scene.mirror.clone(), scene.repository("app"));
    let latest: Reference = "latest".parse().expect("a tag");
    let before = tokio::spawn(async move { mirror.get_manifest(&repository, &latest).await });
    hold.reached(1).await;
    let moved = ImageBuilder::new(2).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    let refresh = scene.refresh("app", "latest");
    let release = async {
        hold.reached(2).await;
        hold.release();
    };
    let (entry, ()) = tokio::join!(refresh, release);
    before.await.expect("no panic").expect("the remote has it");
    let entry = entry.expect("the remote has it");
    assert_eq!(entry.digest.to_string(), moved.root);
    assert_eq!(
        scene.remote.count(On::manifest().get().reference("latest")),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_of_a_deleted_tag_forgets_it_unless_it_is_kept() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.remote.delete_tag("app", "latest");
    let refreshed = scene.refresh("app", "latest").await;
    assert!(
        matches!(refreshed, Err(MirrorError::NotFound(_))),
        "{refreshed:?}"
    );
    assert!(scene.entry("app", "latest").await.is_none());
    assert!(scene.entry("app", &scene.image.root).await.is_some());

    let scene = Scene::new("keep_deleted = true").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.remote.delete_tag("app", "latest");
    let entry = scene.refresh("app", "latest").await.expect("it is kept");
    assert_eq!(entry.state, EntryState::Stale);
    let (_, outcome) = scene.pull("app", "latest").await.expect("it is kept");
    assert_eq!(outcome, Outcome::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_refused_keeps_the_tag_and_withholds_it() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene
        .remote
        .fault_always(On::manifest(), Fault::status(403));
    let refused = |answer: &Result<_, _>| matches!(answer, Err(MirrorError::Refused(_)));
    assert!(refused(&scene.refresh("app", "latest").await.map(drop)));
    assert!(refused(&scene.pull("app", "latest").await.map(drop)));
    let entry = scene.entry("app", "latest").await.expect("it is kept");
    assert_eq!(entry.state, EntryState::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_in_an_outage_leaves_all_as_it_was() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.remote.stop().await;
    assert!(scene.refresh("app", "latest").await.is_err());
    assert!(scene.refresh("app", "none").await.is_err());
    let entry = scene.entry("app", "latest").await.expect("it is here");
    assert_eq!(entry.state, EntryState::Fresh);
    scene.pull("app", "latest").await.expect("it is here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_tag_takes_its_image_along_unless_something_else_wants_it() {
    let scene = Scene::new("").await;
    let root = scene.image.root.clone();
    for tag in ["latest", "1", "2"] {
        scene.remote.tag("app", tag, &root);
        scene.pull_all("app", tag, &scene.image).await;
    }
    assert!(!scene.purge("app", "none").await);
    assert!(scene.purge("app", "latest").await);
    assert!(scene.entry("app", "latest").await.is_none());
    assert!(scene.entry("app", &root).await.expect("it stays").complete);
    let reference: Reference = root.parse().expect("a digest");
    let repository = scene.repository("app");
    scene
        .mirror
        .pin(&repository, &reference)
        .await
        .expect("a row");
    assert!(scene.purge("app", "1").await && scene.purge("app", "2").await);
    assert!(
        scene
            .entry("app", &root)
            .await
            .expect("it is pinned")
            .pinned
    );
    assert!(
        scene
            .mirror
            .unpin(&repository, &reference)
            .await
            .expect("a row")
    );

    scene.pull("app", "1").await.expect("the remote has it");
    assert!(scene.purge("app", "1").await);
    assert!(scene.entry("app", &root).await.is_none());
    for digest in scene.image.blobs.keys().chain([&root]) {
        assert!(!scene.is_stored(digest).await, "{digest}");
    }
    scene.remote.forget_requests();
    let (_, outcome) = scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    assert_eq!(outcome, Outcome::Miss);
    assert_eq!(scene.remote.count(On::manifest().get()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_digest_takes_all_tags_and_leaves_shared_layers() {
    let scene = Scene::new("").await;
    let [one, two] = [11, 12].map(|seed| {
        ImageBuilder::new(seed)
            .layer(KIB)
            .shared_layer(99, KIB)
            .build()
    });
    for (tag, image) in [("1", &one), ("one", &one), ("2", &two)] {
        scene.remote.put_image("app", tag, image);
        scene.pull_all("app", tag, image).await;
    }
    assert!(scene.purge("app", &one.root).await);
    assert!(!scene.purge("app", &one.root).await);
    for tag in ["1", "one"] {
        assert!(scene.entry("app", tag).await.is_none());
    }
    assert!(scene.entry("app", "2").await.expect("it stays").complete);
    for (digest, stays) in [(&one.layers()[0], false), (&one.layers()[1], true)] {
        assert_eq!(scene.is_stored(digest).await, stays);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_there_until_it_is_taken_away_and_may_come_first() {
    let scene = Scene::new("").await;
    let repository = scene.repository("app");
    let [tag, digest] = ["latest", scene.image.root.as_str()]
        .map(|reference| reference.parse::<Reference>().expect("a reference"));
    let mirror = &scene.mirror;
    for _ in 0..2 {
        mirror.pin(&repository, &tag).await.expect("a row");
    }
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    for reference in ["latest", scene.image.root.as_str()] {
        assert!(
            scene
                .entry("app", reference)
                .await
                .expect("it is here")
                .pinned
        );
    }
    assert!(mirror.unpin(&repository, &tag).await.expect("a row"));
    assert!(!mirror.unpin(&repository, &tag).await.expect("a row"));
    assert!(
        !scene
            .entry("app", "latest")
            .await
            .expect("it is here")
            .pinned
    );
    mirror.pin(&repository, &digest).await.expect("a row");
    assert!(
        scene
            .entry("app", "latest")
            .await
            .expect("it is here")
            .pinned
    );
}
