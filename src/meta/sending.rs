//! Upload sessions at remotes that tasks have under way.

use url::Url;
use uuid::Uuid;

use super::{Meta, MetaError, column, statement::Statement};
use crate::oci::Digest;

pub(super) const SQL_GET: &str =
    "SELECT url, min_chunk_bytes FROM sending WHERE task_id = $1 AND digest = $2";

pub(super) const SQL_PUT: &str = "INSERT INTO sending (task_id, digest, url, min_chunk_bytes) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (task_id, digest) DO UPDATE SET url = excluded.url, min_chunk_bytes = excluded.min_chunk_bytes";

pub(super) const SQL_DELETE: &str = "DELETE FROM sending WHERE task_id = $1 AND digest = $2";

/// An upload session at a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingRow {
    pub url: Url,
    pub min_chunk_bytes: u64,
}

impl Meta {
    /// The session by which a task was sending a blob.
    pub async fn sending(
        &self,
        task: Uuid,
        digest: &Digest,
    ) -> Result<Option<SendingRow>, MetaError> {
        let select = Statement::new(SQL_GET).bind(task.to_string()).bind(digest);
        let row: Option<(String, i64)> = self.fetch_optional(select).await?;
        row.map(|(url, min_chunk_bytes)| {
            Ok(SendingRow {
                url: column::parsed(&url)?,
                min_chunk_bytes: column::size_read(min_chunk_bytes)?,
            })
        })
        .transpose()
    }

    /// Notes by which session a task sends a blob. A task that is gone has none.
    pub async fn sending_put(
        &self,
        task: Uuid,
        digest: &Digest,
        row: &SendingRow,
    ) -> Result<(), MetaError> {
        let put = Statement::new(SQL_PUT)
            .bind(task.to_string())
            .bind(digest)
            .bind(row.url.as_str())
            .bind(column::size(row.min_chunk_bytes));
        self.write(put).await.map(drop)
    }

    /// A task has sent a blob, or goes on with its session no more.
    pub async fn sending_delete(&self, task: Uuid, digest: &Digest) -> Result<(), MetaError> {
        let delete = Statement::new(SQL_DELETE)
            .bind(task.to_string())
            .bind(digest);
        self.write(delete).await.map(drop)
    }
}
