//! The facade: one method per question that a client can ask.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{MirrorError, Outcome, Projects, Repository};
use crate::{
    client::RegistryClient,
    meta::Meta,
    oci::{Descriptor, Digest, Reference, Tag},
    store::Store,
    telemetry::Metrics,
    transfer::Content,
};

/// An answer and how it came about.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    pub content: T,
    pub outcome: Outcome,
    /// Since the remote last confirmed it; `None` when it comes from the remote just now.
    pub age: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct ManifestContent {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

#[derive(Debug, Clone)]
pub struct ManifestSummary {
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
}

/// All of mirroring; cheap to clone.
#[derive(Clone)]
pub struct Mirror {
    _private: Arc<()>,
}

/// What mirroring is made of.
pub struct Parts {
    pub projects: Arc<Projects>,
    /// By the name of the remote.
    pub clients: HashMap<String, RegistryClient>,
    pub store: Store,
    pub meta: Meta,
    pub metrics: Metrics,
    /// Never dial a remote.
    pub offline: bool,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
}

impl Mirror {
    pub fn new(_parts: Parts) -> Self {
        todo!()
    }
    pub async fn get_manifest(
        &self,
        _repository: &Repository,
        _reference: &Reference,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        todo!()
    }
    pub async fn head_manifest(
        &self,
        _repository: &Repository,
        _reference: &Reference,
    ) -> Result<Answer<ManifestSummary>, MirrorError> {
        todo!()
    }
    pub async fn get_blob(
        &self,
        _repository: &Repository,
        _digest: &Digest,
    ) -> Result<Answer<Content>, MirrorError> {
        todo!()
    }
    /// Size in bytes.
    pub async fn head_blob(
        &self,
        _repository: &Repository,
        _digest: &Digest,
    ) -> Result<Answer<u64>, MirrorError> {
        todo!()
    }
    /// All tags, sorted as bytes; `n` and `last` are the edge's.
    pub async fn list_tags(
        &self,
        _repository: &Repository,
    ) -> Result<Answer<Arc<[Tag]>>, MirrorError> {
        todo!()
    }
    /// All referrers, unfiltered; `artifactType` is the edge's.
    pub async fn list_referrers(
        &self,
        _repository: &Repository,
        _digest: &Digest,
    ) -> Result<Answer<Arc<[Descriptor]>>, MirrorError> {
        todo!()
    }
}
