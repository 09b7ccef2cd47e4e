//! What can go wrong with content in object storage.

use std::{future::Future, io, time::Duration};

use crate::oci::Digest;

/// Why an object cannot be read, written or deleted; the variants are what a caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("cannot {action}: object storage has none")]
    NotFound {
        action: &'static str,
        #[source]
        source: object_store::Error,
    },
    /// The storage refuses what we may do with it: somebody must look at credentials and rights.
    #[error("object storage refuses to {action}: {source}")]
    Refused {
        action: &'static str,
        #[source]
        source: object_store::Error,
    },
    /// The storage does not answer, or not well: later it may.
    #[error("object storage cannot {action}: {source}")]
    Unavailable {
        action: &'static str,
        #[source]
        source: object_store::Error,
    },
    #[error("object storage did not {action} within {} s", within.as_secs())]
    TimedOut {
        action: &'static str,
        within: Duration,
    },
    /// It did not a moment ago: nothing was asked.
    #[error("cannot {action}: object storage was away a moment ago")]
    Away { action: &'static str },
    /// The object is not as long as its row says: somebody else wrote it.
    #[error("an object has {actual} bytes instead of {expected}")]
    WrongSize { expected: u64, actual: u64 },
    /// The local file is not what its digest says; nothing of it was kept.
    #[error("the file of {expected} is {actual}: nothing was stored")]
    Damaged { expected: Digest, actual: Digest },
    /// The local file cannot be read.
    #[error("cannot read the file of {digest}: {source}")]
    Local {
        digest: Digest,
        #[source]
        source: io::Error,
    },
}

impl ObjectError {
    pub(super) fn of(action: &'static str, source: object_store::Error) -> Self {
        // Then the configuration is wrong, and says nothing about content.
        let no_bucket = matches!(
            &source,
            object_store::Error::NotFound { source, .. } if source.to_string().contains("NoSuchBucket")
        );
        match source {
            _ if no_bucket => Self::Refused { action, source },
            object_store::Error::NotFound { .. } => Self::NotFound { action, source },
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Self::Refused { action, source },
            _ => Self::Unavailable { action, source },
        }
    }

    /// The outcome of a step, which has this much time.
    pub(super) async fn within<T>(
        within: Duration,
        action: &'static str,
        step: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Self> {
        match tokio::time::timeout(within, step).await {
            Ok(done) => done.map_err(|source| Self::of(action, source)),
            Err(_elapsed) => Err(Self::TimedOut { action, within }),
        }
    }
}

/// The options are each good, but not together; told before anything is bound or written.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ObjectSetupError {
    message: String,
}

impl ObjectSetupError {
    pub(super) fn options(source: &object_store::Error) -> Self {
        Self {
            message: format!("`storage.options`: {source}"),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads well in `map_err`")]
    pub(super) fn prefix(source: object_store::path::Error) -> Self {
        Self {
            message: format!("`storage.url`: {source}"),
        }
    }
}
