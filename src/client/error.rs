//! What a remote said or did not say, by what the caller can do about it.

use std::time::Duration;

/// What the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The remote said 404.
    NotFound,
    /// The remote said 401 or 403 although it had a token or our credentials.
    Denied,
    /// 429, or the rate budget is gone.
    RateLimited,
    /// No connection, a broken one, or 5xx.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// It answered what cannot be right: too large, wrong digest, not parseable, redirect refused, other 4xx.
    Invalid,
}

/// One failed request to a remote. Cheap to clone: waiters of one request share it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{remote}: {message}")]
pub struct ClientError {
    pub kind: ErrorKind,
    pub remote: std::sync::Arc<str>,
    /// For people; holds no credentials and no query strings.
    pub message: String,
    /// The remote's HTTP status, if there was one.
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
}

impl ClientError {
    /// True when the remote did give an answer about the thing asked (404, 401/403): not an outage.
    pub fn is_answer(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound | ErrorKind::Denied)
    }
}

/// Why a client cannot be made: its files.
#[derive(Debug, thiserror::Error)]
#[error("remote `{remote}`: {message}")]
pub struct SetupError {
    pub remote: String,
    pub message: String,
}
