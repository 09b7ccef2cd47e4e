//! What nothing references any more: links that no manifest of their repository names, blobs that nobody has.
//!
//! Everything is found page by page along an index and deleted a few rows at a time; each deletion looks again whether
//! it still may. A push writes its links first and what names them last: until then they have a grace, which an upload,
//! a mount and a HEAD that says 200 renew.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    Meta, MetaError, Removed, changes::Changes, column, connection::Connection, image,
    operation::Operation, repository, statement::Statement,
};
use crate::oci::{Digest, Name};

/// Of one repository, from ($3, $4) on, not wanted since $2.
pub(super) const SQL_LOOSE: &str = "SELECT touched_at, digest FROM link \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND touched_at < $2 \
     AND (touched_at, digest) > ($3, $4) ORDER BY touched_at, digest LIMIT $5";

/// Something was pushed there lately that no manifest names yet.
pub(super) const SQL_FRESH: &str = "SELECT CAST(1 AS BIGINT) FROM link \
     WHERE repository_id = $1 AND touched_at >= $2 LIMIT 1";

/// Something is being uploaded there.
pub(super) const SQL_UPLOAD: &str = "SELECT CAST(1 AS BIGINT) FROM upload \
     WHERE repository = $1 AND touched_at >= $2 LIMIT 1";

pub(super) const SQL_DELETE: &str = "DELETE FROM link WHERE repository_id = $1 AND digest = $2 \
     AND touched_at < $3 AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = $1 \
     AND reference.child = $2 AND reference.kind = 'blob') RETURNING digest";

pub(super) const SQL_TOUCHED: &str = "SELECT touched_at FROM link \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2";

/// What a manifest names has no time of its own.
pub(super) const SQL_RENEW: &str = "UPDATE link \
     SET touched_at = CASE WHEN touched_at IS NULL THEN NULL ELSE CAST($3 AS BIGINT) END \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 RETURNING digest";

/// The next blobs in order; 1: nobody has it, and it is older than $2.
pub(super) const SQL_BLOBS: &str = "SELECT digest, CAST(CASE WHEN created_at < $2 \
     AND NOT EXISTS (SELECT 1 FROM link WHERE link.digest = blob.digest) \
     AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.digest = blob.digest) \
     THEN 1 ELSE 0 END AS BIGINT) FROM blob WHERE digest > $1 ORDER BY digest LIMIT $3";

pub(super) const SQL_OLD: &str =
    "SELECT size_bytes FROM blob WHERE digest = $1 AND created_at < $2";

/// Since when something must not have been wanted to go.
#[derive(Debug, Clone, Copy)]
pub struct Grace {
    /// In a repository where nothing is being pushed.
    pub idle: SystemTime,
    /// In one where something is: a push may take this long from its first blob to its manifest. Earlier than `idle`.
    pub busy: SystemTime,
}

/// A link that was not wanted for a while, and that a manifest may name all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldLink {
    pub digest: Digest,
    touched_at: i64,
}

/// A page of all blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPage {
    /// Those that nobody has.
    pub orphans: Vec<Digest>,
    /// Where the next page begins; `None`: this was the last one.
    pub last: Option<Digest>,
}

impl Meta {
    /// Up to `limit` links of a repository that were not wanted since `before`, after `after`, the oldest first.
    pub async fn old_links(
        &self,
        repository: &Name,
        before: SystemTime,
        after: Option<&OldLink>,
        limit: u32,
    ) -> Result<Vec<OldLink>, MetaError> {
        let (touched_at, digest) = after.map_or((-1, String::new()), |link| {
            (link.touched_at, link.digest.to_string())
        });
        let select = Statement::new(SQL_LOOSE)
            .bind(repository)
            .bind(column::milliseconds(before))
            .bind(touched_at)
            .bind(digest)
            .bind(i64::from(limit));
        let rows: Vec<(i64, String)> = self.fetch_all(select).await?;
        let link = |(touched_at, digest): (i64, String)| {
            Ok(OldLink {
                digest: column::parsed(&digest)?,
                touched_at,
            })
        };
        rows.into_iter().map(link).collect()
    }

    /// Deletes those of the links that no manifest names and whose grace is over; how many, and what went with them.
    pub async fn delete_unnamed(
        &self,
        repository: &Name,
        links: Vec<Digest>,
        grace: Grace,
    ) -> Result<(u64, Removed), MetaError> {
        self.write(DeleteUnnamed {
            repository: repository.clone(),
            links,
            grace,
        })
        .await
    }

    /// Somebody was told that the blob is in the repository, and counts on it: its grace begins anew, if that was
    /// `spare` ago or longer. `false`: it is not there any more.
    pub async fn blob_renew(
        &self,
        repository: &Name,
        digest: &Digest,
        spare: std::time::Duration,
    ) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_TOUCHED).bind(repository).bind(digest);
        let row: Option<(Option<i64>,)> = self.fetch_optional(select).await?;
        let Some((touched_at,)) = row else {
            return Ok(false);
        };
        let recent = SystemTime::now().checked_sub(spare);
        let recent = recent.map_or(0, column::milliseconds);
        if touched_at.is_none_or(|touched_at| touched_at > recent) {
            return Ok(true);
        }
        self.write(Renew {
            repository: repository.clone(),
            digest: digest.clone(),
        })
        .await
    }

    /// The next `limit` blobs after `after`: which of them nobody has, although they came before `before`.
    pub async fn orphan_blobs(
        &self,
        before: SystemTime,
        after: Option<&Digest>,
        limit: u32,
    ) -> Result<BlobPage, MetaError> {
        let select = Statement::new(SQL_BLOBS)
            .bind(after.map_or_else(String::new, ToString::to_string))
            .bind(column::milliseconds(before))
            .bind(i64::from(limit));
        let rows: Vec<(String, i64)> = self.fetch_all(select).await?;
        let last = rows.last().map(|(digest, _)| column::parsed(digest));
        let orphans = rows.iter().filter(|(_, is_orphan)| *is_orphan == 1);
        let orphans = orphans.map(|(digest, _)| column::parsed(digest));
        Ok(BlobPage {
            orphans: orphans.collect::<Result<_, _>>()?,
            last: last.transpose()?,
        })
    }

    /// Deletes the rows of blobs that nobody has.
    pub async fn delete_orphan_blobs(
        &self,
        blobs: Vec<Digest>,
        before: SystemTime,
    ) -> Result<Removed, MetaError> {
        self.write(DeleteOrphans { blobs, before }).await
    }
}

/// [`Meta::delete_unnamed`]
struct DeleteUnnamed {
    repository: Name,
    links: Vec<Digest>,
    grace: Grace,
}

/// [`Meta::blob_renew`]
struct Renew {
    repository: Name,
    digest: Digest,
}

/// [`Meta::delete_orphan_blobs`]
struct DeleteOrphans {
    blobs: Vec<Digest>,
    before: SystemTime,
}

impl Operation for DeleteUnnamed {
    type Output = (u64, Removed);

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(u64, Removed), MetaError> {
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return Ok((0, Removed::default()));
        };
        let before = if self.is_busy(connection, repository_id).await? {
            self.grace.busy
        } else {
            self.grace.idle
        };
        let mut left = BTreeSet::new();
        for digest in &self.links {
            let delete = Statement::new(SQL_DELETE)
                .bind(repository_id)
                .bind(digest)
                .bind(column::milliseconds(before));
            if let Some((deleted,)) = delete.fetch_optional::<(String,)>(connection).await? {
                changes.link(&self.repository, digest);
                left.insert(deleted);
            }
        }
        let removed = image::removed(connection, repository_id, &self.repository, &left).await?;
        Ok((left.len() as u64, removed))
    }
}

impl DeleteUnnamed {
    /// Is something being pushed there?
    async fn is_busy(
        &self,
        connection: &mut Connection,
        repository_id: i64,
    ) -> Result<bool, MetaError> {
        let fresh = Statement::new(SQL_FRESH)
            .bind(repository_id)
            .bind(column::milliseconds(self.grace.idle));
        // Of a session nothing is heard while one body comes, which may take long.
        let upload = Statement::new(SQL_UPLOAD)
            .bind(&self.repository)
            .bind(column::milliseconds(self.grace.busy));
        Ok(fresh.fetch_optional::<(i64,)>(connection).await?.is_some()
            || upload.fetch_optional::<(i64,)>(connection).await?.is_some())
    }
}

impl Operation for Renew {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let renew = Statement::new(SQL_RENEW)
            .bind(&self.repository)
            .bind(&self.digest)
            .bind(column::milliseconds(SystemTime::now()));
        let row: Option<(String,)> = renew.fetch_optional(connection).await?;
        Ok(row.is_some())
    }
}

impl Operation for DeleteOrphans {
    type Output = Removed;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Removed, MetaError> {
        let mut removed = Removed::default();
        for digest in &self.blobs {
            let old = Statement::new(SQL_OLD)
                .bind(digest)
                .bind(column::milliseconds(self.before));
            let Some((size_bytes,)) = old.fetch_optional::<(i64,)>(connection).await? else {
                continue;
            };
            if image::delete_blob(connection, &digest.to_string()).await? {
                removed.bytes += column::size_read(size_bytes)?;
                let gone = Statement::new(image::SQL_GONE_PUT).bind(digest);
                gone.execute(connection).await?;
                removed.gone.push(digest.clone());
            }
        }
        Ok(removed)
    }
}
