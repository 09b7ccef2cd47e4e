//! Somebody who is known to a remote, not here: for projects with `visibility = "remote"`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Right, Scope};
use crate::{config::Secret, oci::Name};

/// A credential for a remote that a client showed, and what it may be used for.
pub struct Visitor {
    pub username: String,
    pub password: Secret,
    /// Tells credentials apart without holding them: a keyed hash of both.
    pub key: [u8; 32],
    /// As [`Principal::scope`](super::Principal::scope).
    pub(super) scope: Option<Arc<[Scope]>>,
}

/// As it is sealed in a token.
#[derive(Serialize, Deserialize)]
pub(super) struct VisitorText {
    #[serde(rename = "u")]
    pub(super) username: String,
    #[serde(rename = "p")]
    pub(super) password: String,
}

impl Visitor {
    /// May what was sent be used for this at all?
    pub fn is_in_scope(&self, right: Right, repository: &Name) -> bool {
        self.scope.as_deref().is_none_or(|scope| {
            let mut scope = scope.iter();
            scope.any(|scope| scope.repository == *repository && scope.rights.allow(right))
        })
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visitor([redacted])")
    }
}
