//! How a task ends, and why something of it is not done.

use std::time::Duration;

use super::ReplicationError;
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
    /// It may go better later; other tags may go now.
    Retry(Later),
    /// Neither this one nor any other tag can be now: the remote is away or is to rest, or our rows cannot be read.
    Away(Later),
    /// Neither this one nor any other tag of the repository can be.
    Repository(String),
    /// This one cannot be.
    Tag(String),
}

/// What is tried again.
pub(super) struct Later {
    pub(super) error: String,
    /// As long as the remote asks for.
    pub(super) after: Option<Duration>,
    pub(super) fault: Fault,
}

impl From<MetaError> for Trouble {
    fn from(error: MetaError) -> Self {
        Self::Away(Later {
            error: error.to_string(),
            after: None,
            fault: Fault::Ours,
        })
    }
}

impl From<ReplicationError> for Trouble {
    fn from(error: ReplicationError) -> Self {
        match error {
            ReplicationError::Meta(error) => error.into(),
            other => Self::Tag(other.to_string()),
        }
    }
}

impl From<Later> for Ended {
    fn from(later: Later) -> Self {
        Self::Retry {
            error: later.error,
            after: later.after,
            fault: later.fault,
        }
    }
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Tag(error) | Trouble::Repository(error) => Self::Failed(error),
            Trouble::Retry(later) | Trouble::Away(later) => later.into(),
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
            ErrorKind::RateLimited | ErrorKind::Unreachable | ErrorKind::TimedOut => {
                let is_to_rest =
                    error.kind == ErrorKind::RateLimited || error.retry_after.is_some();
                let later = Later {
                    error: told,
                    after: error.retry_after,
                    fault: Fault::Remote,
                };
                if is_to_rest {
                    Self::Away(later)
                } else {
                    Self::Retry(later)
                }
            }
        }
    }

    /// As what a remote said to the first question about a tag: one that does not answer that answers nothing. After that
    /// it may be this tag alone that it stumbles over.
    pub(super) fn of_question(error: SendError) -> Self {
        let is_away = match &error {
            SendError::Destination(error) | SendError::Source(SourceError::Remote(error)) => {
                matches!(error.status, None | Some(502..=504))
            }
            _ => false,
        };
        match error.into() {
            Self::Retry(later) if is_away => Self::Away(later),
            other => other,
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
            other => Self::Retry(Later {
                error: other.to_string(),
                after: None,
                fault: Fault::Ours,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind, status: Option<u16>) -> SendError {
        SendError::Destination(ClientError {
            kind,
            remote: "edge".into(),
            message: "scripted".to_owned(),
            status,
            retry_after: None,
            tag_state: None,
        })
    }

    fn is_away(trouble: &Trouble) -> bool {
        matches!(trouble, Trouble::Away(_))
    }

    #[test]
    fn a_remote_that_answers_nothing_or_is_to_rest_keeps_all_tags_waiting_and_no_other() {
        let silent = || error(ErrorKind::Unreachable, None);
        let broken = || error(ErrorKind::Unreachable, Some(500));
        let behind_a_proxy = || error(ErrorKind::Unreachable, Some(502));
        let limited = || error(ErrorKind::RateLimited, Some(429));
        assert!(is_away(&Trouble::of_question(silent())));
        assert!(is_away(&Trouble::of_question(behind_a_proxy())));
        assert!(is_away(&Trouble::of_question(limited())));
        assert!(is_away(&limited().into()));
        // One tag may be what it stumbles over; the next question tells.
        for trouble in [
            Trouble::of_question(broken()),
            broken().into(),
            silent().into(),
        ] {
            assert!(matches!(trouble, Trouble::Retry(_)));
        }
        let refused = Trouble::of_question(error(ErrorKind::Denied, Some(403)));
        assert!(matches!(refused, Trouble::Repository(_)));
    }
}
