//! What can go wrong with content on disk.

use std::{io, path::PathBuf};

use crate::oci::Digest;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room.
    #[error("no space left for {path}")]
    NoSpace {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("{path} is in use by another process")]
    Locked { path: PathBuf },
    /// The bytes are not what the digest says.
    #[error("content does not match {expected}: it is {actual}")]
    Mismatch { expected: Digest, actual: Digest },
    #[error("cannot {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
