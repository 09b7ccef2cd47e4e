//! A registry that content is sent to, with what is known to be there; or our own repositories.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use moka::sync::Cache;
use tokio::sync::Mutex;

use super::{Home, SendError, SourceManifest};
use crate::{
    client::{ClientError, ErrorKind, Made, ManifestTaken, Patience, RegistryClient},
    oci::{Digest, Name, Reference, Tag, TagState},
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
    /// It has said that it keeps the lists of referrers itself.
    lists_referrers: AtomicBool,
    /// Projects that are there.
    projects: Cache<String, ()>,
    /// Whoever asks for a project; the others wait, and find it.
    asking: Mutex<()>,
}

/// What is under a tag somewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// `None`: nothing.
    pub digest: Option<Digest>,
    /// The same with the write that it is of, also of a tag that was deleted. `None`: nobody keeps that there.
    pub state: Option<TagState>,
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

impl Found {
    /// Asks a registry.
    pub async fn at(client: &RegistryClient, name: &Name, tag: &Tag) -> Result<Self, ClientError> {
        let head = match client.tag_head(name, tag).await {
            Ok(head) => head,
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Ok(Self {
                    digest: None,
                    state: error.tag_state.map(|state| *state),
                });
            }
            Err(error) => return Err(error),
        };
        let digest = match (&head.tag_state, head.digest) {
            (Some(state), _) => Some(state.digest.clone()).filter(|_| !state.is_deleted),
            (None, Some(digest)) => Some(digest),
            (None, None) => {
                let reference = Reference::Tag(tag.clone());
                match client.manifest_get(name, &reference, Patience::Full).await {
                    Ok(manifest) => Some(manifest.digest),
                    Err(error) if error.kind == ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(Self {
            digest,
            state: head.tag_state,
        })
    }
}

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
            lists_referrers: AtomicBool::new(false),
            projects: Cache::builder()
                .max_capacity(MAX_PROJECTS)
                .time_to_live(BELIEVED_FOR)
                .build(),
            asking: Mutex::default(),
        }))
    }

    /// Makes the project that a repository needs there, if it is missing. What is there is remembered for a while.
    pub async fn make_project(&self, name: &Name) -> Result<Made, SendError> {
        let client = match self.place() {
            Place::Remote(client) => client,
            Place::Home(home) => {
                home.make_project(name).await?;
                return Ok(Made::There);
            }
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
        let made = client.project_make(name).await?;
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
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => return Ok(self.tag(name, tag).await?.digest),
        };
        let client = match self.place() {
            Place::Remote(client) => client,
            Place::Home(home) => return Ok(home.digest(name, reference).await?),
        };
        match client.manifest_head(name, reference, Patience::Full).await {
            Ok(_) => Ok(Some(digest.clone())),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is there under a tag, and since which write.
    pub async fn tag(&self, name: &Name, tag: &Tag) -> Result<Found, SendError> {
        let reference = Reference::Tag(tag.clone());
        match self.place() {
            Place::Remote(client) => Ok(Found::at(client, name, tag).await?),
            Place::Home(home) => Ok(Found {
                digest: home.digest(name, &reference).await?,
                state: home.tag_state(name, tag).await?,
            }),
        }
    }

    /// Does it know of each tag which write it is of?
    pub fn keeps_versions(&self) -> bool {
        match self.place() {
            Place::Remote(client) => client.keeps_versions(),
            Place::Home(_) => true,
        }
    }

    /// `state`: the write that is replicated by this; `None`: none that is known.
    pub(super) async fn put(
        &self,
        name: &Name,
        reference: &Reference,
        manifest: &SourceManifest,
        state: Option<&TagState>,
    ) -> Result<ManifestTaken, SendError> {
        match self.place() {
            Place::Remote(client) => {
                let manifest = (manifest.media_type.as_str(), manifest.bytes.clone());
                let taken = client
                    .manifest_put(name, reference, manifest, state)
                    .await?;
                self.0
                    .lists_referrers
                    .fetch_or(taken.lists_referrers, Relaxed);
                Ok(taken)
            }
            Place::Home(home) => {
                let version = state.map(|state| state.version);
                let taken = home.take_manifest(name, reference, manifest.clone(), version);
                Ok(ManifestTaken {
                    digest: Some(manifest.digest.clone()),
                    lists_referrers: true,
                    tag_state: taken.await?,
                })
            }
        }
    }

    /// Deletes a tag alone. Registries that cannot do that say so by 400 or 405. A tag that is not there is deleted.
    /// `state`: the delete that is replicated by this. `Some`: the tag stays, because this is newer.
    pub async fn tag_delete(
        &self,
        name: &Name,
        tag: &Tag,
        state: Option<&TagState>,
    ) -> Result<Option<TagState>, SendError> {
        match self.place() {
            Place::Remote(client) => Ok(client.tag_delete(name, tag, state).await?),
            Place::Home(home) => Ok(home.delete_tag(name, tag, state).await?),
        }
    }

    pub(super) fn places(&self, digest: &Digest) -> Arc<Mutex<Places>> {
        self.0.blobs.get_with_by_ref(digest, Arc::default)
    }

    /// Believes nothing of this blob any more.
    pub(super) fn forget(&self, digest: &Digest) {
        self.0.blobs.invalidate(digest);
    }

    /// The remote whose lists of referrers are made by those who push, as far as is known.
    pub(super) fn without_lists(&self) -> Option<&RegistryClient> {
        let keeps_them = self.0.lists_referrers.load(Relaxed);
        self.client().filter(|_| !keeps_them)
    }

    /// The largest body to send, if one is known.
    pub(super) fn piece_bytes(&self) -> Option<u64> {
        Some(self.0.piece_bytes.load(Relaxed)).filter(|bytes| *bytes > 0)
    }

    pub(super) fn takes_pieces_of(&self, bytes: u64) {
        self.0.piece_bytes.store(bytes, Relaxed);
    }
}
