//! What is cached, for those who run this server: tags page by page, and the parts of an image with what is here of them.

use std::time::SystemTime;

use super::{Meta, MetaError, column, statement::Statement};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_TAGS: &str = "SELECT name FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name > $2 \
     ORDER BY name LIMIT $3";

pub(super) const SQL_TAG_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM tag \
     WHERE repository_id IN (SELECT id FROM repository WHERE project = $1)";

pub(super) const SQL_HELD: &str = "SELECT size_bytes, created_at, used_at, seeded FROM manifest \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2";

pub(super) const SQL_PARTS: &str = "SELECT reference.child, reference.kind, reference.media_type, \
     reference.size_bytes, blob.size_bytes, link.digest FROM reference \
     LEFT JOIN blob ON blob.digest = reference.child \
     LEFT JOIN link ON link.repository_id = reference.repository_id AND link.digest = reference.child \
     WHERE reference.repository_id = (SELECT id FROM repository WHERE name = $1) \
     AND reference.parent = $2 AND reference.kind <> 'subject' ORDER BY reference.child";

/// A tag that points to a manifest, an index that names it, or a pin of its digest.
pub(super) const SQL_KEPT: &str = "WITH here (id) AS (SELECT id FROM repository WHERE name = $1) \
     SELECT CAST(1 AS BIGINT) FROM here WHERE \
     EXISTS (SELECT 1 FROM tag WHERE repository_id = here.id AND digest = $2) \
     OR EXISTS (SELECT 1 FROM reference \
     WHERE repository_id = here.id AND child = $2 AND kind = 'manifest') \
     OR EXISTS (SELECT 1 FROM pin WHERE repository_id = here.id AND reference = $2)";

/// How many repositories are looked at for one page at a time.
const REPOSITORIES: u32 = 100;

/// A manifest that a repository has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub size_bytes: u64,
    /// When it came. Kept to the millisecond.
    pub created_at: SystemTime,
    /// When a client last got it; `None` if nothing is known of that.
    pub used_at: Option<SystemTime>,
    /// It was pushed into a mirror.
    pub seeded: bool,
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub digest: Digest,
    pub kind: PartKind,
    /// May be empty.
    pub media_type: String,
    /// What the manifest says of its size in bytes.
    pub size_bytes: Option<u64>,
    /// Its size in bytes if somebody has it.
    pub stored_bytes: Option<u64>,
    /// This repository has it as a blob.
    pub is_linked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    Blob,
    Manifest,
}

/// child, kind, `media_type`, stated size, stored size, linked digest
type PartColumns = (
    String,
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

impl Meta {
    /// Up to `limit` tags of repositories of these projects, by name and then by tag, after the given one.
    pub async fn tag_page(
        &self,
        projects: &[String],
        after: Option<&(Name, Tag)>,
        limit: u32,
    ) -> Result<Vec<(Name, Tag)>, MetaError> {
        let mut page = Vec::new();
        let mut last = after.map(|(name, _)| name.clone());
        if let Some((name, tag)) = after {
            self.add_tags(&mut page, name, tag.as_str(), limit).await?;
        }
        while page.len() < limit as usize {
            let after = last.as_ref().map(Name::as_str);
            let names = self.repositories(projects, after, REPOSITORIES).await?;
            if names.is_empty() {
                break;
            }
            for name in &names {
                self.add_tags(&mut page, name, "", limit).await?;
            }
            last = names.last().cloned();
        }
        Ok(page)
    }

    /// How many tags the repositories of these projects have. Reads the key of each.
    pub async fn tag_count(&self, projects: &[String]) -> Result<u64, MetaError> {
        let mut count = 0;
        for project in projects {
            let select = Statement::new(SQL_TAG_COUNT).bind(project.as_str());
            let row: Option<(i64,)> = self.fetch_optional(select).await?;
            count += column::size_read(row.map_or(0, |(count,)| count))?;
        }
        Ok(count)
    }

    /// Fills the page with tags of one repository after a text.
    async fn add_tags(
        &self,
        page: &mut Vec<(Name, Tag)>,
        name: &Name,
        after: &str,
        limit: u32,
    ) -> Result<(), MetaError> {
        let wanted = (limit as usize).saturating_sub(page.len());
        if wanted == 0 {
            return Ok(());
        }
        let select = Statement::new(SQL_TAGS)
            .bind(name)
            .bind(after)
            .bind(i64::try_from(wanted).unwrap_or(i64::MAX));
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        for (tag,) in rows {
            page.push((name.clone(), column::parsed(&tag)?));
        }
        Ok(())
    }

    /// A manifest of this repository, with what eviction goes by.
    pub async fn manifest_held(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Option<Held>, MetaError> {
        let select = Statement::new(SQL_HELD).bind(repository).bind(digest);
        let row: Option<(i64, i64, i64, bool)> = self.fetch_optional(select).await?;
        let Some((size_bytes, created_at, used_at, seeded)) = row else {
            return Ok(None);
        };
        Ok(Some(Held {
            size_bytes: column::size_read(size_bytes)?,
            created_at: column::time(created_at),
            used_at: (used_at > 0).then(|| column::time(used_at)),
            seeded,
        }))
    }

    /// What a manifest of this repository names, its subject left out, sorted by digest.
    pub async fn manifest_parts(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Vec<Part>, MetaError> {
        let select = Statement::new(SQL_PARTS).bind(repository).bind(digest);
        let rows: Vec<PartColumns> = self.fetch_all(select).await?;
        rows.into_iter().map(part).collect()
    }

    /// Does anything in this repository want this manifest to stay: a tag, an index or a pin?
    pub async fn manifest_kept(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_KEPT).bind(repository).bind(digest);
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        Ok(row.is_some())
    }
}

fn part(columns: PartColumns) -> Result<Part, MetaError> {
    let (digest, kind, media_type, size_bytes, stored_bytes, linked) = columns;
    let size = |size: Option<i64>| size.map(column::size_read).transpose();
    Ok(Part {
        digest: column::parsed(&digest)?,
        kind: match kind.as_str() {
            "blob" => PartKind::Blob,
            "manifest" => PartKind::Manifest,
            other => return Err(MetaError::Corrupt(format!("reference of kind `{other}`"))),
        },
        media_type,
        size_bytes: size(size_bytes)?,
        stored_bytes: size(stored_bytes)?,
        is_linked: linked.is_some(),
    })
}
