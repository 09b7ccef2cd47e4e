//! Users and their tokens as they are made, changed and listed. Called by the management API, which decides who may; each
//! change and its row of the audit are one transaction.

mod import;
mod members;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::{
    AccountError, Actor, AdminPassword, Caller, GrantText, NewToken, NewUser, Token, User,
    account::{check_name, invalid},
    grant::{read_grants, to_json},
    machine_token,
    password::Hasher,
    principals::{ADMIN, Principals},
};
use crate::{
    config::Secret,
    meta::{AccountChange, AccountRow, AuditEntry, AuditRow, Meta, MetaError, TokenRow},
};

const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// A token that is to last longer had better not expire.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Users and tokens; cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    meta: Meta,
    principals: Principals,
    hasher: Arc<Hasher>,
    admin: Option<AdminPassword>,
}

impl Accounts {
    pub fn new(meta: Meta, admin: Option<AdminPassword>) -> Self {
        let hasher = Arc::new(Hasher::new());
        Self(Arc::new(Inner {
            principals: Principals::new(meta.clone()),
            meta,
            hasher,
            admin,
        }))
    }

    /// Who made something under this name (of a caller), with what that user may now; a token's user stands for it. `None`:
    /// there is no such user any more, or it was somebody whom an issuer vouched for just then.
    pub async fn maker(&self, name: &str) -> Result<Option<Caller>, MetaError> {
        let user = name.split(machine_token::SEPARATOR).next();
        let principal = self.0.principals.user(user.unwrap_or(name)).await?;
        Ok(principal.map(|principal| Caller::Known(Arc::new(principal))))
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

fn rights_detail(is_admin: bool, rights: &str) -> serde_json::Value {
    let rights: serde_json::Value = serde_json::from_str(rights).unwrap_or_default();
    serde_json::json!({"admin": is_admin, "rights": rights})
}

fn found(was_there: bool) -> Result<(), AccountError> {
    was_there.then_some(()).ok_or(AccountError::Missing)
}
