//! Lists learned whole from remotes: tags of a repository, referrers of a digest.

use std::time::SystemTime;

use bytes::Bytes;
use sqlx::SqliteConnection;

use super::{Meta, MetaError, column, repository, writer::Write};
use crate::oci::Name;

pub(super) const SQL_GET: &str = "SELECT body, fetched_at FROM list \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND kind = $2 AND key = $3";

pub(super) const SQL_PUT: &str = "INSERT INTO list (repository_id, kind, key, body, fetched_at) \
     VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (repository_id, kind, key) DO UPDATE SET \
     body = excluded.body, fetched_at = excluded.fetched_at";

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    Tags,
    Referrers,
}

impl ListKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Referrers => "referrers",
        }
    }
}

/// A list as JSON, and when it was fetched (kept to the millisecond).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    pub body: Bytes,
    pub fetched_at: SystemTime,
}

impl Meta {
    /// `key` is empty for tags, the subject's digest for referrers.
    pub async fn list(
        &self,
        repository: &Name,
        kind: ListKind,
        key: &str,
    ) -> Result<Option<ListRow>, MetaError> {
        let query = sqlx::query_as(SQL_GET)
            .bind(repository.as_str())
            .bind(kind.as_str())
            .bind(key);
        let row: Option<(Vec<u8>, i64)> = self.read(query.fetch_optional(self.readers())).await?;
        Ok(row.map(|(body, fetched_at)| ListRow {
            body: body.into(),
            fetched_at: column::time(fetched_at),
        }))
    }

    /// Replaces a list. It alone does not make the repository one that has content.
    pub async fn list_put(
        &self,
        repository: &Name,
        kind: ListKind,
        key: &str,
        row: ListRow,
    ) -> Result<(), MetaError> {
        self.write(Write::ListPut {
            repository: repository.clone(),
            kind,
            key: key.to_owned(),
            row,
        })
        .await
    }
}

/// [`Meta::list_put`], inside a transaction.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    repository: &Name,
    kind: ListKind,
    key: &str,
    row: &ListRow,
) -> Result<(), MetaError> {
    let repository_id = repository::known(connection, repository).await?;
    sqlx::query(SQL_PUT)
        .bind(repository_id)
        .bind(kind.as_str())
        .bind(key)
        .bind(&row.body[..])
        .bind(column::milliseconds(row.fetched_at))
        .execute(connection)
        .await?;
    Ok(())
}
