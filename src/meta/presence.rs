//! Rows and files: how much there is, and what is to be done where one is without the other.

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};
use crate::oci::{Digest, Name};

pub(super) const SQL_USAGE: &str = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM blob";

/// $1 lists projects: `/a/b/`. (A name has no slash.) Each blob counts once.
pub(super) const SQL_USAGE_OF: &str = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM blob \
     WHERE digest IN (SELECT link.digest FROM repository CROSS JOIN link \
     WHERE link.repository_id = repository.id AND replace($1, '/' || project || '/', '') <> $1 \
     UNION SELECT manifest.digest FROM repository CROSS JOIN manifest \
     WHERE manifest.repository_id = repository.id AND replace($1, '/' || project || '/', '') <> $1)";

pub(super) const SQL_GONE: &str = "SELECT digest FROM gone ORDER BY digest LIMIT $1";

pub(super) const SQL_GONE_DELETE: &str = "DELETE FROM gone WHERE digest = $1";

pub(super) const SQL_LINKED_IN: &str = "SELECT repository.name FROM link CROSS JOIN repository \
     WHERE link.digest = $1 AND repository.id = link.repository_id";

pub(super) const SQL_UNLINK: &str = "DELETE FROM link WHERE digest = $1";

impl Meta {
    /// Bytes of all content that these projects do not have. Reads every row: for when an estimate is not enough.
    pub async fn usage_without(&self, projects: &[&str]) -> Result<u64, MetaError> {
        let all = self.sum(Statement::new(SQL_USAGE)).await?;
        if projects.is_empty() {
            return Ok(all);
        }
        Ok(all.saturating_sub(self.usage_of(projects).await?))
    }

    /// Bytes of the content that these projects have. Reads all of their rows.
    pub async fn usage_of(&self, projects: &[&str]) -> Result<u64, MetaError> {
        let list = format!("/{}/", projects.join("/"));
        self.sum(Statement::new(SQL_USAGE_OF).bind(list)).await
    }

    async fn sum(&self, select: Statement) -> Result<u64, MetaError> {
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        column::size_read(row.map_or(0, |(sum,)| sum))
    }

    /// Up to `limit` digests whose rows went while their files may still be there.
    pub async fn gone(&self, limit: u32) -> Result<Vec<Digest>, MetaError> {
        let select = Statement::new(SQL_GONE).bind(i64::from(limit));
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        rows.iter()
            .map(|(digest,)| column::parsed(digest))
            .collect()
    }

    /// Their files are deleted, or their rows are back.
    pub async fn gone_delete(&self, digests: Vec<Digest>) -> Result<(), MetaError> {
        self.write(DeleteGone(digests)).await
    }

    /// The file of this digest is lost: no repository has it as a blob any more, unless object storage has it. Manifests
    /// keep their rows: their next pull brings the content back. `false`: object storage has it.
    pub async fn content_lost(&self, digest: &Digest) -> Result<bool, MetaError> {
        self.write(Lose(digest.clone())).await
    }
}

struct DeleteGone(Vec<Digest>);

impl Operation for DeleteGone {
    type Output = ();

    async fn execute(&self, connection: &mut Connection, _: &mut Changes) -> Result<(), MetaError> {
        for digest in &self.0 {
            let delete = Statement::new(SQL_GONE_DELETE).bind(digest);
            delete.execute(connection).await?;
        }
        Ok(())
    }
}

struct Lose(Digest);

impl Operation for Lose {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let run = |sql| Statement::new(sql).bind(&self.0);
        let stored = run(super::object::SQL_STORED);
        if stored.fetch_optional::<(i64,)>(connection).await?.is_some() {
            return Ok(false);
        }
        for (name,) in run(SQL_LINKED_IN)
            .fetch_all::<(String,)>(connection)
            .await?
        {
            let name: Name = column::parsed(&name)?;
            changes.link(&name, &self.0);
        }
        run(SQL_UNLINK).execute(connection).await?;
        super::image::delete_blob(connection, &self.0.to_string()).await?;
        Ok(true)
    }
}
