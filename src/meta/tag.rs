//! Tags: what a name points to, and when that was last known to be true.

use std::time::SystemTime;

use super::{Meta, MetaError};
use crate::oci::{Digest, Name, Tag};

/// A manifest without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSummary {
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
}

/// What a tag points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// The manifest that was last pulled by this tag; for a tag that was only asked for by HEAD, what that told.
    pub target: ManifestSummary,
    /// What the remote says now, while its manifest is not here yet; a commit of that manifest moves it to `target`.
    pub told: Option<ManifestSummary>,
    /// When the remote last said so.
    pub checked_at: SystemTime,
}

impl Meta {
    pub async fn tag(&self, _repository: &Name, _tag: &Tag) -> Result<Option<TagRow>, MetaError> {
        todo!()
    }
    /// Sets or moves a tag.
    pub async fn tag_put(
        &self,
        _repository: &Name,
        _tag: &Tag,
        _row: TagRow,
    ) -> Result<(), MetaError> {
        todo!()
    }
    pub async fn tag_delete(&self, _repository: &Name, _tag: &Tag) -> Result<(), MetaError> {
        todo!()
    }
    /// All tags of a repository with the time each was checked, sorted as bytes.
    pub async fn tags(&self, _repository: &Name) -> Result<Vec<(Tag, SystemTime)>, MetaError> {
        todo!()
    }
}
