//! What is cached and what is missing; refresh, purge and pins: through the mirror in this process, as the API uses it.

mod entries;
mod purge;
mod refresh;

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
