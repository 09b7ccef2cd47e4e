//! Where content is read from.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};

use super::Found;
use crate::{
    client::{BlobStreamBody, ClientError, ErrorKind, Patience, RegistryClient},
    oci::{Descriptor, Digest, Name, Reference, Tag, TagState},
};

/// Gives out manifests and blobs by their repository. Each call may be dropped at any time.
pub trait Source: Send + Sync {
    /// What a reference means now, without its content where that can be.
    fn digest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Digest, SourceError>>;

    /// A manifest; its bytes have the digest that is told.
    fn manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<SourceManifest, SourceError>>;

    /// A blob, from a byte offset on.
    fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        offset: u64,
    ) -> BoxFuture<'static, Result<SourceBlob, SourceError>>;

    /// What names this manifest as its subject.
    fn referrers<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>, SourceError>>;

    /// What a tag is and since which write, as far as that is known.
    fn tag_state<'a>(
        &'a self,
        _name: &'a Name,
        _tag: &'a Tag,
    ) -> BoxFuture<'a, Result<Option<TagState>, SourceError>> {
        ready(Ok(None)).boxed()
    }
}

/// A manifest as the source has it.
#[derive(Debug, Clone)]
pub struct SourceManifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// An open blob.
pub struct SourceBlob {
    /// Where the bytes begin: the offset asked for, or an earlier one.
    pub offset: u64,
    /// Size of the whole blob, if it is known.
    pub total_bytes: Option<u64>,
    pub body: BoxStream<'static, Result<Bytes, SourceError>>,
}

/// Why a source does not give what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Remote(#[from] ClientError),
    /// Our own repositories do not have it.
    #[error("{0}")]
    Missing(String),
    /// It cannot be had from our own repositories now.
    #[error("{0}")]
    Unavailable(String),
}

impl SourceError {
    /// The same may soon be answered better.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Remote(error) => is_transient(error),
            Self::Missing(_) => false,
            Self::Unavailable(_) => true,
        }
    }
}

/// No connection, no answer in time, 5xx, 429.
pub(super) fn is_transient(error: &ClientError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::RateLimited
    )
}

/// A registry as a source.
#[derive(Clone)]
pub struct RemoteSource(RegistryClient);

impl RemoteSource {
    /// As what orders are read from.
    pub fn of(client: RegistryClient) -> Arc<dyn Source> {
        Arc::new(Self(client))
    }

    async fn whole(
        &self,
        name: &Name,
        reference: &Reference,
    ) -> Result<SourceManifest, SourceError> {
        let manifest = self.0.manifest_get(name, reference, Patience::Full).await?;
        Ok(SourceManifest {
            digest: manifest.digest,
            media_type: manifest.media_type,
            bytes: manifest.bytes,
        })
    }
}

impl Source for RemoteSource {
    fn digest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Digest, SourceError>> {
        async move {
            if let Reference::Digest(digest) = reference {
                return Ok(digest.clone());
            }
            // A HEAD counts against no pull limit; not all answer it with a digest.
            match self.0.manifest_head(name, reference, Patience::Full).await {
                Ok(head) => {
                    if let Some(digest) = head.digest {
                        return Ok(digest);
                    }
                }
                Err(error) if error.kind == ErrorKind::Invalid => {}
                Err(error) => return Err(error.into()),
            }
            Ok(self.whole(name, reference).await?.digest)
        }
        .boxed()
    }

    fn manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<SourceManifest, SourceError>> {
        self.whole(name, reference).boxed()
    }

    fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        offset: u64,
    ) -> BoxFuture<'static, Result<SourceBlob, SourceError>> {
        let (client, name, digest) = (self.0.clone(), name.clone(), digest.clone());
        async move {
            let blob = client.blob_get(&name, &digest, offset, 0).await?;
            Ok(SourceBlob {
                offset: blob.offset,
                total_bytes: blob.total_bytes,
                body: chunks(blob.body),
            })
        }
        .boxed()
    }

    fn referrers<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>, SourceError>> {
        async move {
            let list = self.0.referrer_list(name, digest, Patience::Full);
            Ok(list.await?)
        }
        .boxed()
    }

    fn tag_state<'a>(
        &'a self,
        name: &'a Name,
        tag: &'a Tag,
    ) -> BoxFuture<'a, Result<Option<TagState>, SourceError>> {
        async move {
            if !self.0.keeps_versions() {
                return Ok(None);
            }
            Ok(Found::at(&self.0, name, tag).await?.state)
        }
        .boxed()
    }
}

fn chunks(body: BlobStreamBody) -> BoxStream<'static, Result<Bytes, SourceError>> {
    stream::unfold(body, async |mut body| {
        let chunk = body.next().await?;
        Some((chunk.map_err(SourceError::from), body))
    })
    .boxed()
}
