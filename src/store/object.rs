//! Content in object storage: S3, and Google's and Azure's by feature (those two untested).
//!
//! Object storage has no rename, so that a key cannot be the digest of what is still being written. An object is
//! `objects/<uuid>`: written once, by whoever made the id, never overwritten, named by a row, and deleted by whoever
//! deletes that row. Rows are not known here.
//!
//! ```text
//! begin(id) ─────────────► Upload ──finish──► object in place, as its digest says
//!   │ small: nothing yet     │
//!   └ large: a multipart     └ dropped, or failed: aborted; by the row that remembers it after a crash
//!     upload, to be remembered
//! ```
//!
//! Every wait has an end: those on the network in `http`, those of a reader for the first byte here.

mod backend;
mod error;
mod http;
mod id;
mod part;
mod read;
mod session;
mod upload;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{Stream, StreamExt};
use object_store::{
    ObjectMeta, ObjectStore as _, ObjectStoreExt as _, RetryConfig, path::Path as Key,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::{backend::Backend, read::Outage};
use super::paths;
use crate::config;

pub use error::{ObjectError, ObjectSetupError};
pub use id::ObjectId;
pub use read::ObjectBody;
pub use session::{Begun, LEAST_PART_BYTES, PieceError, PieceSender, Pieces, Stage};
pub use upload::Upload;

/// How long deleting one object may take, with all retries.
const DELETE_TIMEOUT: Duration = Duration::from_mins(1);
/// The same for an abort.
const ABORT_TIMEOUT: Duration = Duration::from_mins(1);

/// One bucket, or a part of it; cheap to clone.
#[derive(Clone)]
pub struct Objects {
    inner: Arc<Inner>,
}

struct Inner {
    /// For who waits: few retries.
    reading: Arc<dyn Backend>,
    /// For what is done behind everybody's back: patient.
    writing: Arc<dyn Backend>,
    prefix: Key,
    outage: Outage,
    /// MiB of parts that may be in memory.
    memory: Arc<Semaphore>,
    /// Holds aborts of uploads that were dropped.
    tasks: TaskTracker,
}

/// An object as the storage lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: ObjectId,
    pub size_bytes: u64,
    /// By the storage's clock.
    pub modified: SystemTime,
}

impl Objects {
    /// Sets up the way to the bucket; asks nothing: content that is local serves while the bucket is away.
    pub fn new(
        storage: &config::ObjectStorage,
        tasks: TaskTracker,
    ) -> Result<Self, ObjectSetupError> {
        let prefix = Key::parse(&storage.prefix).map_err(ObjectSetupError::prefix)?;
        Ok(Self {
            inner: Arc::new(Inner {
                reading: backend::connect(storage, hasty())?,
                writing: backend::connect(storage, patient())?,
                prefix,
                outage: Outage::default(),
                memory: Arc::new(Semaphore::new(part::MEMORY_MIB)),
                tasks,
            }),
        })
    }

    /// Deletes an object. Absent: nothing happens.
    pub async fn delete(&self, id: ObjectId) -> Result<(), ObjectError> {
        let key = self.key(id);
        let delete = self.inner.writing.delete(&key);
        match ObjectError::within(DELETE_TIMEOUT, "delete an object", delete).await {
            Err(ObjectError::NotFound { .. }) => Ok(()),
            deleted => deleted,
        }
    }

    /// Ends a multipart upload that an earlier process began, and frees its parts. Absent: nothing happens.
    pub async fn abort(&self, id: ObjectId, multipart: &str) -> Result<(), ObjectError> {
        let (key, multipart) = (self.key(id), multipart.to_owned());
        let abort = self.inner.writing.abort_multipart(&key, &multipart);
        match ObjectError::within(ABORT_TIMEOUT, "abort an upload", abort).await {
            Err(ObjectError::NotFound { .. }) => Ok(()),
            aborted => aborted,
        }
    }

    /// All objects, in the order of their ids. Asks for the next thousand only when they are wanted. Keys that are not
    /// ours are left out.
    pub fn list(&self) -> impl Stream<Item = Result<Listed, ObjectError>> + Send + use<> {
        let folder = paths::objects(&self.inner.prefix);
        let listed = |meta: object_store::Result<ObjectMeta>| match meta {
            Ok(meta) => Listed::read(&meta).map(Ok),
            Err(error) => Some(Err(ObjectError::of("list objects", error))),
        };
        let all = self.inner.writing.list(Some(&folder));
        all.filter_map(move |meta| std::future::ready(listed(meta)))
    }

    fn key(&self, id: ObjectId) -> Key {
        paths::object(&self.inner.prefix, id)
    }
}

impl Listed {
    fn read(meta: &ObjectMeta) -> Option<Self> {
        Some(Self {
            id: meta.location.filename()?.parse().ok()?,
            size_bytes: meta.size,
            modified: meta.last_modified.into(),
        })
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("prefix", &self.inner.prefix)
            .finish_non_exhaustive()
    }
}

/// Somebody waits for it, and has another way to the content.
fn hasty() -> RetryConfig {
    RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
        ..RetryConfig::default()
    }
}

fn patient() -> RetryConfig {
    RetryConfig {
        max_retries: 10,
        retry_timeout: Duration::from_mins(3),
        ..RetryConfig::default()
    }
}
