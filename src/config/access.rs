//! `[access]`

use std::{path::PathBuf, time::Duration};

use super::{
    ConfigError, Secret, Visibility,
    error::Problem,
    oidc::{self, Oidc},
    section::Section,
    value::{boolean, choice, duration},
};

/// Who may do what, as far as the file says it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Of the user `admin`.
    pub admin_password: Option<Secret>,
    pub challenge: Challenge,
    /// Public projects need no login.
    pub anonymous_pull: bool,
    /// A push by somebody who may create makes the hosted project.
    pub auto_create_projects: bool,
    /// How long a registry token is good.
    pub token_ttl: Duration,
    /// Users and bcrypt hashes of their passwords.
    pub htpasswd: Option<PathBuf>,
    pub oidc: Vec<Oidc>,
}

/// Does `GET /v2/` ask for a login?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Once something needs a right: a hosted or non-public project, or a principal besides the first admin.
    Auto,
    Always,
    Never,
}

const CHALLENGES: &[(&str, Challenge)] = &[
    ("auto", Challenge::Auto),
    ("always", Challenge::Always),
    ("never", Challenge::Never),
];

const DEFAULT_TOKEN_TTL: Duration = Duration::from_secs(5 * 60);

const DEFAULT_VISIBILITIES: &[(&str, Visibility)] = &[
    ("public", Visibility::Public),
    ("private", Visibility::Private),
];

impl Access {
    /// Gives the visibility of projects that say none, too.
    pub(super) fn read(mut section: Section<'_>) -> Result<(Self, Visibility), ConfigError> {
        let access = Self {
            admin_password: section.secret("admin_password")?,
            challenge: section
                .take("challenge", choice(CHALLENGES))?
                .unwrap_or(Challenge::Auto),
            anonymous_pull: section.take("anonymous_pull", boolean)?.unwrap_or(true),
            auto_create_projects: section
                .take("auto_create_projects", boolean)?
                .unwrap_or(false),
            token_ttl: read_token_ttl(&mut section)?,
            htpasswd: section.file("htpasswd")?,
            oidc: oidc::read_all(&mut section)?,
        };
        let visibility = section.take("default_visibility", choice(DEFAULT_VISIBILITIES))?;
        section.finish()?;
        Ok((access, visibility.unwrap_or(Visibility::Private)))
    }
}

/// Clients ask for a new one when less than a minute is left: shorter ones would be of no use.
fn read_token_ttl(section: &mut Section<'_>) -> Result<Duration, ConfigError> {
    const ALLOWED: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(60)..=Duration::from_secs(24 * 60 * 60);
    let ttl = section.take("token_ttl", duration)?;
    let ttl = ttl.unwrap_or(DEFAULT_TOKEN_TTL);
    if ALLOWED.contains(&ttl) {
        return Ok(ttl);
    }
    Err(section.error("token_ttl", Problem::new("expected 1m to 24h")))
}
