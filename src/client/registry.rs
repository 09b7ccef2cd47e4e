//! The requests that a registry takes, with noun-first names.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::ClientError;
use super::SetupError;
use crate::{
    config,
    oci::{Descriptor, Digest, Name, Reference, Tag},
    telemetry::Metrics,
};

/// How long a caller waits for the remote's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing cached: `header_timeout`, with retries.
    Full,
    /// Something cached can be served: `answer_timeout` in all.
    Short,
}

/// A remote, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct RegistryClient {
    _private: Arc<()>,
}

/// A manifest with what the remote said of it. The digest is computed from the bytes (by the algorithm asked for, else
/// of the remote's header, else sha256) and agrees with the remote's header and with a digest that was asked for.
#[derive(Debug, Clone)]
pub struct RemoteManifest {
    pub bytes: Bytes,
    pub media_type: String,
    pub digest: Digest,
}

/// What a HEAD tells; remotes leave out what they like.
#[derive(Debug, Clone)]
pub struct ManifestHead {
    pub digest: Option<Digest>,
    pub media_type: Option<String>,
    pub size_bytes: Option<u64>,
}

/// An open download. Reads fail with `TimedOut` after `idle_timeout` without a byte.
pub struct BlobStream {
    /// Where the bytes begin: the offset asked for, or 0 when the remote ignored it.
    pub offset: u64,
    /// Size of the whole blob in bytes, if the remote said it.
    pub total_bytes: Option<u64>,
    pub body: BlobStreamBody,
}

pub struct BlobStreamBody {
    _private: (),
}

impl BlobStreamBody {
    /// The next chunk; `None` at the end that the remote announced. An end before that is an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        todo!()
    }
    pub fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        todo!()
    }
}

impl RegistryClient {
    /// Reads the certificate files; dials nothing.
    pub fn new(_remote: config::Remote, _metrics: Metrics) -> Result<Self, SetupError> {
        todo!()
    }
    pub fn remote(&self) -> &config::Remote {
        todo!()
    }
    pub async fn manifest_get(
        &self,
        _name: &Name,
        _reference: &Reference,
        _patience: Patience,
    ) -> Result<RemoteManifest, ClientError> {
        todo!()
    }
    pub async fn manifest_head(
        &self,
        _name: &Name,
        _reference: &Reference,
        _patience: Patience,
    ) -> Result<ManifestHead, ClientError> {
        todo!()
    }
    /// Opens a download at a byte offset (0: no Range header). 416 at offset > 0 is `Invalid` with status 416.
    pub async fn blob_get(
        &self,
        _name: &Name,
        _digest: &Digest,
        _offset: u64,
    ) -> Result<BlobStream, ClientError> {
        todo!()
    }
    /// Size of a blob in bytes: by HEAD, else (no length) by `Range: bytes=0-0`.
    pub async fn blob_head(
        &self,
        _name: &Name,
        _digest: &Digest,
        _patience: Patience,
    ) -> Result<Option<u64>, ClientError> {
        todo!()
    }
    /// All tags, every page (bounded), sorted as bytes, without repeats.
    pub async fn tag_list(
        &self,
        _name: &Name,
        _patience: Patience,
    ) -> Result<Vec<Tag>, ClientError> {
        todo!()
    }
    /// All referrers, by the referrers API or else by the tag schema; none is an empty list.
    pub async fn referrer_list(
        &self,
        _name: &Name,
        _digest: &Digest,
        _patience: Patience,
    ) -> Result<Vec<Descriptor>, ClientError> {
        todo!()
    }
}
