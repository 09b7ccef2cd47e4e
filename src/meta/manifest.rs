//! Manifests, and what they reference.

use std::time::SystemTime;

use super::{
    ManifestSummary, Meta, MetaError, TagRow, blob,
    changes::Changes,
    column,
    connection::Connection,
    filled::{self, Place},
    image,
    operation::Operation,
    repository,
    statement::Statement,
    tag,
};
use crate::oci::{Descriptor, Digest, Manifest, Name, Tag};

pub(super) const SQL_GET: &str = "SELECT media_type, size_bytes, created_at FROM manifest \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2";

/// The same bytes again: what was read out of them may be more than an earlier version knew.
pub(super) const SQL_PUT: &str = "INSERT INTO manifest \
     (repository_id, digest, media_type, size_bytes, created_at, used_at, artifact_type, annotations) \
     VALUES ($1, $2, $3, $4, $5, $5, $6, $7) \
     ON CONFLICT (repository_id, digest) DO UPDATE SET media_type = excluded.media_type, \
     artifact_type = excluded.artifact_type, annotations = excluded.annotations";

pub(super) const SQL_REFERENCE: &str = "INSERT INTO reference \
     (repository_id, child, kind, parent, media_type, size_bytes) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (repository_id, child, kind, parent) DO NOTHING";

pub(super) const SQL_REFERENCED_SIZED: &str = "SELECT media_type, size_bytes FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND child = $2 AND kind = $3 \
     AND size_bytes IS NOT NULL LIMIT 1";

pub(super) const SQL_REFERENCED: &str = "SELECT media_type, size_bytes FROM reference \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND child = $2 AND kind = $3 \
     LIMIT 1";

/// Its own row, an index above it, or a tag that points to it.
pub(super) const SQL_KNOWN: &str = "WITH here (id) AS (SELECT id FROM repository WHERE name = $1) \
     SELECT CAST(1 AS BIGINT) FROM here WHERE \
     EXISTS (SELECT 1 FROM manifest WHERE repository_id = here.id AND digest = $2) \
     OR EXISTS (SELECT 1 FROM reference WHERE repository_id = here.id AND child = $2) \
     OR EXISTS (SELECT 1 FROM tag WHERE repository_id = here.id AND digest = $2) \
     OR EXISTS (SELECT 1 FROM tag WHERE repository_id = here.id AND told_digest = $2)";

/// CROSS JOIN: SQLite keeps to this order, and does not read all manifests of the repository instead.
pub(super) const SQL_REFERRERS: &str = "SELECT manifest.digest, manifest.media_type, manifest.size_bytes, \
     manifest.artifact_type, manifest.annotations FROM reference CROSS JOIN manifest \
     WHERE reference.repository_id = (SELECT id FROM repository WHERE name = $1) \
     AND reference.child = $2 AND reference.kind = 'subject' \
     AND manifest.repository_id = reference.repository_id AND manifest.digest = reference.parent \
     ORDER BY reference.parent";

/// A manifest that a repository has. Its bytes are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
    /// When it was first committed here. Kept to the millisecond.
    pub created_at: SystemTime,
}

/// What the manifests of a repository say of a digest that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referenced {
    /// May be empty.
    pub media_type: String,
    pub size_bytes: Option<u64>,
}

/// One transaction: manifest, references, tag, subject.
#[derive(Debug, Clone)]
pub struct ManifestCommit {
    pub repository: Name,
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: u64,
    pub manifest: Manifest,
    /// The tag that points to it from now on, checked at this time.
    pub tag: Option<(Tag, SystemTime)>,
}

/// What a parent names a child as.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Blob,
    Manifest,
    Subject,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
            Self::Subject => "subject",
        }
    }
}

impl Meta {
    /// The manifest of this digest, if this repository has it.
    pub async fn manifest(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>, MetaError> {
        let key = (repository.clone(), digest.clone());
        let read = self.manifest_read(repository, digest);
        self.hot().manifests.get_or_read(key, read).await
    }

    async fn manifest_read(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>, MetaError> {
        let statement = Statement::new(SQL_GET).bind(repository).bind(digest);
        let row: Option<(String, i64, i64)> = self.fetch_optional(statement).await?;
        let Some((media_type, size_bytes, created_at)) = row else {
            return Ok(None);
        };
        Ok(Some(ManifestRow {
            digest: digest.clone(),
            media_type,
            size_bytes: column::size_read(size_bytes)?,
            created_at: column::time(created_at),
        }))
    }

    /// Makes a manifest visible in its repository with all that belongs to it; repeats are harmless.
    pub async fn manifest_commit(&self, commit: ManifestCommit) -> Result<(), MetaError> {
        self.write(commit).await
    }

    /// Does anything in this repository tell of this manifest?
    pub async fn manifest_known(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<bool, MetaError> {
        let statement = Statement::new(SQL_KNOWN).bind(repository).bind(digest);
        let row: Option<(i64,)> = self.fetch_optional(statement).await?;
        Ok(row.is_some())
    }

    /// Does a manifest of this repository name this blob (config, layer)? With the size that it states.
    pub async fn blob_referenced(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Option<Referenced>, MetaError> {
        self.referenced(repository, digest, Kind::Blob).await
    }

    /// Does an index of this repository name this manifest?
    pub async fn manifest_referenced(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Option<Referenced>, MetaError> {
        self.referenced(repository, digest, Kind::Manifest).await
    }

    /// Of several parents one that states a size is preferred.
    async fn referenced(
        &self,
        repository: &Name,
        digest: &Digest,
        kind: Kind,
    ) -> Result<Option<Referenced>, MetaError> {
        for sql in [SQL_REFERENCED_SIZED, SQL_REFERENCED] {
            let statement = Statement::new(sql)
                .bind(repository)
                .bind(digest)
                .bind(kind.as_str());
            let row: Option<(String, Option<i64>)> = self.fetch_optional(statement).await?;
            if let Some((media_type, size_bytes)) = row {
                return Ok(Some(Referenced {
                    media_type,
                    size_bytes: size_bytes.map(column::size_read).transpose()?,
                }));
            }
        }
        Ok(None)
    }

    /// Manifests of this repository whose subject is `subject`, as descriptors (with artifactType and annotations),
    /// sorted by digest.
    pub async fn manifest_referrers(
        &self,
        repository: &Name,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, MetaError> {
        let statement = Statement::new(SQL_REFERRERS).bind(repository).bind(subject);
        let rows: Vec<ReferrerColumns> = self.fetch_all(statement).await?;
        rows.into_iter().map(referrer).collect()
    }
}

/// digest, `media_type`, `size_bytes`, `artifact_type`, annotations
type ReferrerColumns = (String, String, i64, Option<String>, Option<String>);

fn referrer(columns: ReferrerColumns) -> Result<Descriptor, MetaError> {
    let (digest, media_type, size_bytes, artifact_type, annotations) = columns;
    let annotations = annotations
        .map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|error| MetaError::Corrupt(format!("annotations of `{digest}`: {error}")))?;
    Ok(Descriptor {
        media_type,
        digest: column::parsed(&digest)?,
        size: Some(column::size_read(size_bytes)?),
        artifact_type,
        annotations,
        other: serde_json::Map::new(),
    })
}

impl Operation for ManifestCommit {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let name = &self.repository;
        let id = repository::with_content(connection, name).await?;
        let here = Statement::new(image::SQL_HERE).bind(id).bind(&self.digest);
        let was_here = here.fetch_optional::<(i64,)>(connection).await?.is_some();
        self.commit(connection, changes).await?;
        let place = Place { id, name };
        if let Some((tag, checked_at)) = &self.tag {
            let target = ManifestSummary {
                digest: self.digest.clone(),
                media_type: self.media_type.clone(),
                size_bytes: self.size_bytes,
            };
            let row = TagRow {
                target,
                told: None,
                checked_at: *checked_at,
            };
            if was_here {
                return tag::moved(connection, changes, place, tag, &row).await;
            }
            tag::put(connection, changes, name, tag, &row).await?;
            if !self.manifest.manifests.is_empty() {
                return filled::by_tag(connection, place, tag, &self.digest).await;
            }
        }
        if was_here {
            Ok(())
        } else {
            filled::by_manifest(connection, place, &self.digest).await
        }
    }
}

impl ManifestCommit {
    /// Writes all but the tag; no event tells of it.
    pub(super) async fn commit(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        changes.manifest(&self.repository, &self.digest);
        let repository_id = repository::with_content(connection, &self.repository).await?;
        blob::put(connection, &self.digest, self.size_bytes).await?;
        put(connection, repository_id, self).await?;
        put_references(connection, repository_id, self).await?;
        tag::arrived(
            connection,
            changes,
            &self.repository,
            repository_id,
            &self.digest,
        )
        .await
    }
}

async fn put(
    connection: &mut Connection,
    repository_id: i64,
    commit: &ManifestCommit,
) -> Result<(), MetaError> {
    let annotations = commit
        .manifest
        .annotations
        .as_ref()
        .filter(|_| commit.manifest.subject.is_some())
        .map(|map| serde_json::to_string(map).expect("a map of strings is JSON"));
    Statement::new(SQL_PUT)
        .bind(repository_id)
        .bind(&commit.digest)
        .bind(commit.media_type.as_str())
        .bind(column::size(commit.size_bytes))
        .bind(column::milliseconds(SystemTime::now()))
        .bind(commit.manifest.artifact_type.as_deref())
        .bind(annotations)
        .execute(connection)
        .await?;
    Ok(())
}

async fn put_references(
    connection: &mut Connection,
    repository_id: i64,
    commit: &ManifestCommit,
) -> Result<(), MetaError> {
    for (kind, children) in [
        (Kind::Blob, &commit.manifest.blobs[..]),
        (Kind::Manifest, &commit.manifest.manifests),
        (Kind::Subject, commit.manifest.subject.as_slice()),
    ] {
        for child in children {
            Statement::new(SQL_REFERENCE)
                .bind(repository_id)
                .bind(&child.digest)
                .bind(kind.as_str())
                .bind(&commit.digest)
                .bind(child.media_type.as_str())
                .bind(column::stated_size(child.size))
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}
