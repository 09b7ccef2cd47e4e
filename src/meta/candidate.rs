//! Tags whose manifests are here, with what the filters of rules ask of them.

use std::{collections::HashSet, time::SystemTime};

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

/// The manifest that this one refers to.
pub(super) const SQL_SUBJECTS: &str = "SELECT child FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) \
     AND parent = $2 AND kind = 'subject'";

/// The indexes that name a manifest, and what it refers to itself.
pub(super) const SQL_ABOVE: &str = "SELECT parent FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND child = $2 AND kind = 'manifest' \
     UNION ALL SELECT child FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND parent = $2 AND kind = 'subject'";

/// Something that refers to a manifest, or to one that it names: by its subject, or by a tag of cosign's.
pub(super) const SQL_HAS_REFERRERS: &str = "SELECT CAST(1 AS BIGINT) FROM repository AS here \
     WHERE here.name = $1 AND (EXISTS (SELECT 1 FROM reference \
     WHERE repository_id = here.id AND child = $2 AND kind = 'subject') \
     OR EXISTS (SELECT 1 FROM tag WHERE repository_id = here.id AND name IN (REPLACE($2, ':', '-') || '.sig', \
     REPLACE($2, ':', '-') || '.att', REPLACE($2, ':', '-') || '.sbom')) \
     OR EXISTS (SELECT 1 FROM reference AS part CROSS JOIN reference AS referrer \
     WHERE part.repository_id = here.id AND part.parent = $2 AND part.kind = 'manifest' \
     AND referrer.repository_id = here.id AND referrer.child = part.child AND referrer.kind = 'subject') \
     OR EXISTS (SELECT 1 FROM reference AS part CROSS JOIN tag \
     WHERE part.repository_id = here.id AND part.parent = $2 AND part.kind = 'manifest' \
     AND tag.repository_id = here.id AND tag.name IN (REPLACE(part.child, ':', '-') || '.sig', \
     REPLACE(part.child, ':', '-') || '.att', REPLACE(part.child, ':', '-') || '.sbom')))";

pub(super) const SQL_TAGS_OF: &str = "SELECT name FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 ORDER BY name";

/// Bytes that the manifest names.
pub(super) const SQL_BYTES: &str = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND parent = $2 AND kind = 'blob'";

/// How many manifests above each other are looked at.
const MAX_DEPTH: usize = 8;

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

    /// Tags of the manifest that this one is about, and of what is above that: indexes, and what it refers to itself.
    pub async fn subject_tags(
        &self,
        repository: &Name,
        referrer: &Digest,
    ) -> Result<Vec<Tag>, MetaError> {
        let subjects = self.digests_by(SQL_SUBJECTS, repository, referrer).await?;
        self.tags_above(repository, subjects).await
    }

    /// Tags that point to this manifest, or to what is above it.
    pub async fn tags_of(&self, repository: &Name, digest: &Digest) -> Result<Vec<Tag>, MetaError> {
        self.tags_above(repository, vec![digest.clone()]).await
    }

    /// Does anything refer to this manifest, or to one that it names?
    pub async fn has_referrers(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_HAS_REFERRERS).bind(repository);
        let row: Option<(i64,)> = self.fetch_optional(select.bind(digest)).await?;
        Ok(row.is_some())
    }

    async fn tags_above(
        &self,
        repository: &Name,
        manifests: Vec<Digest>,
    ) -> Result<Vec<Tag>, MetaError> {
        let (mut tags, mut known, mut queue) = (Vec::new(), HashSet::new(), manifests);
        for _ in 0..MAX_DEPTH {
            let mut above = Vec::new();
            for digest in queue {
                let select = Statement::new(SQL_TAGS_OF).bind(repository).bind(&digest);
                let rows: Vec<(String,)> = self.fetch_all(select).await?;
                for (tag,) in &rows {
                    tags.push(column::parsed(tag)?);
                }
                above.extend(self.digests_by(SQL_ABOVE, repository, &digest).await?);
                known.insert(digest);
            }
            above.retain(|digest| !known.contains(digest));
            queue = above;
        }
        Ok(tags)
    }

    async fn digests_by(
        &self,
        sql: &'static str,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Vec<Digest>, MetaError> {
        let select = Statement::new(sql).bind(repository).bind(digest);
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        let digests = rows.iter().map(|(digest,)| column::parsed(digest));
        digests.collect()
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
