//! Somebody who is known: a user, a machine's token, or who a trusted issuer vouches for.

use std::{sync::Arc, time::SystemTime};

use uuid::Uuid;

use super::{GrantText, Right, Rights};
use crate::{config::Pattern, oci::Name};

/// Who somebody is and what they may do now.
#[derive(Debug, Clone, Default)]
pub struct Principal {
    /// As logs and the audit tell it.
    pub name: String,
    /// Of the whole system: may do everything.
    pub is_admin: bool,
    pub grants: Arc<[Grant]>,
    /// On whose behalf, and never for more than that principal may.
    pub within: Option<Arc<Principal>>,
    /// What the token that was sent is good for; `None` is everything that the principal may. Rights that were taken
    /// away since are gone all the same: both must allow.
    pub scope: Option<Arc<[Scope]>>,
    /// The token that was sent is good for listing repositories, too.
    pub(super) is_for_catalog: bool,
    pub(super) subject: Subject,
}

/// How a principal is found again by what a registry token says.
#[derive(Debug, Clone, Default)]
pub(super) enum Subject {
    /// A user; by the principal's name.
    #[default]
    User,
    /// A machine's token.
    Token(Uuid),
    /// Somebody whom a trusted issuer vouches for, until then.
    Outside {
        grants: Arc<[GrantText]>,
        until: SystemTime,
    },
}

/// Rights in the repositories that match.
#[derive(Debug, Clone)]
pub struct Grant {
    /// On project names.
    pub project: Pattern,
    /// On repository names without the project.
    pub repositories: Pattern,
    pub rights: Rights,
}

/// What a registry token was issued for, in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The whole local name, project first.
    pub repository: Name,
    pub rights: Rights,
}

impl Principal {
    /// The admin that every server has.
    pub fn admin(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_admin: true,
            ..Self::default()
        }
    }

    pub(super) fn is_user(&self) -> bool {
        matches!(self.subject, Subject::User)
    }

    /// Does this principal hold the right in this repository (whole name, project first)?
    pub fn holds(&self, right: Right, repository: &Name) -> bool {
        let gives = |grant: &Grant| grant.gives(right, repository);
        self.is_in_scope(right, repository)
            && (self.is_admin || self.grants.iter().any(gives))
            && self.acts_within(|whom| whom.holds(right, repository))
    }

    /// May what was sent be used for this at all? If not, another token might.
    pub fn is_in_scope(&self, right: Right, repository: &Name) -> bool {
        let Some(scope) = &self.scope else {
            return true;
        };
        let mut scope = scope.iter();
        scope.any(|scope| scope.repository == *repository && scope.rights.allow(right))
    }

    /// Does this principal hold any right in any repository of this project?
    pub fn is_known_in(&self, project: &str) -> bool {
        let is_in_scope = |scope: &[Scope]| scope.iter().any(|s| s.repository.first() == project);
        let is_of_it = |grant: &Grant| grant.project.matches(project);
        self.scope.as_deref().is_none_or(is_in_scope)
            && (self.is_admin || self.grants.iter().any(is_of_it))
            && self.acts_within(|whom| whom.is_known_in(project))
    }

    /// Does this principal hold the right on the project as a whole: in every repository of it?
    pub fn holds_on_project(&self, right: Right, project: &str) -> bool {
        self.scope.is_none() && self.is_given_on_project(right, project)
    }

    /// May a push to this repository by this principal make its project? That takes the right to push to all of it; what was
    /// sent need be good for this repository alone, as the tokens of registry clients are.
    pub fn makes_project_of(&self, repository: &Name) -> bool {
        self.is_in_scope(Right::Push, repository)
            && self.is_given_on_project(Right::Push, repository.first())
    }

    /// Whatever the token that was sent is good for.
    fn is_given_on_project(&self, right: Right, project: &str) -> bool {
        let gives = |grant: &Grant| {
            grant.project.matches(project)
                && grant.repositories.is_everything()
                && grant.rights.allow(right)
        };
        (self.is_admin || self.grants.iter().any(gives))
            && self.acts_within(|whom| whom.holds_on_project(right, project))
    }

    fn acts_within(&self, allows: impl Fn(&Self) -> bool) -> bool {
        self.within.as_deref().is_none_or(allows)
    }
}

impl Grant {
    fn gives(&self, right: Right, repository: &Name) -> bool {
        // The repository that is called as its project has no further components.
        let rest = repository.rest();
        let rest = rest.as_ref().map_or("", Name::as_str);
        self.rights.allow(right)
            && self.project.matches(repository.first())
            && self.repositories.matches(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(project: &str, repositories: &str, rights: &[Right]) -> Grant {
        Grant {
            project: Pattern::parse(project).unwrap(),
            repositories: Pattern::parse(repositories).unwrap(),
            rights: rights.iter().copied().collect(),
        }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn ci() -> Principal {
        Principal {
            name: "ci".to_owned(),
            grants: Arc::new([
                grant("team", "apps/**", &[Right::Pull, Right::Push]),
                grant("{base,tools}", "**", &[Right::Pull]),
            ]),
            ..Principal::default()
        }
    }

    #[test]
    fn a_grant_is_for_its_project_its_repositories_and_its_rights() {
        let ci = ci();
        assert!(ci.holds(Right::Push, &name("team/apps/web")));
        assert!(ci.holds(Right::Pull, &name("tools/a/b")));
        for (right, other) in [
            (Right::Delete, "team/apps/web"),
            (Right::Push, "team/secret"),
            (Right::Push, "base/alpine"),
            (Right::Pull, "teams/apps/web"),
        ] {
            assert!(!ci.holds(right, &name(other)), "{right} {other}");
        }
        assert!(ci.is_known_in("team") && ci.is_known_in("base") && !ci.is_known_in("other"));
    }

    #[test]
    fn only_a_grant_for_every_repository_is_one_on_the_project() {
        let ci = ci();
        assert!(ci.holds_on_project(Right::Pull, "base"));
        assert!(!ci.holds_on_project(Right::Pull, "team"));
        assert!(Principal::admin("admin").holds_on_project(Right::Admin, "team"));
    }

    #[test]
    fn a_pattern_for_everything_matches_the_repository_called_as_its_project() {
        assert!(ci().holds(Right::Pull, &name("base")));
        assert!(!ci().holds(Right::Pull, &name("team")));
    }

    #[test]
    fn who_acts_for_somebody_may_no_more_than_both() {
        let wide = Principal {
            grants: Arc::new([grant("**", "**", &[Right::Admin])]),
            within: Some(Arc::new(ci())),
            ..Principal::default()
        };
        assert!(wide.holds(Right::Push, &name("team/apps/web")));
        assert!(!wide.holds(Right::Delete, &name("team/apps/web")));
        assert!(!wide.is_known_in("other"));
        assert!(!wide.holds_on_project(Right::Admin, "base"));
        let narrow = Principal {
            grants: Arc::new([grant("base", "**", &[Right::Pull])]),
            within: Some(Arc::new(Principal::admin("admin"))),
            ..Principal::default()
        };
        assert!(narrow.holds(Right::Pull, &name("base/alpine")));
        assert!(!narrow.holds(Right::Pull, &name("team/apps/web")));
    }

    #[test]
    fn scope_and_rights_must_both_allow() {
        let scoped = |rights: &[Right]| Principal {
            scope: Some(Arc::new([Scope {
                repository: name("team/apps/web"),
                rights: rights.iter().copied().collect(),
            }])),
            ..ci()
        };
        let pull = scoped(&[Right::Pull, Right::Delete]);
        assert!(pull.holds(Right::Pull, &name("team/apps/web")));
        assert!(!pull.holds(Right::Push, &name("team/apps/web")));
        assert!(!pull.holds(Right::Delete, &name("team/apps/web")));
        assert!(!pull.holds(Right::Pull, &name("team/apps/api")));
        assert!(pull.is_known_in("team") && !pull.is_known_in("base"));
        let admin = Principal {
            is_admin: true,
            ..scoped(&[])
        };
        assert!(!admin.holds(Right::Pull, &name("team/apps/web")));
        assert!(!admin.holds_on_project(Right::Pull, "team"));
    }
}
