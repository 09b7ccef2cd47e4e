//! Lists learned whole from remotes: tags of a repository, referrers of a digest.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Meta, MetaError};
use crate::oci::Name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    Tags,
    Referrers,
}

/// A list as JSON, and when it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    pub body: Bytes,
    pub fetched_at: SystemTime,
}

impl Meta {
    /// `key` is empty for tags, the subject's digest for referrers.
    pub async fn list(
        &self,
        _repository: &Name,
        _kind: ListKind,
        _key: &str,
    ) -> Result<Option<ListRow>, MetaError> {
        todo!()
    }
    pub async fn list_put(
        &self,
        _repository: &Name,
        _kind: ListKind,
        _key: &str,
        _row: ListRow,
    ) -> Result<(), MetaError> {
        todo!()
    }
}
