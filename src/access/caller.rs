//! The one who asks, and what they may do. Pure.

use std::sync::Arc;

use super::{Principal, Right, Visitor};
use crate::{
    config::{Project, Visibility},
    oci::Name,
};

/// Who asks; cheap to clone.
#[derive(Debug, Clone)]
pub enum Caller {
    Anonymous,
    Known(Arc<Principal>),
    /// Somebody whom a remote may know.
    Visitor(Arc<Visitor>),
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
                Self::Anonymous | Self::Visitor(_) => false,
                Self::Known(principal) => principal.holds(right, repository),
            }
    }

    /// May this caller do this in every repository of a project of this name, there already or not?
    pub fn may_on_project(&self, right: Right, project: &str) -> bool {
        match self {
            Self::Known(principal) => principal.holds_on_project(right, project),
            Self::Anonymous | Self::Visitor(_) => false,
        }
    }

    /// May a push to this repository by this caller make the project that it is to be in?
    pub fn makes_project_of(&self, repository: &Name) -> bool {
        match self {
            Self::Known(principal) => principal.makes_project_of(repository),
            Self::Anonymous | Self::Visitor(_) => false,
        }
    }

    /// Who may pull here if, and only if, the project's remote lets them.
    pub fn visitor_of(&self, project: &Project, repository: &Name) -> Option<&Arc<Visitor>> {
        match self {
            Self::Visitor(visitor)
                if project.visibility == Visibility::Remote
                    && visitor.is_in_scope(Right::Pull, repository) =>
            {
                Some(visitor)
            }
            _ => None,
        }
    }

    /// May this caller know of this project? Who holds any right in it, and everybody if it is public.
    pub fn may_see_project(&self, project: &Project) -> bool {
        match (self, project.visibility) {
            (_, Visibility::Public) | (Self::Visitor(_), Visibility::Remote) => true,
            (Self::Anonymous | Self::Visitor(_), _) => false,
            (Self::Known(principal), _) => principal.is_known_in(&project.name),
        }
    }

    /// Can what was sent not be used for this, whatever its holder may? Then another token might do.
    pub fn lacks_scope(&self, right: Right, repository: &Name) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Known(principal) => !principal.is_in_scope(right, repository),
            Self::Visitor(visitor) => !visitor.is_in_scope(right, repository),
        }
    }

    /// Does this caller hold a registry token, which is for some repositories only?
    pub fn has_scope(&self) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Known(principal) => principal.scope.is_some(),
            Self::Visitor(visitor) => visitor.scope.is_some(),
        }
    }

    /// As the list of all repositories is to see this caller; `None`: the token that was sent is not for that.
    pub fn for_catalog(&self) -> Option<Self> {
        match self {
            Self::Known(principal) if principal.scope.is_some() => {
                let unscoped = || Principal {
                    scope: None,
                    ..Principal::clone(principal)
                };
                principal
                    .is_for_catalog
                    .then(|| Self::Known(Arc::new(unscoped())))
            }
            other => Some(other.clone()),
        }
    }

    /// An admin of the system, and not by a token for something less.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Known(principal) if principal.is_admin && principal.scope.is_none())
    }

    /// A user who logged in with the user's own password: no token, and nobody whom somebody else vouches for.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Known(principal) if principal.scope.is_none() && principal.is_user())
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// As logs and the audit tell it.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Known(principal) => &principal.name,
            Self::Visitor(_) => "visitor",
        }
    }
}
