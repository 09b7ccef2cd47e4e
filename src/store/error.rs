//! What can go wrong with content on disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::oci::Digest;

/// Why the store cannot do what it was asked; the variants are what a caller can tell apart and act on.
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

impl StoreError {
    /// The error of a failed operation on `path`; a full disk or quota is told apart.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, source }
            }
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}
