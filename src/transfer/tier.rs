//! Object storage behind the local store: what is there, and how content gets there.
//!
//! ```text
//! fill ──► local file, rows ──► clients
//!               └── upload, later ──► object, named by the blob's row; from then on the local file may go
//! object ──► fill ──► local file again
//! ```
//!
//! Nothing waits for an upload: rows without an object are the queue (`upkeep/upload.rs`).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use moka::future::Cache;
use tokio::sync::{Notify, Semaphore, watch};
use uuid::Uuid;

use super::way::lease_key;
use crate::{
    cluster::{Claim, Cluster},
    meta::{BlobObject, Meta, MetaError},
    oci::{Digest, Manifest},
    store::{Blob, ObjectError, ObjectId, Objects, Store, StoreError, object::ObjectBody},
    telemetry::Metrics,
};

/// How long an upload is left alone when nothing is heard of it.
const LEASE: Duration = Duration::from_mins(15);

/// Manifests that are read from object storage at the same time, at most; more wait.
const READS: usize = 16;

/// Objects that were found missing or wrong, and for how long that is remembered.
const SUSPECTS: u64 = 10_000;
const SUSPECTS_KEPT_FOR: Duration = Duration::from_hours(1);

/// Cheap to clone.
#[derive(Clone)]
pub struct Tier {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Objects,
    store: Store,
    meta: Meta,
    metrics: Metrics,
    arrivals: Notify,
    /// Bytes of local files: what was counted once, and what came since. Never less than the truth for long.
    local_bytes: watch::Sender<u64>,
    suspects: Cache<Digest, ()>,
    reads: Semaphore,
    cluster: Option<Cluster>,
}

/// What a [`Tier`] is made of.
pub struct TierParts {
    pub objects: Objects,
    pub store: Store,
    pub meta: Meta,
    pub metrics: Metrics,
    /// The other replicas, if there are any.
    pub cluster: Option<Cluster>,
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// The blob's row names the object.
    Done { bytes: u64 },
    /// There is no file of it here: another replica has it, or nobody.
    NotHere,
    /// The blob's row is gone, or somebody else was first.
    TooLate,
}

/// Why content did not get into its object, or out of it.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Meta(#[from] MetaError),
}

impl TierError {
    /// The storage is away or refuses: the next upload would fail, too.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Object(error) => !matches!(
                error,
                ObjectError::Damaged { .. } | ObjectError::Local { .. }
            ),
            Self::Store(_) => false,
            Self::Meta(_) => true,
        }
    }
}

/// The object of one blob.
#[derive(Clone)]
pub struct StoredObject {
    tier: Tier,
    id: ObjectId,
    size_bytes: u64,
}

impl Tier {
    pub fn new(parts: TierParts) -> Self {
        let TierParts {
            objects,
            store,
            meta,
            metrics,
            cluster,
        } = parts;
        let inner = Inner {
            objects,
            store,
            meta,
            metrics,
            arrivals: Notify::new(),
            local_bytes: watch::Sender::new(0),
            suspects: Cache::builder()
                .max_capacity(SUSPECTS)
                .time_to_live(SUSPECTS_KEPT_FOR)
                .build(),
            reads: Semaphore::new(READS),
            cluster,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The bucket.
    pub fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// The object of this content, if its row names one.
    pub async fn object(&self, digest: &Digest) -> Result<Option<StoredObject>, MetaError> {
        let row = self.inner.meta.blob_object(digest).await?;
        Ok(row.and_then(|row| self.stored(row)))
    }

    fn stored(&self, row: BlobObject) -> Option<StoredObject> {
        Some(StoredObject {
            tier: self.clone(),
            id: row.object?.into(),
            size_bytes: row.size_bytes,
        })
    }

    /// New content is here, right and with its rows. An object of it that was found to be missing or wrong can be given
    /// up now, and not before: it could be the only copy, and the bucket the wrong one.
    pub(super) async fn arrived(&self, digest: &Digest, bytes: u64) {
        if self.inner.suspects.remove(digest).await.is_some()
            && let Err(error) = self.give_up(digest).await
        {
            tracing::warn!(%digest, %error, "cannot write down that an object is lost: {error}");
        }
        self.inner.local_bytes.send_modify(|local| *local += bytes);
        self.inner.arrivals.notify_one();
    }

    async fn give_up(&self, digest: &Digest) -> Result<(), MetaError> {
        let Some(object) = self.object(digest).await? else {
            return Ok(());
        };
        tracing::warn!(%digest, object = %object.id, "an object was not what its row says; its content is uploaded anew");
        self.inner.meta.object_lose(digest, object.id.into()).await
    }

    /// Waits until more than this is on the local disk.
    pub async fn local_over(&self, bytes: u64) {
        let mut local = self.inner.local_bytes.subscribe();
        // The sender is in `self`: the channel is open.
        let _ = local.wait_for(|local| *local > bytes).await;
    }

    /// What is believed to be on the local disk: to be noted before its files are looked at.
    pub fn local_believed(&self) -> u64 {
        *self.inner.local_bytes.borrow()
    }

    /// Notes what all local files together have. What came since `believed` may have been seen, or not: it counts twice
    /// until the next time, rather than never.
    pub fn local_measured(&self, bytes: u64, believed: u64) {
        let measured = |local: &mut u64| *local = bytes + local.saturating_sub(believed);
        self.inner.local_bytes.send_modify(measured);
    }

    /// Brings content that is here into an object, for rows that are about to be written: when they name it in time it is
    /// theirs, else it goes again. `None`: they name one already.
    pub async fn bring(&self, digest: &Digest, blob: &Blob) -> Result<Option<Uuid>, TierError> {
        if self.object(digest).await?.is_some() {
            return Ok(None);
        }
        let id = ObjectId::new();
        let meta = &self.inner.meta;
        meta.upload_begin(id.into(), blob.len(), lease()).await?;
        let is_there = self.send(id, digest, blob.clone()).await?;
        Ok(is_there.then(|| id.into()))
    }

    /// New content was pushed, and has its rows: waits until its object is in place.
    pub async fn pushed(&self, digest: &Digest, bytes: u64) -> Result<(), TierError> {
        self.inner.local_bytes.send_modify(|local| *local += bytes);
        if self.inner.suspects.remove(digest).await.is_some() {
            self.give_up(digest).await?;
        }
        if self.object(digest).await?.is_none() {
            self.upload(digest).await?;
        }
        Ok(())
    }

    /// So much of it went.
    pub fn local_freed(&self, bytes: u64) {
        let freed = |local: &mut u64| *local = local.saturating_sub(bytes);
        self.inner.local_bytes.send_modify(freed);
    }

    /// Waits for new content.
    pub async fn arrival(&self) {
        self.inner.arrivals.notified().await;
    }

    /// Uploads content that has no object yet. May be dropped: what was sent goes away again.
    pub async fn upload(&self, digest: &Digest) -> Result<Uploaded, TierError> {
        if self.inner.store.get(digest).await?.is_none() {
            return Ok(Uploaded::NotHere);
        }
        // Of replicas that have it one uploads it. Without an answer it fails by itself, or is done twice.
        let claim = match &self.inner.cluster {
            Some(cluster) => cluster.claim(&lease_key(digest), None).await.ok(),
            None => None,
        };
        if let Some(Claim::Other { .. }) = claim {
            return Ok(Uploaded::NotHere);
        }
        let uploaded = self.upload_alone(digest).await;
        let metrics = &self.inner.metrics;
        match uploaded {
            Ok(Uploaded::Done { bytes }) => metrics.upload("done", bytes),
            Ok(Uploaded::TooLate) => metrics.upload("late", 0),
            Ok(Uploaded::NotHere) => {}
            Err(_) => metrics.upload("failed", 0),
        }
        uploaded
    }

    async fn upload_alone(&self, digest: &Digest) -> Result<Uploaded, TierError> {
        let Some(blob) = self.inner.store.get(digest).await? else {
            return Ok(Uploaded::NotHere);
        };
        let (meta, id, bytes) = (&self.inner.meta, ObjectId::new(), blob.len());
        meta.upload_begin(id.into(), bytes, lease()).await?;
        match self.send(id, digest, blob).await {
            Ok(true) if meta.upload_end(digest, id.into()).await? => Ok(Uploaded::Done { bytes }),
            Ok(_) => Ok(Uploaded::TooLate),
            Err(error) => {
                if let ObjectError::Damaged { .. } | ObjectError::Local { .. } = error {
                    self.inner.store.distrust(digest).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Sends all of it, and says from time to time that it is still at it. `false`: nobody believes that any more.
    async fn send(&self, id: ObjectId, digest: &Digest, blob: Blob) -> Result<bool, ObjectError> {
        let upload = self.inner.objects.begin(id, digest, blob).await?;
        let multipart = upload.multipart().map(str::to_owned);
        let alive = async || {
            let alive = self
                .inner
                .meta
                .upload_alive(id.into(), multipart.clone(), lease());
            // Without an answer it may still be in time: in the end the rows decide.
            !matches!(alive.await, Ok(false))
        };
        if multipart.is_some() && !alive().await {
            return Ok(false);
        }
        let mut sending = std::pin::pin!(upload.finish());
        loop {
            match tokio::time::timeout(LEASE / 3, &mut sending).await {
                Ok(sent) => return sent.map(|()| true),
                Err(_elapsed) if alive().await => {}
                Err(_elapsed) => return Ok(false),
            }
        }
    }

    /// Small content (a manifest) from its object, which is then here again; `None` if it has none, or a wrong one.
    pub async fn read(&self, digest: &Digest) -> Result<Option<Bytes>, TierError> {
        let _turn = self.inner.reads.acquire().await;
        // Who waited for its turn may have waited for this.
        if let Some(here) = self.inner.store.read(digest).await? {
            return Ok(Some(here));
        }
        let row = self.inner.meta.blob_object(digest).await?;
        let Some(row) = row.filter(|row| row.size_bytes <= Manifest::MAX_LENGTH as u64) else {
            return Ok(None);
        };
        let Some(object) = self.stored(row) else {
            return Ok(self.read_from_peers(digest, row.size_bytes).await);
        };
        let mut body = object.open(digest, 0).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        let bytes = Bytes::from(bytes);
        if !digest.verifies(&bytes) {
            object.suspect(digest).await;
            return Ok(None);
        }
        self.keep(digest, bytes.clone()).await;
        Ok(Some(bytes))
    }

    /// What another replica has just put, and did not upload yet.
    async fn read_from_peers(&self, digest: &Digest, size_bytes: u64) -> Option<Bytes> {
        let mut fill = self.inner.cluster.as_ref()?.ask_all(digest, 0).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = fill.body.next().await {
            bytes.extend_from_slice(&chunk.ok()?);
            if bytes.len() as u64 > size_bytes {
                return None;
            }
        }
        let bytes = Bytes::from(bytes);
        if !digest.verifies(&bytes) {
            return None;
        }
        self.keep(digest, bytes.clone()).await;
        Some(bytes)
    }

    /// A copy on the local disk, if there is room.
    async fn keep(&self, digest: &Digest, bytes: Bytes) {
        let len = bytes.len() as u64;
        match self.inner.store.put(digest, bytes).await {
            Ok(placed) => {
                placed.settle().await;
                self.inner.local_bytes.send_modify(|local| *local += len);
            }
            Err(error) => tracing::warn!(%digest, %error, "cannot keep a copy of a manifest"),
        }
    }
}

impl StoredObject {
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its bytes from `offset` on.
    pub(super) async fn open(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> Result<ObjectBody, ObjectError> {
        let (id, size) = (self.id, self.size_bytes);
        let objects = &self.tier.inner.objects;
        let opened = objects.read(id, offset.min(size)..size, size).await;
        if let Err(ObjectError::NotFound { .. } | ObjectError::WrongSize { .. }) = opened {
            self.suspect(digest).await;
        }
        opened
    }

    /// It is missing, or not what it should be. Its row stays until the content is here again.
    pub(super) async fn suspect(&self, digest: &Digest) {
        tracing::error!(%digest, object = %self.id, "an object is missing or wrong");
        self.tier.inner.suspects.insert(digest.clone(), ()).await;
    }
}

/// When an upload that nothing is heard of is over.
fn lease() -> SystemTime {
    SystemTime::now() + LEASE
}
