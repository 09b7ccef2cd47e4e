//! What clients delete: a tag, a manifest with its tags, a blob. (A whole repository: `clearance.rs`.)
//!
//! ```text
//!   tag ──► manifest ──► config, layers     by tag:    the tag alone
//!             ▲                             by digest: the manifest and its tags; its blobs stay for a grace, because
//!             └ subject ── referrer                    somebody may be about to push what names them again
//! ```
//!
//! What named the manifest stays, and is told: its referrers dangle. (An image that is evicted goes as a whole:
//! `image.rs`. What is left without a name goes by `orphans.rs`.)

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    EventKind, Meta, MetaError, Removed, changes::Changes, column, connection::Connection, event,
    image, operation::Operation, repository, statement::Statement, tag, tag_version,
};
use crate::{
    config::Pattern,
    oci::{Digest, Name, Tag, TagState},
};

pub(super) const SQL_DELETE_TAG: &str = "DELETE FROM tag WHERE repository_id = $1 AND name = $2";

pub(super) const SQL_SEEDED: &str =
    "SELECT seeded FROM manifest WHERE repository_id = $1 AND digest = $2";

/// A manifest that was pushed into a mirror names the blob.
pub(super) const SQL_SEEDED_BLOB: &str = "SELECT CAST(1 AS BIGINT) FROM reference CROSS JOIN manifest \
     WHERE reference.repository_id = $1 AND reference.child = $2 AND reference.kind = 'blob' \
     AND manifest.repository_id = reference.repository_id AND manifest.digest = reference.parent \
     AND manifest.seeded LIMIT 1";

pub(super) const SQL_REFERRERS: &str = "SELECT parent FROM reference \
     WHERE repository_id = $1 AND child = $2 AND kind = 'subject' ORDER BY parent LIMIT $3";

/// Links that no other manifest of the repository names are wanted until now ($3).
pub(super) const SQL_LOOSEN: &str = "UPDATE link SET touched_at = $3 WHERE repository_id = $1 \
     AND digest IN (SELECT child FROM reference WHERE repository_id = $1 AND parent = $2 AND kind = 'blob') \
     AND NOT EXISTS (SELECT 1 FROM reference AS other WHERE other.repository_id = $1 \
     AND other.child = link.digest AND other.kind = 'blob' AND other.parent <> $2)";

pub(super) const SQL_DELETE_LINK: &str =
    "DELETE FROM link WHERE repository_id = $1 AND digest = $2 RETURNING digest";

/// How many referrers are told at most.
pub const MAX_DANGLING: u32 = 100;

/// What of a repository clients may delete.
#[derive(Debug, Clone, Default)]
pub struct Deletable {
    /// Of a mirror: only what was pushed there.
    pub only_seeded: bool,
    /// Tags that stay once they are there, and what they point to.
    pub fixed: Vec<Pattern>,
}

/// What became of a wish to delete something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    Done(Deleted),
    /// There is nothing of this name.
    Absent,
    /// This tag stays.
    Fixed(Tag),
    /// It was not pushed here.
    NotSeeded,
    /// It is of a newer write.
    Kept(TagState),
}

/// What was deleted, and what that left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Tags that pointed to the manifest.
    pub tags: Vec<Tag>,
    /// Manifests whose subject is no longer here, by digest, the first [`MAX_DANGLING`].
    pub dangling: Vec<Digest>,
    /// Its files are still there.
    pub removed: Removed,
}

impl Meta {
    /// Deletes a tag; what it points to stays. `deleted`: the delete that another instance replicates here; `None`: it is
    /// one of our own.
    pub async fn delete_tag(
        &self,
        repository: &Name,
        tag: &Tag,
        deletable: Deletable,
        deleted: Option<TagState>,
    ) -> Result<Deletion, MetaError> {
        self.write(DeleteTag {
            repository: repository.clone(),
            tag: tag.clone(),
            deletable,
            deleted,
        })
        .await
    }

    /// Deletes a manifest and the tags that point to it.
    pub async fn delete_manifest(
        &self,
        repository: &Name,
        digest: &Digest,
        deletable: Deletable,
    ) -> Result<Deletion, MetaError> {
        self.write(DeleteManifest {
            repository: repository.clone(),
            digest: digest.clone(),
            deletable,
        })
        .await
    }

    /// Deletes a blob from one repository, also when a manifest there names it: then that one cannot be pulled whole
    /// any more.
    pub async fn delete_blob(
        &self,
        repository: &Name,
        digest: &Digest,
        deletable: Deletable,
    ) -> Result<Deletion, MetaError> {
        self.write(DeleteBlob {
            repository: repository.clone(),
            digest: digest.clone(),
            deletable,
        })
        .await
    }
}

/// [`Meta::delete_tag`]
struct DeleteTag {
    repository: Name,
    tag: Tag,
    deletable: Deletable,
    deleted: Option<TagState>,
}

/// [`Meta::delete_manifest`]
struct DeleteManifest {
    repository: Name,
    digest: Digest,
    deletable: Deletable,
}

/// [`Meta::delete_blob`]
struct DeleteBlob {
    repository: Name,
    digest: Digest,
    deletable: Deletable,
}

impl Deletable {
    fn is_fixed(&self, tag: &Tag) -> bool {
        self.fixed
            .iter()
            .any(|pattern| pattern.matches(tag.as_str()))
    }
}

impl Operation for DeleteTag {
    type Output = Deletion;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Deletion, MetaError> {
        if let Some(state) = self.older_than(connection).await? {
            return Ok(Deletion::Kept(state));
        }
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return self.absent(connection).await;
        };
        let target = tag::target(connection, repository_id, self.tag.as_str()).await?;
        let Some(digest) = target else {
            return self.absent(connection).await;
        };
        if self.deletable.is_fixed(&self.tag) {
            return Ok(Deletion::Fixed(self.tag.clone()));
        }
        let seeded = seeded(connection, repository_id, &digest.to_string()).await?;
        if self.deletable.only_seeded && seeded != Some(true) {
            return Ok(Deletion::NotSeeded);
        }
        let (repository, tag) = (&self.repository, self.tag.as_str());
        tag_of(connection, changes, repository_id, repository, tag).await?;
        if let Some(deleted) = &self.deleted {
            tag_version::put(connection, repository, &self.tag, deleted).await?;
        }
        Ok(Deletion::Done(Deleted {
            tags: vec![self.tag.clone()],
            ..Deleted::default()
        }))
    }
}

impl DeleteTag {
    /// The newer state that the tag has.
    async fn older_than(&self, connection: &mut Connection) -> Result<Option<TagState>, MetaError> {
        let Some(deleted) = &self.deleted else {
            return Ok(None);
        };
        let standing = tag_version::standing(connection, &self.repository, &self.tag).await?;
        Ok(standing.filter(|standing| standing.version > deleted.version))
    }

    /// A delete from elsewhere is noted, and told to those who follow, also where the tag is not: they may have it.
    async fn absent(&self, connection: &mut Connection) -> Result<Deletion, MetaError> {
        let (repository, tag) = (&self.repository, &self.tag);
        if let Some(deleted) = &self.deleted {
            let standing = tag_version::standing(connection, repository, tag).await?;
            if standing.is_none_or(|standing| standing.version < deleted.version) {
                tag_version::put(connection, repository, tag, deleted).await?;
                let (kind, digest) = (EventKind::Deleted, &deleted.digest);
                event::put(connection, kind, repository, Some(tag), digest).await?;
            }
        }
        Ok(Deletion::Absent)
    }
}

impl Operation for DeleteManifest {
    type Output = Deletion;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Deletion, MetaError> {
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return Ok(Deletion::Absent);
        };
        let digest = self.digest.to_string();
        match seeded(connection, repository_id, &digest).await? {
            None => return Ok(Deletion::Absent),
            Some(false) if self.deletable.only_seeded => return Ok(Deletion::NotSeeded),
            Some(_) => {}
        }
        let tags = tag::pointing_to(connection, repository_id, &self.digest).await?;
        if let Some(fixed) = tags.iter().find(|tag| self.deletable.is_fixed(tag)) {
            return Ok(Deletion::Fixed(fixed.clone()));
        }
        let dangling = referrers(connection, repository_id, &digest).await?;
        let removed = manifest(
            connection,
            changes,
            repository_id,
            &self.repository,
            &digest,
        );
        Ok(Deletion::Done(Deleted {
            tags,
            dangling,
            removed: removed.await?,
        }))
    }
}

impl Operation for DeleteBlob {
    type Output = Deletion;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Deletion, MetaError> {
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return Ok(Deletion::Absent);
        };
        let run = |sql| Statement::new(sql).bind(repository_id).bind(&self.digest);
        if self.deletable.only_seeded {
            let seeded: Option<(i64,)> = run(SQL_SEEDED_BLOB).fetch_optional(connection).await?;
            if seeded.is_none() {
                return Ok(Deletion::NotSeeded);
            }
        }
        changes.link(&self.repository, &self.digest);
        let deleted: Option<(String,)> = run(SQL_DELETE_LINK).fetch_optional(connection).await?;
        let Some((digest,)) = deleted else {
            return Ok(Deletion::Absent);
        };
        let left = BTreeSet::from([digest]);
        Ok(Deletion::Done(Deleted {
            removed: image::removed(connection, repository_id, &self.repository, &left).await?,
            ..Deleted::default()
        }))
    }
}

/// Was this manifest pushed into a mirror? `None`: it is not here.
async fn seeded(
    connection: &mut Connection,
    repository_id: i64,
    digest: &str,
) -> Result<Option<bool>, MetaError> {
    let select = Statement::new(SQL_SEEDED).bind(repository_id).bind(digest);
    let row: Option<(bool,)> = select.fetch_optional(connection).await?;
    Ok(row.map(|(seeded,)| seeded))
}

async fn referrers(
    connection: &mut Connection,
    repository_id: i64,
    digest: &str,
) -> Result<Vec<Digest>, MetaError> {
    let select = Statement::new(SQL_REFERRERS).bind(repository_id);
    let select = select.bind(digest).bind(i64::from(MAX_DANGLING));
    let rows: Vec<(String,)> = select.fetch_all(connection).await?;
    let digests = rows.iter().map(|(digest,)| column::parsed(digest));
    digests.collect()
}

/// One tag, if it is there; what it pointed to.
pub(super) async fn tag_of(
    connection: &mut Connection,
    changes: &mut Changes,
    repository_id: i64,
    repository: &Name,
    tag: &str,
) -> Result<Option<Digest>, MetaError> {
    let Some(digest) = tag::target(connection, repository_id, tag).await? else {
        return Ok(None);
    };
    let delete = Statement::new(SQL_DELETE_TAG).bind(repository_id).bind(tag);
    delete.execute(connection).await?;
    let tag = column::parsed(tag)?;
    changes.tag(repository, &tag);
    tag_version::deleted(connection, repository, &tag, &digest).await?;
    let deleted = EventKind::Deleted;
    event::put(connection, deleted, repository, Some(&tag), &digest).await?;
    Ok(Some(digest))
}

/// One manifest and its tags. What only it named is loose from now on.
pub(super) async fn manifest(
    connection: &mut Connection,
    changes: &mut Changes,
    repository_id: i64,
    repository: &Name,
    digest: &str,
) -> Result<Removed, MetaError> {
    let parsed = column::parsed(digest)?;
    changes.manifest(repository, &parsed);
    let run = |sql| Statement::new(sql).bind(repository_id).bind(digest);
    let tags: Vec<(String,)> = run(image::SQL_DELETE_TAGS).fetch_all(connection).await?;
    for (tag,) in &tags {
        let tag = column::parsed(tag)?;
        changes.tag(repository, &tag);
        tag_version::deleted(connection, repository, &tag, &parsed).await?;
        let deleted = EventKind::Deleted;
        event::put(connection, deleted, repository, Some(&tag), &parsed).await?;
    }
    let loosen = run(SQL_LOOSEN).bind(column::milliseconds(SystemTime::now()));
    loosen.execute(connection).await?;
    for sql in [image::SQL_DELETE_REFERENCES, image::SQL_DELETE_MANIFEST] {
        run(sql).execute(connection).await?;
    }
    let left = BTreeSet::from([digest.to_owned()]);
    image::removed(connection, repository_id, repository, &left).await
}
