//! Why a running server did not do what a command asked, and what may help.

use http::StatusCode;
use url::Url;

use crate::access::OwnFileError;

/// The user whose password the server's own files hold.
pub(super) const FIRST_ADMIN: &str = "admin";

/// Why the server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no answer from {url}")]
    Unreachable {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} does not answer as an Entrepot does: {problem}")]
    Foreign { url: Url, problem: String },
    /// The server's own password is in a file that only others may read.
    #[error("no password was given")]
    NoPassword(#[source] OwnFileError),
    /// 401: it does not know who asks.
    #[error("{url} refuses: {detail}")]
    Refused {
        url: Url,
        detail: String,
        sent: Sent,
    },
    /// 403: it knows who asks.
    #[error("{url} refuses: {detail}")]
    Forbidden { url: Url, detail: String },
    /// 404
    #[error("{0}")]
    NotFound(String),
    /// Any other status.
    #[error("{detail}")]
    Failed { status: StatusCode, detail: String },
}

impl CallError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("`--server` or ENTREPOT_URL says where the server is"),
            Self::NoPassword(_) => Some(Sent::Nothing.hint()),
            Self::Refused { sent, .. } => Some(sent.hint()),
            Self::Forbidden { .. }
            | Self::Foreign { .. }
            | Self::NotFound(_)
            | Self::Failed { .. } => None,
        }
    }

    /// Is it about the server, whatever it is asked next?
    pub(super) fn is_of_server(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Foreign { .. }
            | Self::NoPassword(_)
            | Self::Refused { .. }
            | Self::Forbidden { .. } => true,
            Self::NotFound(_) | Self::Failed { .. } => false,
        }
    }
}

/// What a server was told of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    Token,
    /// Of the first admin.
    AdminPassword,
    /// Of another user.
    Password,
}

impl Sent {
    fn hint(self) -> &'static str {
        match self {
            Self::Nothing => {
                "`--token` or ENTREPOT_TOKEN gives a token; or `--password` or ENTREPOT_ADMIN_PASSWORD the password of the user \
                 `admin`: it is `access.admin_password` of the server's configuration, or in the file `admin-password` of its \
                 data folder"
            }
            Self::Token => {
                "`--token` or ENTREPOT_TOKEN gives the secret of a token that is still good; `entrepot token create` makes one"
            }
            Self::AdminPassword => {
                "`--password` or ENTREPOT_ADMIN_PASSWORD gives the password of the user `admin`; it is \
                 `access.admin_password` of the server's configuration, or in the file `admin-password` of its data folder"
            }
            Self::Password => {
                "`--user` gives the name of a user, and `--password` or ENTREPOT_ADMIN_PASSWORD that user's password"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(sent: Sent) -> &'static str {
        let refused = CallError::Refused {
            url: Url::parse("http://192.0.2.1:5000").unwrap(),
            detail: "who are you".to_owned(),
            sent,
        };
        refused.hint().unwrap()
    }

    #[test]
    fn a_hint_is_about_what_was_sent() {
        assert!(hint(Sent::Nothing).starts_with("`--token`"));
        assert!(hint(Sent::Nothing).contains("`--password`"));
        assert!(hint(Sent::AdminPassword).contains("admin-password"));
        let of_token = hint(Sent::Token);
        assert!(of_token.contains("`--token`") && !of_token.contains("password"));
        let of_user = hint(Sent::Password);
        assert!(of_user.contains("`--user`") && !of_user.contains("admin-password"));
    }

    #[test]
    fn who_may_not_is_not_told_how_to_log_in() {
        let forbidden = CallError::Forbidden {
            url: Url::parse("http://192.0.2.1:5000").unwrap(),
            detail: "this takes an admin".to_owned(),
        };
        assert_eq!(forbidden.hint(), None);
    }
}
