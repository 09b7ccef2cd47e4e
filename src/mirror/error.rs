//! Why there is no answer, by what the client is told.

use std::time::Duration;

use crate::{
    client::{ClientError, ErrorKind},
    meta::MetaError,
    store::StoreError,
    transfer::FillError,
};

/// When a client that found all turns taken may ask again.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Messages are for clients: no credentials, no inner text. Shared by all who waited, so cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MirrorError {
    /// 404: the remote said 404.
    #[error("{0}")]
    NotFound(String),
    /// 404 that says so: the remote said 401 or 403 although it had a token (Docker Hub's answer to a typo).
    #[error("{0}")]
    Refused(String),
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

impl From<ClientError> for MirrorError {
    fn from(error: ClientError) -> Self {
        let message = format!("remote {error}");
        match error.kind {
            ErrorKind::NotFound => Self::NotFound(message),
            ErrorKind::Denied => Self::Refused(message),
            ErrorKind::RateLimited => Self::Unavailable {
                message,
                retry_after: error.retry_after,
            },
            ErrorKind::Unreachable if error.status.is_none() || error.status == Some(503) => {
                Self::Unavailable {
                    message,
                    retry_after: error.retry_after,
                }
            }
            ErrorKind::Unreachable | ErrorKind::Invalid | ErrorKind::Credentials => {
                Self::BadGateway { message }
            }
            ErrorKind::TimedOut => Self::TimedOut { message },
        }
    }
}

impl From<FillError> for MirrorError {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Remote(error) => error.into(),
            FillError::WrongContent { .. } => Self::BadGateway {
                message: error.to_string(),
            },
            FillError::Shutdown => Self::Unavailable {
                message: error.to_string(),
                retry_after: None,
            },
            FillError::Busy => Self::Unavailable {
                message: error.to_string(),
                retry_after: Some(BUSY_RETRY_AFTER),
            },
            FillError::Peer(_) => Self::Unavailable {
                message: "another replica does not give this content any more".to_owned(),
                retry_after: None,
            },
            FillError::Object(_) => Self::Unavailable {
                message: "object storage does not give this content now".to_owned(),
                retry_after: None,
            },
            FillError::Store(_) | FillError::Abandoned => Self::internal("fill", &error),
        }
    }
}

impl From<StoreError> for MirrorError {
    fn from(error: StoreError) -> Self {
        Self::internal("store", &error)
    }
}

impl From<MetaError> for MirrorError {
    fn from(error: MetaError) -> Self {
        Self::internal("rows", &error)
    }
}

impl MirrorError {
    /// Our own fault: logged here, told to nobody.
    fn internal(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(what, error, "a request failed by this server's own fault");
        Self::Internal
    }

    /// True when the remote gave an answer about the thing that was asked: not an outage.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Refused(_))
    }
}
