//! Manifests, and what they reference.

use std::time::SystemTime;

use super::{Meta, MetaError};
use crate::oci::{Descriptor, Digest, Manifest, Name, Tag};

/// A manifest that a repository has. Its bytes are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
    pub created_at: SystemTime,
}

/// What the manifests of a repository say of a digest that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referenced {
    /// May be empty.
    pub media_type: String,
    pub size_bytes: Option<u64>,
}

/// One transaction: manifest, references, tag, subject.
#[derive(Debug, Clone)]
pub struct ManifestCommit {
    pub repository: Name,
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
    pub manifest: Manifest,
    /// The tag that points to it from now on, checked at this time.
    pub tag: Option<(Tag, SystemTime)>,
}

impl Meta {
    pub async fn manifest(
        &self,
        _repository: &Name,
        _digest: &Digest,
    ) -> Result<Option<ManifestRow>, MetaError> {
        todo!()
    }
    pub async fn manifest_commit(&self, _commit: ManifestCommit) -> Result<(), MetaError> {
        todo!()
    }
    /// Does a manifest of this repository name this blob (config, layer)? With the size that it states.
    pub async fn blob_referenced(
        &self,
        _repository: &Name,
        _digest: &Digest,
    ) -> Result<Option<Referenced>, MetaError> {
        todo!()
    }
    /// Does an index of this repository name this manifest?
    pub async fn manifest_referenced(
        &self,
        _repository: &Name,
        _digest: &Digest,
    ) -> Result<Option<Referenced>, MetaError> {
        todo!()
    }
    /// Manifests of this repository whose subject is `subject`, as descriptors (with artifactType and annotations).
    pub async fn manifest_referrers(
        &self,
        _repository: &Name,
        _subject: &Digest,
    ) -> Result<Vec<Descriptor>, MetaError> {
        todo!()
    }
    /// Tags and manifest gone from a repository: used when the row's content is not here any more.
    pub async fn manifest_delete(
        &self,
        _repository: &Name,
        _digest: &Digest,
    ) -> Result<(), MetaError> {
        todo!()
    }
}
