//! From an `Authorization` header to a [`Caller`], and whether callers are asked to log in at all.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use super::{Caller, Source};
use crate::config::{Access, Challenge, Project, Visibility};

const ADMIN: &str = "admin";

/// What the configuration says of logins.
pub struct Gate {
    /// SHA-256 of the admin's password; without one there is no admin.
    admin_password: Option<[u8; 32]>,
    challenges: bool,
    anonymous_pull: bool,
}

/// Why nobody knows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// Credentials were sent, and they are not right.
    #[error("the user name or the password is wrong")]
    Wrong,
}

impl Gate {
    pub fn new(access: &Access, projects: &[Project]) -> Self {
        let all_open = access.anonymous_pull
            && projects
                .iter()
                .all(|project| project.visibility == Visibility::Public);
        Self {
            admin_password: access.admin_password.as_ref().map(|s| sha256(s.expose())),
            challenges: match access.challenge {
                Challenge::Always => true,
                Challenge::Auto => !all_open,
                Challenge::Never => false,
            },
            anonymous_pull: access.anonymous_pull,
        }
    }

    /// Who sent these headers, from where.
    #[expect(clippy::unused_async, reason = "users are rows")]
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        _source: Source,
    ) -> Result<Caller, IdentifyError> {
        let Some(authorization) = headers.get(header::AUTHORIZATION) else {
            return Ok(Caller::Anonymous);
        };
        let (user, password) = basic(authorization.as_bytes()).ok_or(IdentifyError::Wrong)?;
        if user.is_empty() && password.is_empty() {
            return Ok(Caller::Anonymous);
        }
        let matches = self
            .admin_password
            .is_some_and(|expected| same(&expected, &sha256(&password)));
        if matches && user == ADMIN {
            Ok(Caller::admin())
        } else {
            Err(IdentifyError::Wrong)
        }
    }

    /// Is an anonymous caller asked to log in?
    pub fn challenges(&self) -> bool {
        self.challenges
    }

    /// May this caller pull anything at all?
    pub fn admits(&self, caller: &Caller) -> bool {
        !caller.is_anonymous() || self.anonymous_pull
    }
}

/// User and password of a `Basic` header (RFC 7617).
fn basic(authorization: &[u8]) -> Option<(String, String)> {
    let (scheme, token) = std::str::from_utf8(authorization).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Compares hashes in a time that does not depend on where they differ.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter()
        .zip(right)
        .fold(0, |seen, (l, r)| seen | (l ^ r))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProjectKind, Secret};

    fn access() -> Access {
        Access {
            admin_password: Some(Secret::new("s3cret:with colon".to_owned())),
            challenge: Challenge::Auto,
            anonymous_pull: true,
        }
    }

    fn project(visibility: Visibility) -> Project {
        Project {
            name: "p".to_owned(),
            kind: ProjectKind::Hosted,
            hosts: Vec::new(),
            default: false,
            visibility,
            allow: Vec::new(),
            deny: Vec::new(),
            prefix: None,
            keep_deleted: false,
            negative_ttl: std::time::Duration::ZERO,
            offline: false,
            max_bytes: None,
            freshness: Vec::new(),
            immutable_tags: Vec::new(),
            sparse_index: true,
            sparse_image: false,
        }
    }

    fn header(user: &str, password: &str) -> String {
        format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{user}:{password}"))
        )
    }

    async fn identify(gate: &Gate, authorization: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let caller = gate.identify(&headers, Source::UNKNOWN).await.ok()?;
        Some(caller.name().to_owned())
    }

    #[tokio::test]
    async fn without_credentials_a_caller_is_anonymous() {
        let gate = Gate::new(&access(), &[]);
        for none in [None, Some(header("", ""))] {
            let caller = identify(&gate, none.as_deref()).await;
            assert_eq!(caller.as_deref(), Some("anonymous"));
        }
    }

    #[tokio::test]
    async fn the_admin_is_known_by_name_and_password() {
        let gate = Gate::new(&access(), &[]);
        let right = header("admin", "s3cret:with colon");
        assert_eq!(
            identify(&gate, Some(&right)).await.as_deref(),
            Some("admin")
        );
        for wrong in [
            &header("admin", "s3cret"),
            &header("admin", ""),
            &header("root", "s3cret:with colon"),
            "Bearer abc",
            "Basic ???",
            "Basic",
        ] {
            assert_eq!(identify(&gate, Some(wrong)).await, None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn without_a_configured_password_there_is_no_admin() {
        let gate = Gate::new(
            &Access {
                admin_password: None,
                ..access()
            },
            &[],
        );
        assert_eq!(identify(&gate, Some(&header("admin", ""))).await, None);
    }

    #[test]
    fn a_login_is_asked_for_once_something_is_not_public() {
        let open = project(Visibility::Public);
        let closed = project(Visibility::Private);
        let challenges = |challenge, projects: &[Project]| {
            Gate::new(
                &Access {
                    challenge,
                    ..access()
                },
                projects,
            )
            .challenges()
        };
        assert!(!challenges(Challenge::Auto, std::slice::from_ref(&open)));
        assert!(challenges(Challenge::Auto, &[open.clone(), closed.clone()]));
        assert!(challenges(Challenge::Always, &[open]));
        assert!(!challenges(Challenge::Never, &[closed]));
    }

    #[test]
    fn without_anonymous_pull_a_login_is_needed_and_asked_for() {
        let gate = Gate::new(
            &Access {
                anonymous_pull: false,
                ..access()
            },
            &[project(Visibility::Public)],
        );
        assert!(gate.challenges());
        assert!(!gate.admits(&Caller::Anonymous));
        assert!(gate.admits(&Caller::admin()));
    }
}
