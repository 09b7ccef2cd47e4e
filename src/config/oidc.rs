//! `[[access.oidc]]`: issuers whose tokens are taken for passwords, and what rights their claims give.

use super::{
    ConfigError, Pattern, Secret,
    error::Problem,
    section::Section,
    tree::Node,
    value::{Read, boolean, choice, https_url, pattern, text},
};

/// An issuer that is trusted.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// As its tokens say it in `iss`.
    pub issuer: String,
    /// What its tokens for this server say in `aud`.
    pub client_id: String,
    /// Ours, for browsers' logins; without one the proof of RFC 7636 has to do.
    pub client_secret: Option<Secret>,
    /// All that match count together.
    pub rights: Vec<OidcRight>,
}

/// What who has a claim may do.
#[derive(Debug, Clone)]
pub struct OidcRight {
    /// A claim's name, or with `/` in front a JSON pointer to it.
    pub claim: String,
    /// Matches the claim's text, or one of a list of them.
    pub value: Pattern,
    /// System admin.
    pub admin: bool,
    /// Patterns, as their text.
    pub project: String,
    pub repositories: String,
    /// The words for them.
    pub rights: Vec<&'static str>,
}

const RIGHTS: &[(&str, &str)] = &[
    ("pull", "pull"),
    ("push", "push"),
    ("delete", "delete"),
    ("seed", "seed"),
    ("admin", "admin"),
];

pub(super) fn read_all(access: &mut Section<'_>) -> Result<Vec<Oidc>, ConfigError> {
    let mut issuers: Vec<Oidc> = Vec::new();
    for mut section in access.tables("oidc")? {
        let oidc = Oidc {
            issuer: required(&mut section, "issuer", issuer)?,
            client_id: required(&mut section, "client_id", text)?,
            client_secret: section.secret("client_secret")?,
            rights: read_rights(&mut section)?,
        };
        if issuers.iter().any(|known| known.issuer == oidc.issuer) {
            return Err(section.error("issuer", Problem::new("is there twice")));
        }
        section.finish()?;
        issuers.push(oidc);
    }
    Ok(issuers)
}

fn read_rights(section: &mut Section<'_>) -> Result<Vec<OidcRight>, ConfigError> {
    let mut rights = Vec::new();
    for mut section in section.tables("rights")? {
        let right = OidcRight {
            claim: required(&mut section, "claim", text)?,
            value: section
                .take("value", pattern)?
                .unwrap_or_else(Pattern::everything),
            admin: section.take("admin", boolean)?.unwrap_or(false),
            project: section.take("project", pattern_text)?.unwrap_or_default(),
            repositories: section
                .take("repositories", pattern_text)?
                .unwrap_or_else(|| "**".to_owned()),
            rights: section
                .take_list("rights", choice(RIGHTS))?
                .unwrap_or_default(),
        };
        if !right.admin && (right.project.is_empty() || right.rights.is_empty()) {
            let problem = "missing; `project` and `rights`, or `admin = true`, say what it gives";
            return Err(section.error("rights", Problem::new(problem)));
        }
        section.finish()?;
        rights.push(right);
    }
    Ok(rights)
}

fn required<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&Node) -> Read<T>,
) -> Result<T, ConfigError> {
    let value = section.take(key, read)?;
    value.ok_or_else(|| section.error(key, Problem::new("missing")))
}

fn issuer(node: &Node) -> Read<String> {
    https_url(node)?;
    text(node)
}

fn pattern_text(node: &Node) -> Read<String> {
    pattern(node)?;
    text(node)
}
