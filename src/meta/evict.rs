//! What may go to make room, and in which order: images by their last use, and links that nothing names.

use std::time::SystemTime;

use super::{
    Meta, MetaError, Removed, changes::Changes, column, connection::Connection, image,
    operation::Operation, statement::Statement,
};
use crate::oci::{Digest, Name};

/// Roots in the order in which they go: no index of the repository names them, and they refer to nothing that is there.
/// $1 to $3 are the last one seen. $4 limits them to a project, unless it is empty.
pub(super) const SQL_ROOTS: &str = "SELECT manifest.used_at, manifest.repository_id, manifest.digest, \
     repository.name, repository.project \
     FROM manifest CROSS JOIN repository \
     WHERE repository.id = manifest.repository_id AND (manifest.used_at, manifest.repository_id, manifest.digest) > ($1, $2, $3) \
     AND ($4 = '' OR repository.project = $4) AND NOT manifest.seeded \
     AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = manifest.repository_id \
     AND reference.child = manifest.digest AND reference.kind = 'manifest') \
     AND NOT EXISTS (SELECT 1 FROM reference CROSS JOIN manifest AS subject \
     WHERE reference.repository_id = manifest.repository_id AND reference.parent = manifest.digest \
     AND reference.kind = 'subject' \
     AND subject.repository_id = reference.repository_id AND subject.digest = reference.child) \
     ORDER BY manifest.used_at, manifest.repository_id, manifest.digest LIMIT $5";

/// Rows of a version that does not know of uses.
pub(super) const SQL_USED_WHEN_CREATED: &str =
    "UPDATE manifest SET used_at = created_at WHERE used_at = 0";

pub(super) const SQL_LOOSE: &str = "SELECT link.repository_id, link.digest, repository.name, repository.project \
     FROM link CROSS JOIN repository \
     WHERE repository.id = link.repository_id AND link.touched_at < $1 AND ($2 = '' OR repository.project = $2) \
     AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = link.repository_id \
     AND reference.child = link.digest AND reference.kind = 'blob') ORDER BY link.touched_at LIMIT $3";

/// A link that nothing names, not wanted since $3.
pub(super) const SQL_DELETE_LOOSE: &str = "DELETE FROM link WHERE repository_id = $1 AND digest = $2 \
     AND touched_at < $3 AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = $1 \
     AND reference.child = $2 AND reference.kind = 'blob') RETURNING digest";

/// A root manifest, as a candidate for eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub repository: Name,
    pub project: String,
    pub digest: Digest,
    /// Kept to the millisecond.
    pub used_at: SystemTime,
    repository_id: i64,
}

/// A link that no manifest of its repository names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseLink {
    pub repository: Name,
    pub project: String,
    pub digest: Digest,
    repository_id: i64,
}

impl Meta {
    /// Up to `limit` roots after `after`, the least recently used first; of one project, or of all.
    pub async fn eviction_candidates(
        &self,
        project: Option<&str>,
        after: Option<&Root>,
        limit: u32,
    ) -> Result<Vec<Root>, MetaError> {
        let (used_at, repository_id, digest) = after.map_or((-1, 0, String::new()), |root| {
            let used_at = column::milliseconds(root.used_at);
            (used_at, root.repository_id, root.digest.to_string())
        });
        let select = Statement::new(SQL_ROOTS)
            .bind(used_at)
            .bind(repository_id)
            .bind(digest)
            .bind(project.unwrap_or_default())
            .bind(i64::from(limit));
        let rows: Vec<(i64, i64, String, String, String)> = self.fetch_all(select).await?;
        let root = |(used_at, repository_id, digest, name, project): (
            i64,
            i64,
            String,
            String,
            String,
        )| {
            Ok(Root {
                repository: column::parsed(&name)?,
                project,
                digest: column::parsed(&digest)?,
                used_at: column::time(used_at),
                repository_id,
            })
        };
        rows.into_iter().map(root).collect()
    }

    /// Manifests that a version committed which does not know of uses count as used when they were created.
    pub async fn complete_uses(&self) -> Result<(), MetaError> {
        self.write(CompleteUses).await
    }

    /// Up to `limit` links that no manifest names and that nobody wanted since `before`, the oldest first.
    pub async fn loose_links(
        &self,
        project: Option<&str>,
        before: SystemTime,
        limit: u32,
    ) -> Result<Vec<LooseLink>, MetaError> {
        let select = Statement::new(SQL_LOOSE)
            .bind(column::milliseconds(before))
            .bind(project.unwrap_or_default())
            .bind(i64::from(limit));
        let rows: Vec<(i64, String, String, String)> = self.fetch_all(select).await?;
        let link = |(repository_id, digest, name, project): (i64, String, String, String)| {
            Ok(LooseLink {
                repository: column::parsed(&name)?,
                project,
                digest: column::parsed(&digest)?,
                repository_id,
            })
        };
        rows.into_iter().map(link).collect()
    }

    /// Deletes such a link, if it still is one.
    pub async fn loose_link_delete(
        &self,
        link: &LooseLink,
        before: SystemTime,
    ) -> Result<Removed, MetaError> {
        let link = link.clone();
        self.write(DeleteLoose { link, before }).await
    }
}

struct CompleteUses;

impl Operation for CompleteUses {
    type Output = ();

    async fn execute(&self, connection: &mut Connection, _: &mut Changes) -> Result<(), MetaError> {
        Statement::new(SQL_USED_WHEN_CREATED)
            .execute(connection)
            .await?;
        Ok(())
    }
}

struct DeleteLoose {
    link: LooseLink,
    before: SystemTime,
}

impl Operation for DeleteLoose {
    type Output = Removed;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Removed, MetaError> {
        let link = &self.link;
        changes.link(&link.repository, &link.digest);
        let delete = Statement::new(SQL_DELETE_LOOSE)
            .bind(link.repository_id)
            .bind(&link.digest)
            .bind(column::milliseconds(self.before));
        let deleted: Option<(String,)> = delete.fetch_optional(connection).await?;
        let left = deleted.map(|(digest,)| digest).into_iter().collect();
        image::removed(connection, link.repository_id, &link.repository, &left).await
    }
}
