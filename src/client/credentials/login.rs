//! A login as it is sent.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;

use crate::config::Secret;

/// What proves who we are. Never printed.
pub(in crate::client) enum Login {
    /// `Authorization: Basic …`.
    Password(HeaderValue),
    /// Exchanged for other tokens at a token server.
    Token(Secret),
}

impl Login {
    pub(in crate::client) fn password(username: &str, password: &str) -> Self {
        let encoded = BASE64_STANDARD.encode(format!("{username}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
            .expect("base64 is made of header characters");
        value.set_sensitive(true);
        Self::Password(value)
    }

    pub(in crate::client) fn token(token: &str) -> Self {
        Self::Token(Secret::new(token.to_owned()))
    }
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Password(one), Self::Password(two)) => one == two,
            (Self::Token(one), Self::Token(two)) => one.expose() == two.expose(),
            _ => false,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password([redacted])",
            Self::Token(_) => "Token([redacted])",
        })
    }
}
