//! Tags: what a name points to, and when that was last known to be true.

use std::time::SystemTime;

use super::{Meta, MetaError};
use crate::oci::{Digest, Name, Tag};

/// What a tag points to. The manifest itself need not be here (a HEAD told of it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    pub digest: Digest,
    pub media_type: Option<String>,
    pub size_bytes: Option<u64>,
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
