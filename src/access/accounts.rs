//! Users and their tokens as they are made, changed and listed. Called by the management API, which decides who may; each
//! change and its row of the audit are one transaction.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::{
    AdminPassword, Caller, GrantError, GrantText, Source,
    grant::{of_json, read_grants, to_json},
    htpasswd::Line,
    machine_token,
    password::{Busy, Hasher},
    principals::ADMIN,
};
use crate::{
    config::Secret,
    meta::{AccountChange, AccountRow, AuditEntry, AuditRow, Meta, MetaError, TokenRow},
};

const IMPORT_PAGE: u32 = 1000;
const MAX_NAME: usize = 128;
/// Whom people may call themselves what they are not.
const RESERVED: [&str; 2] = ["anonymous", "visitor"];
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;
/// A token that is to last longer had better not expire.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Users and tokens; cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    meta: Meta,
    hasher: Arc<Hasher>,
    admin: Option<AdminPassword>,
}

/// Who makes a change, from where.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub source: Source,
}

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
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Meta(#[from] MetaError),
}

impl Accounts {
    pub fn new(meta: Meta, admin: Option<AdminPassword>) -> Self {
        let hasher = Arc::new(Hasher::new());
        Self(Arc::new(Inner {
            meta,
            hasher,
            admin,
        }))
    }

    /// The user of this name.
    pub async fn user(&self, name: &str) -> Result<Option<User>, MetaError> {
        Ok(self.0.meta.account(name).await?.map(User::from))
    }

    /// Up to `limit` users after the name `after`, sorted by name as bytes.
    pub async fn users(&self, after: &str, limit: u32) -> Result<Vec<User>, MetaError> {
        let rows = self.0.meta.accounts(after, limit).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// How many users there are.
    pub async fn user_count(&self) -> Result<u64, MetaError> {
        self.0.meta.account_count().await
    }

    /// How many tokens there are, of this user or of everybody.
    pub async fn token_count(&self, owner: Option<&str>) -> Result<u64, MetaError> {
        self.0.meta.token_count(owner).await
    }

    /// How many entries the audit has.
    pub async fn audit_count(&self) -> Result<u64, MetaError> {
        self.0.meta.audit_count().await
    }

    /// Makes a user.
    pub async fn create_user(&self, actor: &Actor, new: NewUser) -> Result<User, AccountError> {
        check_name("name", &new.name)?;
        read_grants(&new.rights)?;
        if new.name == ADMIN {
            return Err(AccountError::Exists);
        }
        let password = match &new.password {
            Some(password) => Some(self.hashed(password).await?),
            None => None,
        };
        let row = AccountRow {
            name: new.name,
            password,
            is_admin: new.is_admin,
            rights: to_json(&new.rights),
            is_imported: false,
            created_at: SystemTime::now(),
        };
        let detail = rights_detail(row.is_admin, &row.rights);
        let audit = actor.entry("user.create", &row.name, Some(detail));
        let user = User::from(row.clone());
        if self.0.meta.account_create(row, audit).await? {
            Ok(user)
        } else {
            Err(AccountError::Exists)
        }
    }

    /// Says anew what a user may.
    pub async fn set_rights(
        &self,
        actor: &Actor,
        name: &str,
        is_admin: bool,
        rights: &[GrantText],
    ) -> Result<(), AccountError> {
        read_grants(rights)?;
        if name == ADMIN {
            return Err(AccountError::Managed);
        }
        let rights = to_json(rights);
        let detail = rights_detail(is_admin, &rights);
        let audit = actor.entry("user.rights", name, Some(detail));
        let change = AccountChange::Rights { is_admin, rights };
        self.change(name, change, audit).await
    }

    /// Sets a user's password. That of the first admin too, unless the configuration says it.
    pub async fn set_password(
        &self,
        actor: &Actor,
        name: &str,
        password: &Secret,
    ) -> Result<(), AccountError> {
        let row = self.0.meta.account(name).await?;
        let is_imported = row.as_ref().is_some_and(|row| row.is_imported);
        let is_configured = self
            .0
            .admin
            .as_ref()
            .is_some_and(|admin| admin.is_configured);
        if is_imported || (name == ADMIN && is_configured) {
            return Err(AccountError::Managed);
        }
        let hash = self.hashed(password).await?;
        let audit = actor.entry("user.password", name, None);
        if name == ADMIN && row.is_none() {
            let row = AccountRow {
                name: ADMIN.to_owned(),
                password: Some(hash),
                is_admin: true,
                rights: to_json(&[]),
                is_imported: false,
                created_at: SystemTime::now(),
            };
            self.0.meta.account_create(row, audit).await?;
            return Ok(());
        }
        let change = AccountChange::Password(Some(hash));
        self.change(name, change, audit).await
    }

    /// Deletes a user and all tokens that act for it.
    pub async fn delete_user(&self, actor: &Actor, name: &str) -> Result<(), AccountError> {
        if name == ADMIN {
            return Err(AccountError::Managed);
        }
        let audit = actor.entry("user.delete", name, None);
        found(self.0.meta.account_delete(name, audit).await?)
    }

    /// The token with this id.
    pub async fn token(&self, id: Uuid) -> Result<Option<Token>, MetaError> {
        Ok(self.0.meta.token_by_id(id).await?.map(Token::from))
    }

    /// Up to `limit` tokens of everybody after the id `after`, in the order in which they were made.
    pub async fn tokens(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Token>, MetaError> {
        let rows = self.0.meta.tokens(after, limit).await?;
        Ok(rows.into_iter().map(Token::from).collect())
    }

    /// Up to `limit` tokens of one user after the name `after`, sorted by name as bytes.
    pub async fn tokens_of(
        &self,
        owner: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Token>, MetaError> {
        let rows = self.0.meta.tokens_of(owner, after, limit).await?;
        Ok(rows.into_iter().map(Token::from).collect())
    }

    /// Makes a token that acts for `actor`; its secret is not kept, so this is the only time that it is told.
    pub async fn create_token(
        &self,
        actor: &Actor,
        new: NewToken,
    ) -> Result<(Token, Secret), AccountError> {
        check_name("name", &new.name)?;
        read_grants(new.rights.as_deref().unwrap_or_default())?;
        let created_at = SystemTime::now();
        let expires_at = match new.expires_in {
            Some(lifetime) if lifetime.is_zero() || lifetime > MAX_TOKEN_LIFETIME => {
                return Err(invalid("expires_in", "more than 0, and at most 10 years"));
            }
            lifetime => lifetime.map(|lifetime| created_at + lifetime),
        };
        let row = TokenRow {
            id: Uuid::now_v7(),
            owner: actor.name.clone(),
            name: new.name,
            rights: new.rights.as_deref().map(to_json),
            created_at,
            expires_at,
        };
        let secret = machine_token::new_secret();
        let token = Token::from(row.clone());
        let detail = serde_json::json!({"id": token.id.to_string(), "rights": token.rights});
        let audit = actor.entry("token.create", &token.username, Some(detail));
        let hash = machine_token::hash(secret.expose());
        if self.0.meta.token_create(row, hash, audit).await? {
            Ok((token, secret))
        } else {
            Err(AccountError::Exists)
        }
    }

    /// Deletes a token: from now on it opens nothing.
    pub async fn delete_token(&self, actor: &Actor, id: Uuid) -> Result<(), AccountError> {
        let token = self.token(id).await?.ok_or(AccountError::Missing)?;
        let audit = actor.entry("token.delete", &token.username, None);
        found(self.0.meta.token_delete(id, audit).await?)
    }

    /// Up to `limit` entries of the audit that came before the one with the id `before`, the newest first.
    pub async fn audits(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, MetaError> {
        self.0.meta.audits(before, limit).await
    }

    /// Takes over what an htpasswd file says; how many users that changed. One that is no longer in it can no longer log in,
    /// and keeps what rights it has for when it comes back.
    pub(super) async fn import(&self, lines: Vec<Line>) -> Result<usize, AccountError> {
        let actor = Actor {
            name: "htpasswd".to_owned(),
            source: Source::UNKNOWN,
        };
        let mut changed = 0;
        let mut listed = HashSet::new();
        for (name, hash) in lines {
            changed += usize::from(self.import_one(&actor, &name, hash).await?);
            listed.insert(name);
        }
        let mut after = String::new();
        loop {
            let page = self.0.meta.accounts(&after, IMPORT_PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(changed);
            };
            after.clone_from(&last.name);
            let gone = |row: &&AccountRow| {
                row.is_imported && row.password.is_some() && !listed.contains(&row.name)
            };
            for row in page.iter().filter(gone) {
                let audit = actor.entry("user.password", &row.name, None);
                let change = AccountChange::Imported(None);
                self.change(&row.name, change, audit).await?;
                changed += 1;
            }
        }
    }

    async fn import_one(
        &self,
        actor: &Actor,
        name: &str,
        hash: Secret,
    ) -> Result<bool, AccountError> {
        let Some(row) = self.0.meta.account(name).await? else {
            let row = AccountRow {
                name: name.to_owned(),
                password: Some(hash),
                is_admin: false,
                rights: to_json(&[]),
                is_imported: true,
                created_at: SystemTime::now(),
            };
            let audit = actor.entry("user.create", name, None);
            return Ok(self.0.meta.account_create(row, audit).await?);
        };
        if !row.is_imported {
            tracing::warn!(
                user = name,
                "the htpasswd file has a user that was made here; it stays as it is"
            );
            return Ok(false);
        }
        let kept = row.password.as_ref().map(Secret::expose);
        if kept == Some(hash.expose()) {
            return Ok(false);
        }
        let audit = actor.entry("user.password", name, None);
        let change = AccountChange::Imported(Some(hash));
        self.change(name, change, audit).await?;
        Ok(true)
    }

    async fn change(
        &self,
        name: &str,
        change: AccountChange,
        audit: AuditEntry,
    ) -> Result<(), AccountError> {
        found(self.0.meta.account_change(name, change, audit).await?)
    }

    async fn hashed(&self, password: &Secret) -> Result<Secret, AccountError> {
        if !PASSWORD_LENGTH.contains(&password.expose().len()) {
            return Err(invalid("password", "8 to 1024 bytes"));
        }
        let turn = self.0.hasher.turn().await?;
        Ok(turn.hash(password).await?)
    }
}

impl Actor {
    pub fn new(caller: &Caller, source: Source) -> Self {
        let name = caller.name().to_owned();
        Self { name, source }
    }

    /// An entry for the audit: this actor did it.
    pub fn entry(
        &self,
        action: &str,
        subject: &str,
        detail: Option<serde_json::Value>,
    ) -> AuditEntry {
        AuditEntry {
            at: SystemTime::now(),
            principal: self.name.clone(),
            source: Some(self.source.to_string()),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: "done".to_owned(),
            detail: detail.map(|detail| detail.to_string()),
        }
    }
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

fn rights_detail(is_admin: bool, rights: &str) -> serde_json::Value {
    let rights: serde_json::Value = serde_json::from_str(rights).unwrap_or_default();
    serde_json::json!({"admin": is_admin, "rights": rights})
}

fn found(was_there: bool) -> Result<(), AccountError> {
    was_there.then_some(()).ok_or(AccountError::Missing)
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

fn invalid(field: &str, problem: &str) -> AccountError {
    AccountError::Invalid {
        field: field.to_owned(),
        problem: problem.to_owned(),
    }
}
