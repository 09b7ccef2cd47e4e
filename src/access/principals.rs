//! From rows to principals. The rows decide, each time; what was read out of their text before is kept beside them.

use std::{sync::Arc, time::SystemTime};

use moka::future::Cache;
use uuid::Uuid;

use super::{Grant, Principal, grant::grants_of_json, principal::Subject, token_username};
use crate::meta::{AccountRow, Meta, MetaError, SecretHash, TokenRow};

/// The user that every server has.
pub const ADMIN: &str = "admin";

const KEPT: u64 = 10_000;

/// Finds principals.
pub(super) struct Principals {
    meta: Meta,
    /// By the text of the rights.
    grants: Cache<Arc<str>, Arc<[Grant]>>,
}

impl Principals {
    pub(super) fn new(meta: Meta) -> Self {
        Self {
            meta,
            grants: Cache::new(KEPT),
        }
    }

    /// The row of a user.
    pub(super) async fn account(&self, name: &str) -> Result<Option<AccountRow>, MetaError> {
        self.meta.account(name).await
    }

    /// A user, as the rows say now. The first admin needs none.
    pub(super) async fn user(&self, name: &str) -> Result<Option<Principal>, MetaError> {
        if name == ADMIN {
            return Ok(Some(Principal::admin(ADMIN)));
        }
        match self.account(name).await? {
            Some(row) => Ok(Some(self.of_account(&row).await)),
            None => Ok(None),
        }
    }

    async fn of_account(&self, row: &AccountRow) -> Principal {
        Principal {
            name: row.name.clone(),
            is_admin: row.is_admin,
            grants: self.grants(&row.rights, &row.name).await,
            ..Principal::default()
        }
    }

    /// Whom a machine's secret stands for.
    pub(super) async fn by_secret(
        &self,
        secret: &SecretHash,
    ) -> Result<Option<Principal>, MetaError> {
        match self.meta.token(secret).await? {
            Some(row) => self.of_token(&row).await,
            None => Ok(None),
        }
    }

    /// Whom a machine's token with this id stands for.
    pub(super) async fn by_id(&self, id: Uuid) -> Result<Option<Principal>, MetaError> {
        match self.meta.token_by_id(id).await? {
            Some(row) => self.of_token(&row).await,
            None => Ok(None),
        }
    }

    async fn of_token(&self, row: &TokenRow) -> Result<Option<Principal>, MetaError> {
        if row.expires_at.is_some_and(|at| at <= SystemTime::now()) {
            return Ok(None);
        }
        let Some(owner) = self.user(&row.owner).await? else {
            return Ok(None);
        };
        let name = token_username(row);
        let subject = Subject::Token(row.id);
        let Some(rights) = &row.rights else {
            return Ok(Some(Principal {
                name,
                subject,
                ..owner
            }));
        };
        Ok(Some(Principal {
            grants: self.grants(rights, &name).await,
            within: Some(Arc::new(owner)),
            name,
            subject,
            ..Principal::default()
        }))
    }

    async fn grants(&self, json: &str, of: &str) -> Arc<[Grant]> {
        let read = async { grants_of_json(json, of).into() };
        self.grants.get_with(Arc::from(json), read).await
    }

    /// Is there anybody besides the first admin?
    pub(super) async fn are_more(&self) -> Result<bool, MetaError> {
        let accounts = self.meta.accounts("", 2).await?;
        Ok(accounts.iter().any(|row| row.name != ADMIN)
            || !self.meta.tokens(None, 1).await?.is_empty())
    }
}
