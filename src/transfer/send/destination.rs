//! A registry that content is sent to, with what is known to be there; or our own repositories.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use moka::sync::Cache;
use tokio::sync::Mutex;

use super::{Home, SendError, SourceManifest};
use crate::{
    client::{ErrorKind, Made, ManifestTaken, Patience, RegistryClient},
    oci::{Digest, Name, Reference, Tag},
};

const MAX_BLOBS: u64 = 100_000;
const MAX_PROJECTS: u64 = 10_000;
/// What was there may be cleaned up by the destination.
const BELIEVED_FOR: Duration = Duration::from_mins(10);

/// One registry to send to; clones are one. It is kept as long as things are sent there: it remembers which blobs are in
/// which repositories, so that a blob that several images share is sent once, and mounted into the other repositories.
#[derive(Clone)]
pub struct Destination(Arc<Inner>);

struct Inner {
    place: Place,
    blobs: Cache<Digest, Arc<Mutex<Places>>>,
    /// Largest body that it took when it refused larger ones; 0: it refused none.
    piece_bytes: AtomicU64,
    /// Projects that are there.
    projects: Cache<String, ()>,
    /// Whoever asks for a project; the others wait, and find it.
    asking: Mutex<()>,
}

/// Where content goes.
pub(super) enum Place {
    Remote(RegistryClient),
    Home(Arc<dyn Home>),
}

/// The repositories that have a blob. Whoever sends it holds the lock: those who want it in another repository wait, and
/// mount it then.
#[derive(Debug, Default)]
pub(super) struct Places(pub(super) Vec<Name>);

impl Destination {
    pub fn new(client: &RegistryClient) -> Self {
        Self::at(Place::Remote(client.pushing()))
    }

    /// Our own repositories.
    pub fn home(home: Arc<dyn Home>) -> Self {
        Self::at(Place::Home(home))
    }

    fn at(place: Place) -> Self {
        Self(Arc::new(Inner {
            place,
            blobs: Cache::builder()
                .max_capacity(MAX_BLOBS)
                .time_to_live(BELIEVED_FOR)
                .build(),
            piece_bytes: AtomicU64::new(0),
            projects: Cache::builder()
                .max_capacity(MAX_PROJECTS)
                .time_to_live(BELIEVED_FOR)
                .build(),
            asking: Mutex::default(),
        }))
    }

    /// Makes the project that a repository needs there, if it is missing. What is there is remembered for a while. Our own
    /// are made with what is taken in.
    pub async fn make_project(&self, name: &Name) -> Result<Made, SendError> {
        let Place::Remote(client) = self.place() else {
            return Ok(Made::There);
        };
        let Some(project) = client.project_needed(name) else {
            return Ok(Made::There);
        };
        let projects = &self.0.projects;
        if projects.contains_key(project) {
            return Ok(Made::There);
        }
        let _asking = self.0.asking.lock().await;
        if projects.contains_key(project) {
            return Ok(Made::There);
        }
        let made = client.project_make(project).await?;
        if made == Made::There {
            projects.insert(project.to_owned(), ());
        }
        Ok(made)
    }

    /// Believes no more that the project of this repository is there.
    pub fn forget_project(&self, name: &Name) {
        if let Some(project) = self.client().and_then(|client| client.project_needed(name)) {
            self.0.projects.invalidate(project);
        }
    }

    /// Asks with the rights to push. `None`: it is no remote.
    pub fn client(&self) -> Option<&RegistryClient> {
        match &self.0.place {
            Place::Remote(client) => Some(client),
            Place::Home(_) => None,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.0.place
    }

    /// The manifest that is there under a reference.
    pub async fn digest(
        &self,
        name: &Name,
        reference: &Reference,
    ) -> Result<Option<Digest>, SendError> {
        let client = match self.place() {
            Place::Remote(client) => client,
            Place::Home(home) => return Ok(home.digest(name, reference).await?),
        };
        let head = match client.manifest_head(name, reference, Patience::Full).await {
            Ok(head) => head,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Reference::Digest(digest) = reference {
            return Ok(Some(digest.clone()));
        }
        match head.digest {
            Some(digest) => Ok(Some(digest)),
            None => match client.manifest_get(name, reference, Patience::Full).await {
                Ok(manifest) => Ok(Some(manifest.digest)),
                Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    pub(super) async fn put(
        &self,
        name: &Name,
        reference: &Reference,
        manifest: &SourceManifest,
    ) -> Result<ManifestTaken, SendError> {
        match self.place() {
            Place::Remote(client) => {
                let (media_type, bytes) = (&manifest.media_type, manifest.bytes.clone());
                let taken = client.manifest_put(name, reference, media_type, bytes);
                Ok(taken.await?)
            }
            Place::Home(home) => {
                home.take_manifest(name, reference, manifest.clone())
                    .await?;
                Ok(ManifestTaken {
                    digest: Some(manifest.digest.clone()),
                    lists_referrers: true,
                })
            }
        }
    }

    /// Deletes a tag alone. Registries that cannot do that say so by 400 or 405. A tag that is not there is deleted.
    pub async fn tag_delete(&self, name: &Name, tag: &Tag) -> Result<(), SendError> {
        match self.place() {
            Place::Remote(client) => Ok(client.tag_delete(name, tag).await?),
            Place::Home(home) => Ok(home.delete_tag(name, tag).await?),
        }
    }

    pub(super) fn places(&self, digest: &Digest) -> Arc<Mutex<Places>> {
        self.0.blobs.get_with_by_ref(digest, Arc::default)
    }

    /// Believes nothing of this blob any more.
    pub(super) fn forget(&self, digest: &Digest) {
        self.0.blobs.invalidate(digest);
    }

    /// The largest body to send, if one is known.
    pub(super) fn piece_bytes(&self) -> Option<u64> {
        Some(self.0.piece_bytes.load(Relaxed)).filter(|bytes| *bytes > 0)
    }

    pub(super) fn takes_pieces_of(&self, bytes: u64) {
        self.0.piece_bytes.store(bytes, Relaxed);
    }
}
