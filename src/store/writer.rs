//! The growing file of a fill.
//!
//! ```text
//! spool(digest) ──append*──► verify ──► commit ──► Blob in place
//!       │                      │
//!       └ dropped: file stays, └ mismatch: file is deleted
//!         a later spool resumes
//! ```

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Blob, StoreError};

/// An incomplete blob. Dropped, its file stays to be resumed.
pub struct Spool {
    _private: (),
}

impl Spool {
    /// Bytes that are in the file (hashed, too, when no `append` runs).
    pub fn written(&self) -> u64 {
        todo!()
    }
    /// Follows `written`; it moves as soon as bytes are in the file, before they are hashed.
    pub fn progress(&self) -> watch::Receiver<u64> {
        todo!()
    }
    /// The file itself, for readers that follow it.
    pub fn file(&self) -> Arc<File> {
        todo!()
    }
    /// Appends and hashes, on a blocking thread.
    pub async fn append(self, _chunks: Vec<Bytes>) -> Result<Self, StoreError> {
        todo!()
    }
    /// Throws away everything after a wrong start; written is 0 again. The file readers hold is not touched: a new one is begun.
    pub async fn discard(self) -> Result<(), StoreError> {
        todo!()
    }
    /// Compares the hash of all bytes with the digest. A mismatch deletes the file.
    pub async fn verify(self) -> Result<Verified, StoreError> {
        todo!()
    }
}

/// A spool whose bytes are right, not yet durable.
pub struct Verified {
    _private: (),
}

impl Verified {
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Syncs the file, renames it into place, syncs the folder.
    pub async fn commit(self) -> Result<Blob, StoreError> {
        todo!()
    }
}
