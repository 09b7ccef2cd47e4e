//! Tokens of machines: found by the hash of their secret.

use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    AuditEntry, Meta, MetaError, audit, changes::Changes, column, connection::Connection,
    operation::Operation, statement::Statement,
};

pub(super) const SQL_GET: &str =
    "SELECT id, owner, name, rights, created_at, expires_at FROM token WHERE secret = $1";

pub(super) const SQL_BY_ID: &str =
    "SELECT id, owner, name, rights, created_at, expires_at FROM token WHERE id = $1";

pub(super) const SQL_PAGE: &str = "SELECT id, owner, name, rights, created_at, expires_at \
     FROM token WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const SQL_PAGE_OF: &str = "SELECT id, owner, name, rights, created_at, expires_at \
     FROM token WHERE owner = $1 AND name > $2 ORDER BY name LIMIT $3";

pub(super) const SQL_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM token";

pub(super) const SQL_COUNT_OF: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM token WHERE owner = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO token (id, owner, name, secret, rights, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (owner, name) DO NOTHING";

pub(super) const SQL_DELETE: &str = "DELETE FROM token WHERE id = $1 RETURNING secret";

pub(super) const SQL_DELETE_OF: &str = "DELETE FROM token WHERE owner = $1 RETURNING id, secret";

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// A token as it is kept; its secret is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub id: Uuid,
    /// The user for whom it acts.
    pub owner: String,
    /// Unique among those of its owner.
    pub name: String,
    /// JSON; what it means is up to `access`. `None`: everything that the owner may.
    pub rights: Option<String>,
    pub created_at: SystemTime,
    /// `None`: never.
    pub expires_at: Option<SystemTime>,
}

/// id, owner, name, rights, `created_at`, `expires_at`
type Columns = (String, String, String, Option<String>, i64, Option<i64>);

fn row(columns: Columns) -> Result<TokenRow, MetaError> {
    let (id, owner, name, rights, created_at, expires_at) = columns;
    Ok(TokenRow {
        id: column::parsed(&id)?,
        owner,
        name,
        rights,
        created_at: column::time(created_at),
        expires_at: expires_at.map(column::time),
    })
}

/// [`Meta::token_create`]
struct Create {
    row: TokenRow,
    secret: SecretHash,
    audit: AuditEntry,
}

/// [`Meta::token_delete`]
struct Delete {
    id: Uuid,
    audit: AuditEntry,
}

impl Meta {
    /// The token whose secret has this hash.
    pub async fn token(&self, secret: &SecretHash) -> Result<Option<TokenRow>, MetaError> {
        let read = async {
            let statement = Statement::new(SQL_GET).bind(Bytes::copy_from_slice(secret));
            let columns: Option<Columns> = self.fetch_optional(statement).await?;
            columns.map(row).transpose()
        };
        self.hot().tokens.get_or_read(*secret, read).await
    }

    /// The token with this id.
    pub async fn token_by_id(&self, id: Uuid) -> Result<Option<TokenRow>, MetaError> {
        let read = async {
            let statement = Statement::new(SQL_BY_ID).bind(id.to_string());
            let columns: Option<Columns> = self.fetch_optional(statement).await?;
            columns.map(row).transpose()
        };
        self.hot().token_ids.get_or_read(id, read).await
    }

    /// Up to `limit` tokens of everybody after the id `after`, in the order in which they were made.
    pub async fn tokens(
        &self,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<TokenRow>, MetaError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let statement = Statement::new(SQL_PAGE).bind(after).bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(statement).await?;
        rows.into_iter().map(row).collect()
    }

    /// Up to `limit` tokens of one user after the name `after`, sorted by name as bytes.
    pub async fn tokens_of(
        &self,
        owner: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<TokenRow>, MetaError> {
        let statement = Statement::new(SQL_PAGE_OF)
            .bind(owner)
            .bind(after)
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(statement).await?;
        rows.into_iter().map(row).collect()
    }

    /// How many tokens there are, of this user or of everybody.
    pub async fn token_count(&self, owner: Option<&str>) -> Result<u64, MetaError> {
        let count = match owner {
            Some(owner) => Statement::new(SQL_COUNT_OF).bind(owner),
            None => Statement::new(SQL_COUNT),
        };
        let row: Option<(i64,)> = self.fetch_optional(count).await?;
        column::size_read(row.map_or(0, |(count,)| count))
    }

    /// Makes a token; false if its owner has one of this name.
    pub async fn token_create(
        &self,
        row: TokenRow,
        secret: SecretHash,
        audit: AuditEntry,
    ) -> Result<bool, MetaError> {
        self.write(Create { row, secret, audit }).await
    }

    /// Deletes a token; false if there is none with this id.
    pub async fn token_delete(&self, id: Uuid, audit: AuditEntry) -> Result<bool, MetaError> {
        self.write(Delete { id, audit }).await
    }
}

impl Operation for Create {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        changes.token(self.row.id, self.secret);
        let row = &self.row;
        let put = Statement::new(SQL_PUT)
            .bind(row.id.to_string())
            .bind(row.owner.as_str())
            .bind(row.name.as_str())
            .bind(Bytes::copy_from_slice(&self.secret))
            .bind(row.rights.as_deref())
            .bind(column::milliseconds(row.created_at))
            .bind(row.expires_at.map(column::milliseconds));
        let is_new = put.execute(connection).await? > 0;
        if is_new {
            audit::put(connection, &self.audit).await?;
        }
        Ok(is_new)
    }
}

impl Operation for Delete {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let delete = Statement::new(SQL_DELETE).bind(self.id.to_string());
        let secret: Option<(Vec<u8>,)> = delete.fetch_optional(connection).await?;
        let Some((secret,)) = secret else {
            return Ok(false);
        };
        changes.token(self.id, hash(secret)?);
        audit::put(connection, &self.audit).await?;
        Ok(true)
    }
}

/// Deletes all tokens that act for a user, inside a transaction.
pub(super) async fn delete_of(
    connection: &mut Connection,
    changes: &mut Changes,
    owner: &str,
) -> Result<(), MetaError> {
    let delete = Statement::new(SQL_DELETE_OF).bind(owner);
    let deleted: Vec<(String, Vec<u8>)> = delete.fetch_all(connection).await?;
    for (id, secret) in deleted {
        changes.token(column::parsed(&id)?, hash(secret)?);
    }
    Ok(())
}

fn hash(column: Vec<u8>) -> Result<SecretHash, MetaError> {
    let length = column.len();
    SecretHash::try_from(column)
        .map_err(|_| MetaError::Corrupt(format!("a hash of {length} bytes")))
}
