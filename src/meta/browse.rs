//! Tags of one repository with what they point to, a page at a time: for those who look around.

use std::time::SystemTime;

use super::{Meta, MetaError, column, statement::Statement};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_TAGS: &str = "SELECT tag.name, tag.digest, tag.media_type, manifest.used_at, \
     manifest.created_at FROM tag LEFT JOIN manifest \
     ON manifest.repository_id = tag.repository_id AND manifest.digest = tag.digest \
     WHERE tag.repository_id = (SELECT id FROM repository WHERE name = $1) AND tag.name > $2 \
     ORDER BY tag.name LIMIT $3";

/// A tag and the manifest that it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browsed {
    pub tag: Tag,
    pub digest: Digest,
    pub media_type: String,
    /// When a client last got it; `None` if nothing is known of that.
    pub used_at: Option<SystemTime>,
    /// Since when it is here; `None`: it is not.
    pub created_at: Option<SystemTime>,
}

/// tag, digest, media type, `used_at`, `created_at`
type Columns = (String, String, String, Option<i64>, Option<i64>);

impl Meta {
    /// Up to `limit` tags of a repository, by name, after the given one.
    pub async fn tags_browsed(
        &self,
        repository: &Name,
        after: Option<&Tag>,
        limit: u32,
    ) -> Result<Vec<Browsed>, MetaError> {
        let select = Statement::new(SQL_TAGS)
            .bind(repository)
            .bind(after.map_or("", Tag::as_str))
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.into_iter().map(browsed).collect()
    }
}

fn browsed((tag, digest, media_type, used_at, created_at): Columns) -> Result<Browsed, MetaError> {
    Ok(Browsed {
        tag: column::parsed(&tag)?,
        digest: column::parsed(&digest)?,
        media_type,
        used_at: used_at.filter(|time| *time > 0).map(column::time),
        created_at: created_at.map(column::time),
    })
}
