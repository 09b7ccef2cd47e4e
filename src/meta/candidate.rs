//! Tags whose manifests are here, with what the filters of rules ask of them.

use std::time::SystemTime;

use super::{Meta, MetaError, column, statement::Statement};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_PAGE: &str = "SELECT tag.name, tag.digest, manifest.media_type, manifest.artifact_type, \
     COALESCE(tag.pushed_at, manifest.created_at) FROM tag CROSS JOIN manifest \
     WHERE tag.repository_id = (SELECT id FROM repository WHERE name = $1) AND tag.name > $2 \
     AND manifest.repository_id = tag.repository_id AND manifest.digest = tag.digest \
     ORDER BY tag.name LIMIT $3";

pub(super) const SQL_ONE: &str = "SELECT tag.name, tag.digest, manifest.media_type, manifest.artifact_type, \
     COALESCE(tag.pushed_at, manifest.created_at) FROM tag CROSS JOIN manifest \
     WHERE tag.repository_id = (SELECT id FROM repository WHERE name = $1) AND tag.name = $2 \
     AND manifest.repository_id = tag.repository_id AND manifest.digest = tag.digest";

/// A whole image, or an index above one.
pub(super) const SQL_PRESENT: &str = "WITH here (id) AS (SELECT id FROM repository WHERE name = $1) \
     SELECT CAST(1 AS BIGINT) FROM here WHERE CASE WHEN EXISTS (SELECT 1 FROM reference AS child \
     WHERE child.repository_id = here.id AND child.parent = $2 AND child.kind = 'manifest') \
     THEN EXISTS (SELECT 1 FROM reference AS child CROSS JOIN manifest \
     WHERE child.repository_id = here.id AND child.parent = $2 AND child.kind = 'manifest' \
     AND manifest.repository_id = child.repository_id AND manifest.digest = child.child \
     AND NOT EXISTS (SELECT 1 FROM reference AS part WHERE part.repository_id = here.id \
     AND part.parent = child.child AND part.kind = 'blob' \
     AND part.media_type NOT LIKE '%.foreign.%' AND part.media_type NOT LIKE '%.nondistributable.%' \
     AND NOT EXISTS (SELECT 1 FROM link WHERE link.repository_id = here.id AND link.digest = part.child))) \
     ELSE NOT EXISTS (SELECT 1 FROM reference AS part WHERE part.repository_id = here.id \
     AND part.parent = $2 AND part.kind = 'blob' \
     AND part.media_type NOT LIKE '%.foreign.%' AND part.media_type NOT LIKE '%.nondistributable.%' \
     AND NOT EXISTS (SELECT 1 FROM link WHERE link.repository_id = here.id AND link.digest = part.child)) END";

/// The manifest that this one refers to, and the tags that point to that.
pub(super) const SQL_SUBJECTS: &str = "SELECT tag.name FROM reference CROSS JOIN tag \
     WHERE reference.repository_id = (SELECT id FROM repository WHERE name = $1) \
     AND reference.parent = $2 AND reference.kind = 'subject' \
     AND tag.repository_id = reference.repository_id AND tag.digest = reference.child";

pub(super) const SQL_TAGS_OF: &str = "SELECT name FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 ORDER BY name";

/// Bytes that the manifest names.
pub(super) const SQL_BYTES: &str = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND parent = $2 AND kind = 'blob'";

/// A tag and what is known of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCandidate {
    pub tag: Tag,
    pub digest: Digest,
    pub media_type: String,
    /// `artifactType`, else the config's media type.
    pub artifact_type: Option<String>,
    /// When it was pushed, or fetched.
    pub at: SystemTime,
}

/// tag, digest, media type, artifact type, when it came
type Columns = (String, String, String, Option<String>, i64);

fn row((tag, digest, media_type, artifact_type, at): Columns) -> Result<TagCandidate, MetaError> {
    Ok(TagCandidate {
        tag: column::parsed(&tag)?,
        digest: column::parsed(&digest)?,
        media_type,
        artifact_type,
        at: column::time(at),
    })
}

impl Meta {
    /// Up to `limit` tags of a repository after this one whose manifests are here, by name.
    pub async fn tag_candidates(
        &self,
        repository: &Name,
        after: Option<&Tag>,
        limit: u32,
    ) -> Result<Vec<TagCandidate>, MetaError> {
        let select = Statement::new(SQL_PAGE)
            .bind(repository)
            .bind(after.map_or("", Tag::as_str))
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.into_iter().map(row).collect()
    }

    /// A tag of a repository, if its manifest is here.
    pub async fn tag_candidate(
        &self,
        repository: &Name,
        tag: &Tag,
    ) -> Result<Option<TagCandidate>, MetaError> {
        let select = Statement::new(SQL_ONE).bind(repository).bind(tag);
        let columns: Option<Columns> = self.fetch_optional(select).await?;
        columns.map(row).transpose()
    }

    /// Is anything of this manifest here that could be run: all that it names, or all that one of its children names?
    pub async fn manifest_present(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_PRESENT).bind(repository).bind(digest);
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        Ok(row.is_some())
    }

    /// Tags of the manifest that this one is about.
    pub async fn subject_tags(
        &self,
        repository: &Name,
        referrer: &Digest,
    ) -> Result<Vec<Tag>, MetaError> {
        self.tags_by(SQL_SUBJECTS, repository, referrer).await
    }

    /// Tags that point to this manifest.
    pub async fn tags_of(&self, repository: &Name, digest: &Digest) -> Result<Vec<Tag>, MetaError> {
        self.tags_by(SQL_TAGS_OF, repository, digest).await
    }

    async fn tags_by(
        &self,
        sql: &'static str,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Vec<Tag>, MetaError> {
        let select = Statement::new(sql).bind(repository).bind(digest);
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        rows.iter().map(|(tag,)| column::parsed(tag)).collect()
    }

    /// How many bytes a manifest names, as far as it states them.
    pub async fn manifest_bytes(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<u64, MetaError> {
        let select = Statement::new(SQL_BYTES).bind(repository).bind(digest);
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        column::size_read(row.map_or(0, |(bytes,)| bytes))
    }
}
