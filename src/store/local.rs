//! The store on local files.

use std::{path::Path, time::Duration};

use bytes::Bytes;

use super::{Blob, Spool, StoreError};
use crate::oci::Digest;

/// Content under one folder; cheap to clone.
#[derive(Clone)]
pub struct Store {
    _private: (),
}

impl Store {
    /// Makes the folders and locks them against a second process until the last clone is dropped.
    pub async fn open(_root: &Path) -> Result<Self, StoreError> {
        todo!()
    }
    /// The blob, opened, if it is here. Open files are kept in a bounded cache.
    pub async fn get(&self, _digest: &Digest) -> Result<Option<Blob>, StoreError> {
        todo!()
    }
    /// Puts small content (a manifest) in one go: verified, synced, renamed into place. Present already: nothing is written.
    pub async fn put(&self, _digest: &Digest, _bytes: Bytes) -> Result<(), StoreError> {
        todo!()
    }
    /// Opens the spool of a digest, with what an earlier fill left of it. One at a time per digest: the caller sees to that.
    pub async fn spool(&self, _digest: &Digest) -> Result<Spool, StoreError> {
        todo!()
    }
    /// Deletes a blob. Readers that have it open go on. Absent: nothing happens.
    pub async fn delete(&self, _digest: &Digest) -> Result<(), StoreError> {
        todo!()
    }
    /// Deletes spools that nobody wrote to for `max_age`, and leftovers that cannot be resumed; returns how many.
    pub async fn sweep(&self, _max_age: Duration) -> Result<u64, StoreError> {
        todo!()
    }
}
