//! What clients push: blobs that become visible in a repository, manifests with their tags.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use uuid::Uuid;

use super::{
    EventKind, ManifestCommit, ManifestSummary, Meta, MetaError, TagRow, blob,
    changes::Changes,
    column,
    connection::Connection,
    delete, event, image, object,
    operation::Operation,
    repository,
    statement::Statement,
    tag, tag_version,
    upload::{self, Ended},
};
use crate::oci::{Digest, Name, Tag, TagState, TagVersion};

/// $3 is now. A link that a manifest names goes with that one; any other one is wanted anew from now on.
pub(super) const SQL_LINK: &str = "INSERT INTO link (repository_id, digest, touched_at) \
     VALUES ($1, $2, CASE WHEN EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = $1 \
     AND reference.child = $2 AND reference.kind = 'blob') THEN NULL ELSE CAST($3 AS BIGINT) END) \
     ON CONFLICT (repository_id, digest) DO UPDATE SET touched_at = excluded.touched_at";

/// As an update, so that clean-up by another replica waits, and then finds that a manifest names it.
pub(super) const SQL_LINKED: &str = "UPDATE link SET touched_at = touched_at \
     WHERE repository_id = $1 AND digest = $2 RETURNING CAST(1 AS BIGINT)";

pub(super) const SQL_REPOSITORIES: &str = "SELECT repository.name FROM link \
     CROSS JOIN repository WHERE link.digest = $1 AND repository.id = link.repository_id";

/// From now on a manifest names it.
pub(super) const SQL_NAMED: &str =
    "UPDATE link SET touched_at = NULL WHERE repository_id = $1 AND digest = $2";

pub(super) const SQL_SEEDED: &str =
    "UPDATE manifest SET seeded = TRUE WHERE repository_id = $1 AND digest = $2";

pub(super) const SQL_TAGGED: &str = "UPDATE tag SET pushed_at = $3, pushed_by = $4, seeded = $5 \
     WHERE repository_id = $1 AND name = $2";

/// A manifest that a client pushes, and on what conditions.
#[derive(Debug, Clone)]
pub struct ManifestPush {
    /// Its tag stays `None`.
    pub commit: ManifestCommit,
    pub tags: Vec<Tag>,
    /// Those of the tags that may not be moved once they are there.
    pub fixed: Vec<Tag>,
    /// Blobs that must be in the repository.
    pub blobs: Vec<Digest>,
    /// Manifests that must be.
    pub manifests: Vec<Digest>,
    /// The object that was begun for it ([`Meta::upload_begin`]) and is in place; the manifest's from now on, unless it has
    /// one.
    pub object: Option<Uuid>,
    /// Pushed into a mirror.
    pub seeded: bool,
    pub pushed_by: Option<String>,
    /// Of the write that another instance replicates here; `None`: it is one of our own.
    pub version: Option<TagVersion>,
}

/// What became of a [`ManifestPush`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestPushed {
    Done,
    /// Nothing was written: these are not in the repository.
    Missing(Vec<Digest>),
    /// Nothing was written: this tag points to another manifest, and may not be moved.
    Fixed(Tag),
    /// Nothing was written: the tag is of a newer write.
    Kept(TagState),
}

/// A blob that came, and where it is.
#[derive(Debug, Clone)]
pub struct BlobPush {
    pub repository: Name,
    pub digest: Digest,
    pub size_bytes: u64,
    /// The session that it came by.
    pub upload: Option<Uuid>,
    /// The object that it is in, if it came by way of object storage.
    pub object: Option<Uuid>,
}

impl Meta {
    /// Makes a blob visible in a repository and ends its upload session, if there was one. `false`: that session was
    /// gone, and nothing is written.
    pub async fn blob_push(&self, push: BlobPush) -> Result<bool, MetaError> {
        self.write(push).await
    }

    /// A repository that has this blob, of those that this is true of.
    pub async fn blob_repository(
        &self,
        digest: &Digest,
        is_it: impl Fn(&Name) -> bool,
    ) -> Result<Option<Name>, MetaError> {
        let found = Mutex::new(None);
        let statement = Statement::new(SQL_REPOSITORIES).bind(digest);
        let look = |(name,): (String,)| match name.parse::<Name>() {
            Ok(name) if is_it(&name) => {
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
                true
            }
            _ => false,
        };
        self.any(statement, look).await?;
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the blob that `from` has visible in another repository; `false`: `from` does not have it.
    pub async fn blob_mount(
        &self,
        repository: &Name,
        from: &Name,
        digest: &Digest,
    ) -> Result<bool, MetaError> {
        self.write(BlobMount {
            repository: repository.clone(),
            from: from.clone(),
            digest: digest.clone(),
        })
        .await
    }

    /// Makes a manifest visible in its repository with all that belongs to it, and moves its tags; all or nothing.
    pub async fn manifest_push(&self, push: ManifestPush) -> Result<ManifestPushed, MetaError> {
        self.write(push).await
    }
}

/// [`Meta::blob_mount`].
struct BlobMount {
    repository: Name,
    from: Name,
    digest: Digest,
}

impl Operation for BlobMount {
    type Output = bool;

    /// A link says that there is a row of the blob, so there is content.
    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let linked = Statement::new(blob::SQL_LINKED)
            .bind(&self.from)
            .bind(&self.digest);
        if linked.fetch_optional::<(i64,)>(connection).await?.is_none() {
            return Ok(false);
        }
        link(connection, changes, &self.repository, &self.digest).await?;
        Ok(true)
    }
}

impl Operation for BlobPush {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        if let Some(id) = self.upload {
            let end = Statement::new(upload::SQL_DELETE)
                .bind(id.to_string())
                .bind(&self.repository);
            if end.fetch_optional::<Ended>(connection).await?.is_none() {
                return Ok(false);
            }
        }
        blob::put(connection, &self.digest, self.size_bytes).await?;
        if let Some(object) = self.object {
            object::adopt(connection, &self.digest, object, self.size_bytes).await?;
        }
        link(connection, changes, &self.repository, &self.digest).await?;
        Ok(true)
    }
}

async fn link(
    connection: &mut Connection,
    changes: &mut Changes,
    repository: &Name,
    digest: &Digest,
) -> Result<(), MetaError> {
    changes.link(repository, digest);
    let repository_id = repository::with_content(connection, repository).await?;
    Statement::new(SQL_LINK)
        .bind(repository_id)
        .bind(digest)
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}

impl Operation for ManifestPush {
    type Output = ManifestPushed;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<ManifestPushed, MetaError> {
        let name = &self.commit.repository;
        let repository_id = repository::known(connection, name).await?;
        let missing = self.missing(connection, repository_id).await?;
        if !missing.is_empty() {
            return Ok(ManifestPushed::Missing(missing));
        }
        if let Some(state) = self.older_than(connection).await? {
            return Ok(ManifestPushed::Kept(state));
        }
        if let Some(tag) = self.held_by_another(connection, repository_id).await? {
            return Ok(ManifestPushed::Fixed(tag));
        }
        self.commit.commit(connection, changes).await?;
        if let Some(object) = self.object {
            object::end_upload(connection, &self.commit.digest, object).await?;
        }
        for blob in &self.commit.manifest.blobs {
            changes.link(name, &blob.digest);
            let named = Statement::new(SQL_NAMED).bind(repository_id);
            named.bind(&blob.digest).execute(connection).await?;
        }
        if self.seeded {
            let seeded = Statement::new(SQL_SEEDED).bind(repository_id);
            seeded.bind(&self.commit.digest).execute(connection).await?;
        }
        for tag in &self.tags {
            if self.has_come(connection, tag).await? {
                self.move_tag(connection, changes, repository_id, tag)
                    .await?;
                self.tell(connection, Some(tag)).await?;
            }
        }
        if self.tags.is_empty() {
            self.tell(connection, None).await?;
        }
        Ok(ManifestPushed::Done)
    }
}

impl ManifestPush {
    async fn tell(&self, connection: &mut Connection, tag: Option<&Tag>) -> Result<(), MetaError> {
        let ManifestCommit {
            repository, digest, ..
        } = &self.commit;
        event::put(connection, EventKind::Pushed, repository, tag, digest).await
    }

    async fn missing(
        &self,
        connection: &mut Connection,
        repository_id: i64,
    ) -> Result<Vec<Digest>, MetaError> {
        let mut missing = Vec::new();
        for (sql, digests) in [
            (SQL_LINKED, &self.blobs),
            (image::SQL_HERE, &self.manifests),
        ] {
            for digest in digests {
                let find = Statement::new(sql).bind(repository_id).bind(digest);
                if find.fetch_optional::<(i64,)>(connection).await?.is_none() {
                    missing.push(digest.clone());
                }
            }
        }
        Ok(missing)
    }

    /// The newer state that a tag has already.
    async fn older_than(&self, connection: &mut Connection) -> Result<Option<TagState>, MetaError> {
        let Some(version) = self.version else {
            return Ok(None);
        };
        for tag in &self.tags {
            let standing = tag_version::standing(connection, &self.commit.repository, tag).await?;
            if let Some(standing) = standing.filter(|standing| standing.version > version) {
                return Ok(Some(standing));
            }
        }
        Ok(None)
    }

    /// Writes the version of a tag that this moves; false: it is what it is to be already, by the same write.
    async fn has_come(&self, connection: &mut Connection, tag: &Tag) -> Result<bool, MetaError> {
        let repository = &self.commit.repository;
        let state = TagState {
            version: match self.version {
                Some(version) => version,
                None => tag_version::next(connection, repository, tag).await?,
            },
            digest: self.commit.digest.clone(),
            is_deleted: false,
        };
        if tag_version::standing(connection, repository, tag)
            .await?
            .as_ref()
            == Some(&state)
        {
            return Ok(false);
        }
        tag_version::put(connection, repository, tag, &state).await?;
        Ok(true)
    }

    /// A tag that may not be moved and points to something else.
    async fn held_by_another(
        &self,
        connection: &mut Connection,
        repository_id: i64,
    ) -> Result<Option<Tag>, MetaError> {
        let pushed = &self.commit.digest;
        for tag in &self.fixed {
            let target = tag::target(connection, repository_id, tag.as_str()).await?;
            if target.is_some_and(|digest| digest != *pushed) {
                return Ok(Some(tag.clone()));
            }
        }
        Ok(None)
    }

    /// What was pushed last counts, whatever the clock says of what was there.
    async fn move_tag(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
        repository_id: i64,
        tag: &Tag,
    ) -> Result<(), MetaError> {
        let now = SystemTime::now();
        let row = TagRow {
            target: ManifestSummary {
                digest: self.commit.digest.clone(),
                media_type: self.commit.media_type.clone(),
                size_bytes: self.commit.size_bytes,
            },
            told: None,
            checked_at: now,
        };
        let forget = Statement::new(delete::SQL_DELETE_TAG)
            .bind(repository_id)
            .bind(tag);
        forget.execute(connection).await?;
        tag::put(connection, changes, &self.commit.repository, tag, &row).await?;
        Statement::new(SQL_TAGGED)
            .bind(repository_id)
            .bind(tag)
            .bind(column::milliseconds(now))
            .bind(self.pushed_by.as_deref())
            .bind(self.seeded)
            .execute(connection)
            .await?;
        Ok(())
    }
}
