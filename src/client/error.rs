//! What a remote said or did not say, by what the caller can do about it.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use super::guard::Refused;
use crate::oci::TagState;

/// What the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The remote said 404, itself or a registry that it leads to.
    NotFound,
    /// The remote said 401 or 403 although it had a token or our credentials.
    Denied,
    /// We have no login where we should, or the remote's token server refuses ours: our own configuration is wrong. Says
    /// nothing about what was asked for.
    Credentials,
    /// 429, or the rate budget is gone.
    RateLimited,
    /// No connection, a broken one, or 5xx; of the remote, of its token server (also one that does not know its own address), or
    /// of who gives out our logins for it.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// It answered what cannot be right: too large, wrong digest, not parseable, redirect refused, other 4xx, 404 of a
    /// content server that it leads to.
    Invalid,
}

/// One failed request to a remote. Cheap to clone: waiters of one request share it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{remote}: {message}")]
pub struct ClientError {
    pub kind: ErrorKind,
    pub remote: Arc<str>,
    /// For people; holds no credentials and no query strings.
    pub message: String,
    /// The remote's HTTP status, if there was one.
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
    /// Of a tag that is not there: how it was deleted, if the remote tells.
    pub tag_state: Option<Box<TagState>>,
}

impl ClientError {
    /// True when the remote did give an answer about the thing asked (404, 401/403): not an outage.
    pub fn is_answer(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound | ErrorKind::Denied)
    }

    pub(super) fn new(kind: ErrorKind, remote: &Arc<str>, message: impl Into<String>) -> Self {
        Self {
            kind,
            remote: Arc::clone(remote),
            message: message.into(),
            status: None,
            retry_after: None,
            tag_state: None,
        }
    }

    pub(super) fn invalid(remote: &Arc<str>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, remote, message)
    }

    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}

/// Why a client cannot be made: its files.
#[derive(Debug, thiserror::Error)]
#[error("remote `{remote}`: {message}")]
pub struct SetupError {
    pub remote: String,
    pub message: String,
}

/// One failed try, with what the retries need to know.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: ClientError,
    /// The same request may well succeed soon.
    pub(super) again: bool,
    /// Nobody is there: no connection, or no answer in time.
    pub(super) silent: bool,
}

impl Failure {
    pub(super) fn again(error: ClientError) -> Self {
        Self {
            again: true,
            ..Self::from(error)
        }
    }

    /// A request that got no answer.
    pub(super) fn of_request(remote: &Arc<str>, error: reqwest::Error) -> Self {
        // The URL may have a signature in its query.
        let error = &error.without_url();
        if let Some(refused) = find::<Refused>(error) {
            return ClientError::invalid(remote, refused.to_string()).into();
        }
        if error.is_timeout() {
            let message = if error.is_connect() {
                "no connection in time"
            } else {
                "no answer in time"
            };
            return Self::again(ClientError::new(ErrorKind::TimedOut, remote, message));
        }
        Self {
            // A certificate that is wrong now is wrong in a second.
            again: find::<rustls::Error>(error).is_none(),
            silent: error.is_connect(),
            error: ClientError::new(ErrorKind::Unreachable, remote, innermost(error)),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self {
            again: false,
            silent: error.kind == ErrorKind::TimedOut && error.status.is_none(),
            error,
        }
    }
}

/// The text of the cause at the bottom, as a person would say it: `connection refused`.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let last = chain(error).last().unwrap_or(error);
    let text = clean(&last.to_string(), 300);
    match text.split_once(" (os error ") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

/// Foreign text made fit for a message: bounded, without control characters.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect();
    text.trim().to_owned()
}

fn find<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes; looks into `io::Error`, which hides its own.
fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn StdError + 'static)| {
        let error: &'e (dyn StdError + 'static) = *error;
        let inside = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match inside {
            Some(inside) => Some(inside as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}
