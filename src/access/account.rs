//! Users and tokens as others may see them, and as they are to be.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use super::{GrantError, GrantText, grant::of_json, machine_token, password::Busy};
use crate::{
    config::Secret,
    meta::{AccountRow, MetaError, TokenRow},
};

const MAX_NAME: usize = 128;

/// Whom people may call themselves what they are not.
const RESERVED: [&str; 2] = ["anonymous", "visitor"];

/// A user as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub is_admin: bool,
    pub rights: Vec<GrantText>,
    /// The password comes from the htpasswd file.
    pub is_imported: bool,
    pub created_at: SystemTime,
}

/// What a user may do in one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The name of the user.
    pub principal: String,
    /// Pattern on repository names without the project.
    pub repositories: String,
    /// `pull`, `push`, `delete`, `seed`, `admin`.
    pub rights: Vec<String>,
}

/// A user to be.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Letters, digits, `.`, `_`, `-`, `@`; at most 128.
    pub name: String,
    /// At least 8 bytes; `None`: nobody can log in by this name yet.
    pub password: Option<Secret>,
    pub is_admin: bool,
    pub rights: Vec<GrantText>,
}

/// A machine's token as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: Uuid,
    /// The user for whom it acts.
    pub owner: String,
    pub name: String,
    /// Goes with the secret: `owner+name`.
    pub username: String,
    /// `None`: everything that the owner may.
    pub rights: Option<Vec<GrantText>>,
    pub created_at: SystemTime,
    pub expires_at: Option<SystemTime>,
}

/// A token to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// As a user's; unique among those of its owner.
    pub name: String,
    pub rights: Option<Vec<GrantText>>,
    /// `None`: never.
    pub expires_in: Option<Duration>,
}

/// Why a user or token is not made, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("`{field}`: {problem}")]
    Invalid { field: String, problem: String },
    /// Of this name there is one already.
    #[error("the name is taken")]
    Exists,
    #[error("there is none of this name")]
    Missing,
    /// The configuration file, or the htpasswd file, says it.
    #[error("it is managed by the configuration")]
    Managed,
    /// Others changed the same again and again.
    #[error("others change this at the same time; try again")]
    Contended,
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Meta(#[from] MetaError),
}

impl From<AccountRow> for User {
    fn from(row: AccountRow) -> Self {
        Self {
            rights: of_json(&row.rights, &row.name),
            name: row.name,
            is_admin: row.is_admin,
            is_imported: row.is_imported,
            created_at: row.created_at,
        }
    }
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let username = machine_token::token_username(&row);
        Self {
            rights: row.rights.as_deref().map(|json| of_json(json, &username)),
            id: row.id,
            owner: row.owner,
            name: row.name,
            username,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

impl From<GrantError> for AccountError {
    fn from(GrantError { field, problem }: GrantError) -> Self {
        Self::Invalid { field, problem }
    }
}

/// A name that fits into a URL, into `Authorization: Basic`, and beside others in a line.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), AccountError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_allowed) {
        let problem = "1 to 128 letters, digits, `.`, `_`, `-`, `@`";
        return Err(invalid(field, problem));
    }
    if RESERVED.contains(&name) {
        return Err(invalid(field, "this name means somebody else"));
    }
    Ok(())
}

pub(super) fn invalid(field: &str, problem: &str) -> AccountError {
    AccountError::Invalid {
        field: field.to_owned(),
        problem: problem.to_owned(),
    }
}
