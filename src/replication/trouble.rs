//! How a task ends, and why something of it is not done.

use std::time::Duration;

use crate::{
    client::{ClientError, ErrorKind},
    meta::MetaError,
    transfer::send::{SendError, SourceError},
};

/// How a task came to an end.
pub(super) enum Ended {
    Succeeded {
        /// What was left alone, if anything was.
        message: Option<String>,
    },
    Failed(String),
    Stopped,
    /// The server goes.
    Interrupted,
    /// The hours are over in which the remote may be used.
    Closed,
    /// It deletes, and what is to be sent there before is not yet.
    Behind,
    Retry {
        error: String,
        /// As long as the remote asks for.
        after: Option<Duration>,
        fault: Fault,
    },
}

/// Whose fault it is that something cannot be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Remote,
    Ours,
}

/// Why a tag was not dealt with.
pub(super) enum Trouble {
    /// It may go better later.
    Retry {
        error: String,
        after: Option<Duration>,
        fault: Fault,
    },
    /// Neither this one nor any other tag of the repository can be.
    Repository(String),
    /// This one cannot be.
    Tag(String),
}

impl From<MetaError> for Trouble {
    fn from(error: MetaError) -> Self {
        Self::Retry {
            error: error.to_string(),
            after: None,
            fault: Fault::Ours,
        }
    }
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Tag(error) | Trouble::Repository(error) => Self::Failed(error),
            Trouble::Retry {
                error,
                after,
                fault,
            } => Self::Retry {
                error,
                after,
                fault,
            },
        }
    }
}

impl Trouble {
    /// What a remote said; `needed`: what the credentials need there.
    fn of(error: &ClientError, needed: &str) -> Self {
        let told = error.to_string();
        match error.kind {
            ErrorKind::Denied | ErrorKind::Credentials => Self::Repository(format!(
                "{told}; the credentials of the remote need the right to {needed}"
            )),
            ErrorKind::NotFound => Self::Repository(format!(
                "{told}; the project may have to be made there first"
            )),
            ErrorKind::Invalid => Self::Tag(told),
            ErrorKind::RateLimited | ErrorKind::Unreachable | ErrorKind::TimedOut => Self::Retry {
                error: told,
                after: error.retry_after,
                fault: Fault::Remote,
            },
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::of(&error, "push, and to delete if the rule propagates deletes")
    }
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Destination(error) => error.into(),
            SendError::Source(SourceError::Remote(error)) if error.kind == ErrorKind::NotFound => {
                Self::Tag(error.to_string())
            }
            SendError::Source(SourceError::Remote(error)) => Self::of(&error, "pull"),
            other if other.is_terminal() => Self::Tag(other.to_string()),
            other => Self::Retry {
                error: other.to_string(),
                after: None,
                fault: Fault::Ours,
            },
        }
    }
}
