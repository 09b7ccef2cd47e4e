//! Why a fill ended without its blob.

use std::sync::Arc;

use crate::{
    client::ClientError,
    cluster::PeerError,
    store::{ObjectError, StoreError},
};

/// Shared by everybody who waited for the fill, so cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FillError {
    /// The remote has no such blob, is down, or stayed broken for too long.
    #[error(transparent)]
    Remote(#[from] ClientError),
    /// The content is in object storage only, and cannot be had from there.
    #[error(transparent)]
    Object(Arc<ObjectError>),
    /// Another replica had the last bytes of it, and nobody had any since.
    #[error(transparent)]
    Peer(PeerError),
    /// The remote's bytes are not what the digest says; nothing of them is kept.
    #[error("{remote} sent wrong content for {digest}")]
    WrongContent { remote: String, digest: String },
    /// This server could not keep the bytes.
    #[error("cannot store the blob: {0}")]
    Store(Arc<StoreError>),
    /// Too much is fetched already, and it did not get its turn in time.
    #[error("too many blobs are being fetched")]
    Busy,
    /// The process is ending.
    #[error("shutting down")]
    Shutdown,
    /// The fill's task ended without a word: a broken invariant.
    #[error("the fill was abandoned")]
    Abandoned,
}

impl From<StoreError> for FillError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
