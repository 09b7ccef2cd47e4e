//! `[access]`

use super::{
    ConfigError, Secret, Visibility,
    section::Section,
    value::{boolean, choice, duration, https_url, table, text},
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
        };
        let visibility = section.take("default_visibility", choice(DEFAULT_VISIBILITIES))?;
        section.set_aside("token_ttl", duration)?;
        if section.file("htpasswd")?.is_some() {
            section.note_without_effect(section.full_name("htpasswd"));
        }
        for mut issuer in section.tables("oidc")? {
            issuer.set_aside("issuer", https_url)?;
            issuer.set_aside("client_id", text)?;
            issuer.set_aside_secret("client_secret")?;
            issuer.set_aside("rights", table)?;
            issuer.finish()?;
        }
        section.finish()?;
        Ok((access, visibility.unwrap_or(Visibility::Private)))
    }
}
