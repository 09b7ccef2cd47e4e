//! Lists learned whole from remotes: tags of a repository, referrers of a digest.

use std::time::SystemTime;

use bytes::Bytes;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    repository, statement::Statement,
};
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

/// [`Meta::list_put`]
struct ListPut {
    repository: Name,
    kind: ListKind,
    key: String,
    row: ListRow,
}

impl Meta {
    /// `key` is empty for tags, the subject's digest for referrers.
    pub async fn list(
        &self,
        repository: &Name,
        kind: ListKind,
        key: &str,
    ) -> Result<Option<ListRow>, MetaError> {
        let statement = Statement::new(SQL_GET)
            .bind(repository)
            .bind(kind.as_str())
            .bind(key);
        let row: Option<(Vec<u8>, i64)> = self.fetch_optional(statement).await?;
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
        self.write(ListPut {
            repository: repository.clone(),
            kind,
            key: key.to_owned(),
            row,
        })
        .await
    }
}

impl Operation for ListPut {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let repository_id = repository::known(connection, &self.repository).await?;
        Statement::new(SQL_PUT)
            .bind(repository_id)
            .bind(self.kind.as_str())
            .bind(self.key.as_str())
            .bind(self.row.body.clone())
            .bind(column::milliseconds(self.row.fetched_at))
            .execute(connection)
            .await?;
        Ok(())
    }
}
