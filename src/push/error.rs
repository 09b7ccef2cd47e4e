//! Why a push is not taken, or what was pushed cannot be served, by what the client is told.

use std::io;

use bytesize::ByteSize;

use crate::{
    meta::MetaError,
    oci::{Digest, Tag, manifest::ManifestError, tag_version::MAX_AHEAD},
    store::{ObjectError, StoreError, object::PieceError},
    transfer::{FillError, TierError},
};

/// Messages are for clients: no inner text.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no such manifest, blob or repository.
    #[error("{0}")]
    NotFound(String),
    #[error("there is no such upload session in this repository")]
    UploadUnknown,
    /// A chunk does not begin where the one before ended.
    #[error("the next chunk begins at byte {received}")]
    OutOfOrder { received: u64 },
    /// The body is not as long as its headers say.
    #[error("{0}")]
    WrongSize(String),
    /// The body broke off, or nothing more came.
    #[error("the body broke off after {received} bytes of the blob; go on from there")]
    Broken { received: u64 },
    #[error("the content has the digest {actual}, not {expected}")]
    WrongDigest { expected: Digest, actual: Digest },
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// What a manifest names and this repository does not have.
    #[error("the manifest names what is not in this repository")]
    Missing(Vec<Digest>),
    #[error(
        "tag `{tag}` may not be moved: tags that match `{pattern}` are immutable in this project"
    )]
    TagImmutable { tag: Tag, pattern: String },
    #[error(
        "tag `{tag}` may not be deleted: tags that match `{pattern}` are immutable in this project"
    )]
    TagStays { tag: Tag, pattern: String },
    /// Of the version that a replicated push or delete carries.
    #[error(
        "the version of the tag is {seconds} s ahead of this server's clock, and {} s are as much as clocks may differ: set them right",
        MAX_AHEAD.as_secs()
    )]
    Ahead { seconds: u64 },
    /// Of a mirror.
    #[error("project `{project}` is a mirror: only what was pushed there can be deleted")]
    NotSeeded { project: String },
    /// Of a hosted project; bytes.
    #[error(
        "project `{project}` may have {} and has {}: {} more are over its quota",
        ByteSize(*quota), ByteSize(*used), ByteSize(*wanted)
    )]
    QuotaExceeded {
        project: String,
        quota: u64,
        used: u64,
        wanted: u64,
    },
    /// Of what is cached: what was pushed there, or is pinned, does not go to make room; bytes.
    #[error(
        "seeded and pinned images take {} of a budget of {}: {} more do not fit into project `{project}`",
        ByteSize(*kept), ByteSize(*budget), ByteSize(*wanted)
    )]
    BudgetExceeded {
        project: String,
        budget: u64,
        kept: u64,
        wanted: u64,
    },
    /// The disk is full. Nothing that the client could repeat would help.
    #[error("there is no room for this content on the registry's disk")]
    NoSpace,
    /// As many uploads as there may be.
    #[error("too many upload sessions are open")]
    TooManyUploads,
    /// Others are being served; or another request for the same session is.
    #[error("too many uploads are in progress; try again")]
    Busy,
    #[error("object storage does not take this content now")]
    ObjectStorage,
    /// Our own fault: logged here.
    #[error("internal error")]
    Internal,
}

impl PushError {
    fn internal(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(what, error, "a push failed by this server's own fault");
        Self::Internal
    }
}

impl From<StoreError> for PushError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace { .. } => {
                tracing::error!(%error, "a push is refused: the disk is full");
                Self::NoSpace
            }
            StoreError::Mismatch { expected, actual } => Self::WrongDigest { expected, actual },
            StoreError::Io { ref source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                Self::Busy
            }
            StoreError::Io { .. } | StoreError::Locked { .. } => Self::internal("store", &error),
        }
    }
}

impl From<MetaError> for PushError {
    fn from(error: MetaError) -> Self {
        if error.is_full() {
            tracing::error!(%error, "a push is refused: the disk is full");
            return Self::NoSpace;
        }
        Self::internal("rows", &error)
    }
}

impl From<TierError> for PushError {
    fn from(error: TierError) -> Self {
        match error {
            TierError::Meta(error) => error.into(),
            TierError::Store(error) => error.into(),
            TierError::Object(error) => error.into(),
        }
    }
}

impl From<ObjectError> for PushError {
    fn from(error: ObjectError) -> Self {
        tracing::warn!(%error, "object storage does not take, or give back, what is pushed: {error}");
        Self::ObjectStorage
    }
}

impl From<PieceError> for PushError {
    fn from(error: PieceError) -> Self {
        match error {
            PieceError::Object(error) => error.into(),
            PieceError::Store(error) => error.into(),
        }
    }
}

impl From<FillError> for PushError {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Busy | FillError::Shutdown => Self::Busy,
            FillError::Object(error) => {
                tracing::warn!(%error, "what was pushed cannot be had from object storage");
                Self::ObjectStorage
            }
            error => Self::internal("fill", &error),
        }
    }
}
