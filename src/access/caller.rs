//! The one who asks, and what they may do. Pure.

use std::sync::Arc;

use super::{Principal, Right};
use crate::{
    config::{Project, Visibility},
    oci::Name,
};

/// Who asks; cheap to clone.
#[derive(Debug, Clone)]
pub enum Caller {
    Anonymous,
    Known(Arc<Principal>),
}

impl Caller {
    /// The admin that every server has, for what the server does by itself and for tests.
    pub fn admin() -> Self {
        Self::Known(Arc::new(Principal::admin("admin")))
    }

    /// May this caller do this in this repository (whole name, project first)? What is public may be pulled by anybody;
    /// all else takes a right.
    pub fn may(&self, right: Right, project: &Project, repository: &Name) -> bool {
        self.may_at(right, project.visibility, repository)
    }

    /// [`Caller::may`] for a repository that has a visibility of its own.
    pub fn may_at(&self, right: Right, visibility: Visibility, repository: &Name) -> bool {
        let is_open = right == Right::Pull && visibility == Visibility::Public;
        is_open
            || match self {
                Self::Anonymous => false,
                Self::Known(principal) => principal.holds(right, repository),
            }
    }

    /// May this caller know of this project? Who holds any right in it, and everybody if it is public.
    pub fn may_see_project(&self, project: &Project) -> bool {
        project.visibility == Visibility::Public
            || match self {
                Self::Anonymous => false,
                Self::Known(principal) => principal.is_known_in(&project.name),
            }
    }

    /// An admin of the system, and not by a token for something less.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Known(principal) if principal.is_admin && principal.scope.is_none())
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// As logs and the audit tell it.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Known(principal) => &principal.name,
        }
    }
}
