//! Where the bytes of a blob can be had from: its object in the bucket, where it has one, and its remote.
//!
//! The places are numbered: the object, then the remote's URLs. A download begins with the first one, or with the one
//! after that which broke, and goes round.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{FillError, tier::StoredObject};
use crate::{
    client::{BlobStreamBody, ClientError, ErrorKind, RegistryClient},
    cluster::{PeerBody, PeerError},
    oci::{Digest, Name},
    store::{ObjectError, object::ObjectBody},
};

/// How long a download goes on without a byte when there is no remote whose `retry_for` says so.
const RETRY_OBJECT_FOR: Duration = Duration::from_secs(20);

/// All places that a blob can be had from: one at least. Cheap to clone.
#[derive(Clone)]
pub struct Origin {
    object: Option<StoredObject>,
    remote: Option<RemoteBlob>,
}

/// A blob at a remote.
#[derive(Clone)]
pub struct RemoteBlob {
    pub client: RegistryClient,
    /// The repository's name there.
    pub name: Name,
}

/// Bytes from a place, from an offset on.
pub(super) struct Opened {
    pub(super) body: OriginBody,
    /// Where they begin: a remote may begin earlier than it was asked to.
    pub(super) offset: u64,
    /// Size of the whole blob, if it was said.
    pub(super) total_bytes: Option<u64>,
    /// The number of the place; none of another replica.
    pub(super) place: Option<usize>,
}

pub(super) enum OriginBody {
    Remote(BlobStreamBody),
    Object(ObjectBody),
    Peer(PeerBody),
}

/// Why a place does not give its bytes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OriginError {
    #[error(transparent)]
    Remote(#[from] ClientError),
    #[error(transparent)]
    Object(Arc<ObjectError>),
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl Origin {
    /// `None`: there is no place at all.
    pub fn new(object: Option<StoredObject>, remote: Option<RemoteBlob>) -> Option<Self> {
        let somewhere = object.is_some() || remote.is_some();
        somewhere.then_some(Self { object, remote })
    }

    /// For logs and operators.
    pub fn name(&self) -> &str {
        match (&self.object, &self.remote) {
            (None, Some(remote)) => &remote.client.remote().name,
            _ => "object storage",
        }
    }

    /// The object, if this is its number.
    pub(super) fn object_at(&self, place: usize) -> Option<&StoredObject> {
        self.object.as_ref().filter(|_| place == 0)
    }

    pub(super) fn retry_for(&self) -> Duration {
        match &self.remote {
            Some(remote) => remote.client.remote().retry_for,
            None => RETRY_OBJECT_FOR,
        }
    }

    /// Asks for the bytes from `offset` on, at this place first.
    pub(super) async fn open(
        &self,
        digest: &Digest,
        offset: u64,
        first: usize,
    ) -> Result<Opened, OriginError> {
        match self.open_object(digest, offset, first).await {
            Some(opened) => opened,
            None => self.open_remote(digest, offset, first).await,
        }
    }

    /// As [`open`](Self::open), if the object is first, and not in vain while there is a remote.
    pub(super) async fn open_object(
        &self,
        digest: &Digest,
        offset: u64,
        first: usize,
    ) -> Option<Result<Opened, OriginError>> {
        let object = self.object.as_ref()?;
        if !first.is_multiple_of(self.places()) {
            return None;
        }
        match open_object(object, digest, offset).await {
            Err(error) if self.remote.is_some() => {
                tracing::warn!(%digest, %error, "a blob's object cannot be had; its remote is asked");
                None
            }
            opened => Some(opened),
        }
    }

    /// As [`open`](Self::open), without the object.
    pub(super) async fn open_remote(
        &self,
        digest: &Digest,
        offset: u64,
        first: usize,
    ) -> Result<Opened, OriginError> {
        let remote = self.remote.as_ref().expect("there is one place at least");
        let before = usize::from(self.object.is_some());
        let url = (first % self.places()).saturating_sub(before);
        let stream = remote.client.blob_get(&remote.name, digest, offset, url);
        let stream = stream.await?;
        Ok(Opened {
            body: OriginBody::Remote(stream.body),
            offset: stream.offset,
            total_bytes: stream.total_bytes,
            place: Some(before + stream.url),
        })
    }

    fn places(&self) -> usize {
        let remote = self.remote.as_ref();
        let urls = remote.map_or(0, |remote| remote.client.remote().urls.len());
        usize::from(self.object.is_some()) + urls
    }
}

async fn open_object(
    object: &StoredObject,
    digest: &Digest,
    offset: u64,
) -> Result<Opened, OriginError> {
    Ok(Opened {
        body: OriginBody::Object(object.open(digest, offset).await?),
        offset,
        total_bytes: Some(object.size_bytes()),
        place: Some(0),
    })
}

impl OriginBody {
    /// The next chunk; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, OriginError>> {
        match self {
            Self::Remote(body) => Some(body.next().await?.map_err(OriginError::Remote)),
            Self::Object(body) => Some(body.next().await?.map_err(OriginError::from)),
            Self::Peer(body) => Some(body.next().await?.map_err(OriginError::Peer)),
        }
    }
}

impl OriginError {
    /// The place says that there is no such blob, and is to be believed.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Remote(error) if error.is_answer())
    }

    /// There is nothing from this offset on.
    pub(super) fn is_past_end(&self) -> bool {
        matches!(self, Self::Remote(error) if error.status == Some(416))
    }

    /// It may be the range alone that the place does not take. What a remote answers while it is down (500, 502 to 504)
    /// says nothing about the range.
    pub(super) fn refuses_range(&self) -> bool {
        let Self::Remote(error) = self else {
            return false;
        };
        match error.kind {
            // "Not there", of a content server.
            ErrorKind::Invalid => !matches!(error.status, Some(404 | 410)),
            ErrorKind::Denied => error.status == Some(403),
            ErrorKind::Unreachable => matches!(error.status, Some(501 | 505..)),
            _ => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Remote(error) => error.retry_after,
            Self::Object(_) | Self::Peer(_) => None,
        }
    }
}

impl From<ObjectError> for OriginError {
    fn from(error: ObjectError) -> Self {
        Self::Object(Arc::new(error))
    }
}

impl From<OriginError> for FillError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Remote(error) => Self::Remote(error),
            OriginError::Object(error) => Self::Object(error),
            OriginError::Peer(error) => Self::Peer(error),
        }
    }
}
