//! Why there is no answer, by what the client is told.

use std::time::Duration;

/// Messages are for clients: no credentials, no inner text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MirrorError {
    /// 404: the remote said so (404, or 401/403 after a token).
    #[error("{0}")]
    NotFound(String),
    /// 502: the remote answered what cannot be used, or broke.
    #[error("{message}")]
    BadGateway { message: String },
    /// 503: the remote is down or limits us.
    #[error("{message}")]
    Unavailable {
        message: String,
        retry_after: Option<Duration>,
    },
    /// 504: the remote did not answer in time.
    #[error("{message}")]
    TimedOut { message: String },
    /// 500: this server's own fault, logged where it happened.
    #[error("internal error")]
    Internal,
}
