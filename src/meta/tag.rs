//! Tags: what a name points to, and when that was last known to be true.

use std::time::SystemTime;

use super::{
    Meta, MetaError,
    changes::Changes,
    column,
    connection::Connection,
    filled::{self, Place},
    operation::Operation,
    repository,
    statement::Statement,
};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_GET: &str = "SELECT digest, media_type, size_bytes, \
     told_digest, told_media_type, told_size_bytes, checked_at FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name = $2";

pub(super) const SQL_SINCE: &str = "SELECT name FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND checked_at > $2 \
     ORDER BY name";

pub(super) const SQL_PAGE: &str = "SELECT name FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name > $2 ORDER BY name LIMIT $3";

/// An answer that is older than the row changes nothing, unless the row's time is still to come ($10 is now):
/// then the clock was wrong, and the row would stand until that time.
pub(super) const SQL_PUT: &str = "INSERT INTO tag (repository_id, name, digest, media_type, size_bytes, \
     told_digest, told_media_type, told_size_bytes, checked_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (repository_id, name) DO UPDATE SET \
     digest = excluded.digest, media_type = excluded.media_type, size_bytes = excluded.size_bytes, \
     told_digest = excluded.told_digest, told_media_type = excluded.told_media_type, \
     told_size_bytes = excluded.told_size_bytes, checked_at = excluded.checked_at \
     WHERE excluded.checked_at >= tag.checked_at OR tag.checked_at > $10";

/// The manifest that these tags were told of is here now.
pub(super) const SQL_ARRIVED: &str = "UPDATE tag SET digest = told_digest, media_type = told_media_type, \
     size_bytes = told_size_bytes, told_digest = NULL, told_media_type = NULL, told_size_bytes = NULL \
     WHERE repository_id = $1 AND told_digest = $2 RETURNING name";

pub(super) const SQL_TARGET: &str = "SELECT digest FROM tag WHERE repository_id = $1 AND name = $2";

pub(super) const SQL_POINTING: &str =
    "SELECT name FROM tag WHERE repository_id = $1 AND digest = $2 ORDER BY name";

pub(super) const SQL_DELETE: &str = "DELETE FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name = $2";

/// A manifest without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSummary {
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
}

/// What a tag points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// The manifest that was last pulled by this tag; for a tag that was only asked for by HEAD, what that told.
    pub target: ManifestSummary,
    /// What the remote says now, while its manifest is not here yet; a commit of that manifest moves it to `target`.
    pub told: Option<ManifestSummary>,
    /// When the remote last said so. Kept to the millisecond.
    pub checked_at: SystemTime,
}

/// digest, `media_type`, `size_bytes`, the same as told, `checked_at`
type TagColumns = (
    String,
    String,
    i64,
    Option<String>,
    Option<String>,
    Option<i64>,
    i64,
);

fn row(columns: TagColumns) -> Result<TagRow, MetaError> {
    let (digest, media_type, size_bytes, told_digest, told_media_type, told_size, checked_at) =
        columns;
    let told = match (told_digest, told_media_type, told_size) {
        (Some(digest), Some(media_type), Some(size_bytes)) => {
            Some(summary(&digest, media_type, size_bytes)?)
        }
        _ => None,
    };
    Ok(TagRow {
        target: summary(&digest, media_type, size_bytes)?,
        told,
        checked_at: column::time(checked_at),
    })
}

fn summary(
    digest: &str,
    media_type: String,
    size_bytes: i64,
) -> Result<ManifestSummary, MetaError> {
    Ok(ManifestSummary {
        digest: column::parsed(digest)?,
        media_type,
        size_bytes: column::size_read(size_bytes)?,
    })
}

/// [`Meta::tag_put`]
struct TagPut {
    repository: Name,
    tag: Tag,
    row: TagRow,
}

/// [`Meta::tag_delete`]
struct TagDelete {
    repository: Name,
    tag: Tag,
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
        let statement = Statement::new(SQL_GET).bind(repository).bind(tag);
        let columns: Option<TagColumns> = self.fetch_optional(statement).await?;
        columns.map(row).transpose()
    }

    /// Sets or moves a tag. A row with an earlier `checked_at` than the one that is here changes nothing.
    pub async fn tag_put(
        &self,
        repository: &Name,
        tag: &Tag,
        row: TagRow,
    ) -> Result<(), MetaError> {
        self.write(TagPut {
            repository: repository.clone(),
            tag: tag.clone(),
            row,
        })
        .await
    }

    /// Forgets a tag, if there is one.
    pub async fn tag_delete(&self, repository: &Name, tag: &Tag) -> Result<(), MetaError> {
        self.write(TagDelete {
            repository: repository.clone(),
            tag: tag.clone(),
        })
        .await
    }

    /// Up to `limit` tags of a repository after `after`, sorted as bytes.
    pub async fn tags(
        &self,
        repository: &Name,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Tag>, MetaError> {
        let statement = Statement::new(SQL_PAGE)
            .bind(repository)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit));
        let rows: Vec<(String,)> = self.fetch_all(statement).await?;
        rows.iter().map(|(tag,)| column::parsed(tag)).collect()
    }

    /// Tags of a repository that were checked after this time, sorted as bytes.
    pub async fn tags_since(
        &self,
        repository: &Name,
        since: SystemTime,
    ) -> Result<Vec<Tag>, MetaError> {
        let statement = Statement::new(SQL_SINCE)
            .bind(repository)
            .bind(column::milliseconds(since));
        let rows: Vec<(String,)> = self.fetch_all(statement).await?;
        rows.iter().map(|(tag,)| column::parsed(tag)).collect()
    }
}

impl Operation for TagPut {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let name = &self.repository;
        let id = repository::with_content(connection, name).await?;
        let place = Place { id, name };
        moved(connection, changes, place, &self.tag, &self.row).await
    }
}

impl Operation for TagDelete {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        changes.tag(&self.repository, &self.tag);
        Statement::new(SQL_DELETE)
            .bind(&self.repository)
            .bind(&self.tag)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// [`Meta::tag_put`], inside a transaction; an event tells of it if the tag points to something else then.
pub(super) async fn moved(
    connection: &mut Connection,
    changes: &mut Changes,
    place: Place<'_>,
    tag: &Tag,
    row: &TagRow,
) -> Result<(), MetaError> {
    let before = target(connection, place.id, tag.as_str()).await?;
    put(connection, changes, place.name, tag, row).await?;
    let now = target(connection, place.id, tag.as_str()).await?;
    match now {
        Some(digest) if before.as_ref() != Some(&digest) => {
            filled::by_tag(connection, place, tag, &digest).await
        }
        _ => Ok(()),
    }
}

/// What a tag points to; `None`: there is none of this name.
pub(super) async fn target(
    connection: &mut Connection,
    repository_id: i64,
    tag: &str,
) -> Result<Option<Digest>, MetaError> {
    let target = Statement::new(SQL_TARGET).bind(repository_id).bind(tag);
    let target: Option<(String,)> = target.fetch_optional(connection).await?;
    target.map(|(digest,)| column::parsed(&digest)).transpose()
}

/// The tags that point to a manifest, by name.
pub(super) async fn pointing_to(
    connection: &mut Connection,
    repository_id: i64,
    digest: &Digest,
) -> Result<Vec<Tag>, MetaError> {
    let tags = Statement::new(SQL_POINTING)
        .bind(repository_id)
        .bind(digest);
    let tags: Vec<(String,)> = tags.fetch_all(connection).await?;
    tags.iter().map(|(tag,)| column::parsed(tag)).collect()
}

/// Sets a tag; no event tells of it.
pub(super) async fn put(
    connection: &mut Connection,
    changes: &mut Changes,
    repository: &Name,
    tag: &Tag,
    row: &TagRow,
) -> Result<(), MetaError> {
    changes.tag(repository, tag);
    let repository_id = repository::with_content(connection, repository).await?;
    let told = row.told.as_ref();
    Statement::new(SQL_PUT)
        .bind(repository_id)
        .bind(tag)
        .bind(&row.target.digest)
        .bind(row.target.media_type.as_str())
        .bind(column::size(row.target.size_bytes))
        .bind(told.map(|told| &told.digest))
        .bind(told.map(|told| told.media_type.as_str()))
        .bind(told.map(|told| column::size(told.size_bytes)))
        .bind(column::milliseconds(row.checked_at))
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Tags that were told of this manifest point to it from now on.
pub(super) async fn arrived(
    connection: &mut Connection,
    changes: &mut Changes,
    repository: &Name,
    repository_id: i64,
    digest: &Digest,
) -> Result<(), MetaError> {
    let moved: Vec<(String,)> = Statement::new(SQL_ARRIVED)
        .bind(repository_id)
        .bind(digest)
        .fetch_all(connection)
        .await?;
    for (name,) in &moved {
        changes.tag(repository, &column::parsed(name)?);
    }
    Ok(())
}
