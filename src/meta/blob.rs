//! Links: which repository may see which blob.

use super::{Meta, MetaError};
use crate::oci::{Digest, Name};

impl Meta {
    /// Is this blob visible in this repository?
    pub async fn blob_linked(
        &self,
        _repository: &Name,
        _digest: &Digest,
    ) -> Result<bool, MetaError> {
        todo!()
    }
    /// Makes a blob visible in repositories, in one transaction; repeats are harmless.
    pub async fn blob_link(
        &self,
        _repositories: &[Name],
        _digest: &Digest,
        _size_bytes: u64,
    ) -> Result<(), MetaError> {
        todo!()
    }
    /// Size of a blob that some repository has.
    pub async fn blob_size(&self, _digest: &Digest) -> Result<Option<u64>, MetaError> {
        todo!()
    }
}
