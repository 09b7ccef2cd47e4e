//! Rows and files: how much there is, and what is to be done where one is without the other.

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};
use crate::oci::{Digest, Name};

/// The last of $2 blobs after $1, and the sum of their sizes.
pub(super) const SQL_USAGE: &str = "SELECT MAX(digest), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) \
     FROM (SELECT digest, size_bytes FROM blob WHERE digest > $1 ORDER BY digest LIMIT $2) AS page";

/// The same of what these projects have: $3 lists them, `/a/b/`. (A name has no slash.) Each blob counts once. Blobs and
/// links are read in the same order: several times faster than to gather the links of the projects first.
pub(super) const SQL_USAGE_OF: &str = "SELECT MAX(digest), CAST(COALESCE(SUM(CASE \
     WHEN EXISTS (SELECT 1 FROM link CROSS JOIN repository WHERE link.digest = page.digest \
     AND repository.id = link.repository_id AND replace($3, '/' || project || '/', '') <> $3) \
     OR EXISTS (SELECT 1 FROM manifest CROSS JOIN repository WHERE manifest.digest = page.digest \
     AND repository.id = manifest.repository_id AND replace($3, '/' || project || '/', '') <> $3) \
     THEN size_bytes ELSE 0 END), 0) AS BIGINT) \
     FROM (SELECT digest, size_bytes FROM blob WHERE digest > $1 ORDER BY digest LIMIT $2) AS page";

/// Of what these projects never evict: seeded manifests, pinned ones and the children of those, and the blobs that they
/// name.
pub(super) const SQL_USAGE_KEPT: &str = "WITH root (repository_id, digest) AS ( \
     SELECT repository_id, digest FROM manifest WHERE seeded \
     UNION SELECT pin.repository_id, pin.reference FROM pin \
     UNION SELECT pin.repository_id, tag.digest FROM pin CROSS JOIN tag \
     WHERE tag.repository_id = pin.repository_id AND tag.name = pin.reference), \
     kept (repository_id, digest) AS (SELECT root.repository_id, root.digest FROM root CROSS JOIN repository \
     WHERE repository.id = root.repository_id AND replace($1, '/' || project || '/', '') <> $1 \
     UNION SELECT root.repository_id, reference.child FROM root CROSS JOIN repository CROSS JOIN reference \
     WHERE repository.id = root.repository_id AND replace($1, '/' || project || '/', '') <> $1 \
     AND reference.repository_id = root.repository_id AND reference.parent = root.digest \
     AND reference.kind = 'manifest'), \
     content (digest) AS (SELECT digest FROM kept \
     UNION SELECT reference.child FROM kept CROSS JOIN reference \
     WHERE reference.repository_id = kept.repository_id AND reference.parent = kept.digest \
     AND reference.kind = 'blob') \
     SELECT CAST(COALESCE(SUM(blob.size_bytes), 0) AS BIGINT) FROM content CROSS JOIN blob \
     WHERE blob.digest = content.digest";

pub(super) const SQL_GONE: &str = "SELECT digest FROM gone ORDER BY digest LIMIT $1";

pub(super) const SQL_GONE_DELETE: &str = "DELETE FROM gone WHERE digest = $1";

pub(super) const SQL_LINKED_IN: &str = "SELECT repository.name FROM link CROSS JOIN repository \
     WHERE link.digest = $1 AND repository.id = link.repository_id";

pub(super) const SQL_UNLINK: &str = "DELETE FROM link WHERE digest = $1";

/// Blobs whose sizes are summed at a time.
const USAGE_PAGE: u32 = 10_000;

/// What a sum of sizes is over.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'p> {
    /// Content that these projects have.
    Of(&'p [&'p str]),
    /// Content that these projects do not have.
    Without(&'p [&'p str]),
}

/// A part of such a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePage {
    pub bytes: u64,
    /// Where the next part begins.
    pub last: Digest,
}

impl Meta {
    /// The sum over the next `limit` blobs, whatever they are, in the order of their digests; `None` after the last one.
    /// All parts together read every row: for when an estimate is not enough.
    pub async fn usage_page(
        &self,
        counted: Counted<'_>,
        after: Option<&Digest>,
        limit: u32,
    ) -> Result<Option<UsagePage>, MetaError> {
        let page = |sql| {
            let after = after.map_or_else(String::new, Digest::to_string);
            Statement::new(sql).bind(after).bind(i64::from(limit))
        };
        let of = |projects: &[&str]| page(SQL_USAGE_OF).bind(format!("/{}/", projects.join("/")));
        match counted {
            Counted::Of(projects) => self.sum(of(projects)).await,
            Counted::Without([]) => self.sum(page(SQL_USAGE)).await,
            Counted::Without(projects) => {
                let Some(all) = self.sum(page(SQL_USAGE)).await? else {
                    return Ok(None);
                };
                let theirs = self.sum(of(projects)).await?;
                let theirs = theirs.map_or(0, |theirs| theirs.bytes);
                Ok(Some(UsagePage {
                    bytes: all.bytes.saturating_sub(theirs),
                    ..all
                }))
            }
        }
    }

    /// Bytes of the content that these projects have. Reads every row.
    pub async fn usage_of(&self, projects: &[&str]) -> Result<u64, MetaError> {
        let mut bytes = 0;
        let mut last = None;
        loop {
            let page = self.usage_page(Counted::Of(projects), last.as_ref(), USAGE_PAGE);
            let Some(page) = page.await? else {
                return Ok(bytes);
            };
            bytes += page.bytes;
            last = Some(page.last);
        }
    }

    /// Bytes of what these projects have and never evict: seeded and pinned images. Reads all of them.
    pub async fn usage_kept(&self, projects: &[&str]) -> Result<u64, MetaError> {
        let list = format!("/{}/", projects.join("/"));
        let select = Statement::new(SQL_USAGE_KEPT).bind(list);
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        column::size_read(row.map_or(0, |(sum,)| sum))
    }

    async fn sum(&self, select: Statement) -> Result<Option<UsagePage>, MetaError> {
        let row: Option<(Option<String>, i64)> = self.fetch_optional(select).await?;
        let Some((Some(last), bytes)) = row else {
            return Ok(None);
        };
        Ok(Some(UsagePage {
            bytes: column::size_read(bytes)?,
            last: column::parsed(&last)?,
        }))
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
