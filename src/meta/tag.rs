//! Tags: what a name points to, and when that was last known to be true.

use std::time::SystemTime;

use sqlx::SqliteConnection;

use super::{
    Meta, MetaError, column, repository,
    writer::{Changes, Write},
};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_GET: &str = "SELECT digest, media_type, size_bytes, checked_at FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name = $2";

pub(super) const SQL_ALL: &str = "SELECT name, checked_at FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) ORDER BY name";

/// An answer that is older than the row changes nothing, unless the row's time is still to come ($7 is now):
/// then the clock was wrong, and the row would stand until that time.
pub(super) const SQL_PUT: &str = "INSERT INTO tag (repository_id, name, digest, media_type, size_bytes, checked_at) \
     VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (repository_id, name) DO UPDATE SET \
     digest = excluded.digest, \
     media_type = CASE WHEN tag.digest = excluded.digest \
     THEN COALESCE(excluded.media_type, tag.media_type) ELSE excluded.media_type END, \
     size_bytes = CASE WHEN tag.digest = excluded.digest \
     THEN COALESCE(excluded.size_bytes, tag.size_bytes) ELSE excluded.size_bytes END, \
     checked_at = excluded.checked_at \
     WHERE excluded.checked_at >= tag.checked_at OR tag.checked_at > $7";

pub(super) const SQL_DELETE: &str = "DELETE FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name = $2";

/// What a tag points to. The manifest itself need not be here (a HEAD told of it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    pub digest: Digest,
    pub media_type: Option<String>,
    pub size_bytes: Option<u64>,
    /// When the remote last said so. Kept to the millisecond.
    pub checked_at: SystemTime,
}

impl Meta {
    /// What a tag points to.
    pub async fn tag(&self, repository: &Name, tag: &Tag) -> Result<Option<TagRow>, MetaError> {
        let key = (repository.clone(), tag.clone());
        let read = self.tag_read(repository, tag);
        self.hot().tags.get_or_read(key, read).await
    }

    /// [`Meta::tag`] past the cache.
    pub(super) async fn tag_read(
        &self,
        repository: &Name,
        tag: &Tag,
    ) -> Result<Option<TagRow>, MetaError> {
        let query = sqlx::query_as(SQL_GET)
            .bind(repository.as_str())
            .bind(tag.as_str());
        let row: Option<(String, Option<String>, Option<i64>, i64)> =
            self.read(query.fetch_optional(self.readers())).await?;
        let Some((digest, media_type, size_bytes, checked_at)) = row else {
            return Ok(None);
        };
        Ok(Some(TagRow {
            digest: column::parsed(&digest)?,
            media_type,
            size_bytes: size_bytes.map(column::size_read).transpose()?,
            checked_at: column::time(checked_at),
        }))
    }

    /// Sets or moves a tag. A row with an earlier `checked_at` than the one that is here changes nothing; one for the
    /// same digest that does not know the media type or the size leaves what is known of them.
    pub async fn tag_put(
        &self,
        repository: &Name,
        tag: &Tag,
        row: TagRow,
    ) -> Result<(), MetaError> {
        self.write(Write::TagPut {
            repository: repository.clone(),
            tag: tag.clone(),
            row,
        })
        .await
    }

    /// Forgets a tag, if there is one.
    pub async fn tag_delete(&self, repository: &Name, tag: &Tag) -> Result<(), MetaError> {
        self.write(Write::TagDelete {
            repository: repository.clone(),
            tag: tag.clone(),
        })
        .await
    }

    /// All tags of a repository with the time each was checked, sorted as bytes.
    pub async fn tags(&self, repository: &Name) -> Result<Vec<(Tag, SystemTime)>, MetaError> {
        let query = sqlx::query_as(SQL_ALL).bind(repository.as_str());
        let rows: Vec<(String, i64)> = self.read(query.fetch_all(self.readers())).await?;
        rows.into_iter()
            .map(|(tag, checked_at)| Ok((column::parsed(&tag)?, column::time(checked_at))))
            .collect()
    }
}

/// [`Meta::tag_put`], inside a transaction.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    changes: &mut Changes,
    repository: &Name,
    tag: &Tag,
    row: &TagRow,
) -> Result<(), MetaError> {
    changes.tag(repository, tag);
    let repository_id = repository::with_content(connection, repository).await?;
    sqlx::query(SQL_PUT)
        .bind(repository_id)
        .bind(tag.as_str())
        .bind(row.digest.to_string())
        .bind(row.media_type.as_deref())
        .bind(column::stated_size(row.size_bytes))
        .bind(column::milliseconds(row.checked_at))
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}

/// [`Meta::tag_delete`], inside a transaction.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    changes: &mut Changes,
    repository: &Name,
    tag: &Tag,
) -> Result<(), MetaError> {
    changes.tag(repository, tag);
    sqlx::query(SQL_DELETE)
        .bind(repository.as_str())
        .bind(tag.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
