//! Images that go as a whole: a root manifest with what is below it, its referrers and its tags.
//!
//! ```text
//!   tag ──► root (index) ──► child ──► config, layers       unit: everything drawn, unless something that stays
//!             ▲                                             names it, too: another index a child, another
//!             └ subject ── referrer ──► its blobs           manifest of the repository a layer
//! ```
//!
//! One transaction takes tags, references, manifest rows and the links that only they held. A blob row goes with the
//! last manifest row and link of its digest, in whatever repository; its digest is then noted in `gone` until its file
//! is deleted, so that a crash in between leaves nothing behind.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, object,
    operation::Operation, repository, statement::Statement,
};
use crate::oci::{Digest, Name};

pub(super) const SQL_HERE: &str =
    "SELECT CAST(1 AS BIGINT) FROM manifest WHERE repository_id = $1 AND digest = $2";

pub(super) const SQL_INDEXES: &str =
    "SELECT parent FROM reference WHERE repository_id = $1 AND child = $2 AND kind = 'manifest'";

/// Manifests that are here and that this one names, and those that have it as their subject.
pub(super) const SQL_BELOW: &str = "SELECT manifest.digest FROM reference CROSS JOIN manifest \
     WHERE reference.repository_id = $1 AND reference.parent = $2 AND reference.kind = 'manifest' \
     AND manifest.repository_id = reference.repository_id AND manifest.digest = reference.child \
     UNION ALL SELECT parent FROM reference WHERE repository_id = $1 AND child = $2 AND kind = 'subject'";

pub(super) const SQL_BLOBS: &str =
    "SELECT child FROM reference WHERE repository_id = $1 AND parent = $2 AND kind = 'blob'";

/// Seeded, used since $3, or pinned by its digest or by a tag of it.
pub(super) const SQL_STAYS: &str = "SELECT CAST(1 AS BIGINT) FROM manifest \
     WHERE repository_id = $1 AND digest = $2 AND (seeded OR used_at > $3 \
     OR EXISTS (SELECT 1 FROM pin WHERE pin.repository_id = $1 AND pin.reference = $2) \
     OR EXISTS (SELECT 1 FROM tag CROSS JOIN pin \
     WHERE tag.repository_id = $1 AND tag.digest = $2 \
     AND pin.repository_id = tag.repository_id AND pin.reference = tag.name))";

pub(super) const SQL_DELETE_TAGS: &str =
    "DELETE FROM tag WHERE repository_id = $1 AND digest = $2 RETURNING name";

/// Links that no other manifest of the repository names.
pub(super) const SQL_DELETE_LINKS: &str = "DELETE FROM link WHERE repository_id = $1 \
     AND digest IN (SELECT child FROM reference WHERE repository_id = $1 AND parent = $2 AND kind = 'blob') \
     AND NOT EXISTS (SELECT 1 FROM reference AS other WHERE other.repository_id = $1 \
     AND other.child = link.digest AND other.kind = 'blob' AND other.parent <> $2) RETURNING digest";

pub(super) const SQL_DELETE_REFERENCES: &str =
    "DELETE FROM reference WHERE repository_id = $1 AND parent = $2";

pub(super) const SQL_DELETE_MANIFEST: &str =
    "DELETE FROM manifest WHERE repository_id = $1 AND digest = $2";

/// Who got the manifest as a blob left a link to it.
pub(super) const SQL_DELETE_ITSELF: &str = "DELETE FROM link WHERE repository_id = $1 AND digest = $2 \
     AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = $1 \
     AND reference.child = $2 AND reference.kind = 'blob')";

/// The size of a blob that the project $2 does not have.
pub(super) const SQL_LEFT_PROJECT: &str = "SELECT size_bytes FROM blob WHERE digest = $1 \
     AND NOT EXISTS (SELECT 1 FROM link CROSS JOIN repository \
     WHERE link.digest = $1 AND repository.id = link.repository_id AND repository.project = $2) \
     AND NOT EXISTS (SELECT 1 FROM manifest CROSS JOIN repository \
     WHERE manifest.digest = $1 AND repository.id = manifest.repository_id AND repository.project = $2)";

pub(super) const SQL_DELETE_BLOB: &str = "DELETE FROM blob WHERE digest = $1 \
     AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.digest = $1) \
     AND NOT EXISTS (SELECT 1 FROM link WHERE link.digest = $1) RETURNING object, size_bytes";

pub(super) const SQL_GONE_PUT: &str =
    "INSERT INTO gone (digest) VALUES ($1) ON CONFLICT (digest) DO NOTHING";

/// A repository with nothing in it is not shown.
pub(super) const SQL_EMPTY: &str = "UPDATE repository SET has_content = FALSE \
     WHERE id = $1 AND created_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM manifest WHERE repository_id = $1) \
     AND NOT EXISTS (SELECT 1 FROM tag WHERE repository_id = $1) \
     AND NOT EXISTS (SELECT 1 FROM link WHERE repository_id = $1)";

/// Why an image goes.
#[derive(Debug, Clone)]
pub enum Removal {
    /// An operator says so: whatever its state.
    Purge,
    /// To make room: not if it is pinned, seeded, or waits for one of `filling`, or if its root was used after
    /// `used_at`.
    Evict {
        used_at: SystemTime,
        filling: Arc<HashSet<Digest>>,
    },
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Content that no repository has any more: its files are to be deleted.
    pub gone: Vec<Digest>,
    /// Size of `gone` in bytes.
    pub bytes: u64,
    /// Size in bytes of what the project has no longer; other projects may have some of it.
    pub project_bytes: u64,
}

impl Removed {
    /// Both together.
    pub(super) fn add(&mut self, other: Self) {
        self.gone.extend(other.gone);
        self.bytes += other.bytes;
        self.project_bytes += other.project_bytes;
    }
}

impl Meta {
    /// Deletes an image: its tags, its manifests and what only it held. `None`: it is not here, or it is to stay.
    /// The files of what is gone are still there.
    pub async fn image_delete(
        &self,
        repository: &Name,
        root: &Digest,
        removal: Removal,
    ) -> Result<Option<Removed>, MetaError> {
        self.write(DeleteImage {
            repository: repository.clone(),
            root: root.clone(),
            removal,
        })
        .await
    }
}

struct DeleteImage {
    repository: Name,
    root: Digest,
    removal: Removal,
}

impl Operation for DeleteImage {
    type Output = Option<Removed>;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Option<Removed>, MetaError> {
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return Ok(None);
        };
        let image = members(connection, repository_id, &self.root).await?;
        if image.is_empty() || self.stays(connection, repository_id, &image).await? {
            return Ok(None);
        }
        let mut left = BTreeSet::new();
        for manifest in image {
            self.delete_manifest(connection, changes, repository_id, &manifest, &mut left)
                .await?;
            left.insert(manifest);
        }
        let removed = removed(connection, repository_id, &self.repository, &left).await?;
        Ok(Some(removed))
    }
}

impl DeleteImage {
    /// Is any of it wanted, although room is needed?
    async fn stays(
        &self,
        connection: &mut Connection,
        repository_id: i64,
        image: &[String],
    ) -> Result<bool, MetaError> {
        let Removal::Evict { used_at, filling } = &self.removal else {
            return Ok(false);
        };
        for (place, digest) in image.iter().enumerate() {
            // The root's is the newest use of all of it; what is below may have come later, and was not used since.
            let used_at = if place == 0 {
                column::milliseconds(*used_at)
            } else {
                i64::MAX
            };
            let stays = Statement::new(SQL_STAYS)
                .bind(repository_id)
                .bind(digest.as_str())
                .bind(used_at);
            if stays.fetch_optional::<(i64,)>(connection).await?.is_some() {
                return Ok(true);
            }
            if filling.is_empty() {
                continue;
            }
            let blobs = Statement::new(SQL_BLOBS)
                .bind(repository_id)
                .bind(digest.as_str());
            for (blob,) in blobs.fetch_all::<(String,)>(connection).await? {
                if filling.contains(&column::parsed(&blob)?) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// One manifest of the image; what its repository has no link to any more is added to `left`.
    async fn delete_manifest(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
        repository_id: i64,
        digest: &str,
        left: &mut BTreeSet<String>,
    ) -> Result<(), MetaError> {
        let repository = &self.repository;
        changes.manifest(repository, &column::parsed(digest)?);
        let run = |sql| Statement::new(sql).bind(repository_id).bind(digest);
        for (tag,) in run(SQL_DELETE_TAGS)
            .fetch_all::<(String,)>(connection)
            .await?
        {
            changes.tag(repository, &column::parsed(&tag)?);
        }
        for (blob,) in run(SQL_DELETE_LINKS)
            .fetch_all::<(String,)>(connection)
            .await?
        {
            changes.link(repository, &column::parsed(&blob)?);
            left.insert(blob);
        }
        run(SQL_DELETE_REFERENCES).execute(connection).await?;
        run(SQL_DELETE_MANIFEST).execute(connection).await?;
        changes.link(repository, &column::parsed(digest)?);
        run(SQL_DELETE_ITSELF).execute(connection).await?;
        Ok(())
    }
}

/// The manifests that go with this root, itself first. One that another index of the repository names stays.
async fn members(
    connection: &mut Connection,
    repository_id: i64,
    root: &Digest,
) -> Result<Vec<String>, MetaError> {
    let root = root.to_string();
    let select = |sql, digest: &str| Statement::new(sql).bind(repository_id).bind(digest);
    let here = select(SQL_HERE, &root);
    if here.fetch_optional::<(i64,)>(connection).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut members = Vec::new();
    let mut known = HashSet::new();
    let mut queue = VecDeque::from([root]);
    while let Some(digest) = queue.pop_front() {
        if known.contains(&digest) {
            continue;
        }
        // The root goes in any case. Who waits for another index is met again below that one, if it goes, too.
        if !members.is_empty() {
            let indexes = select(SQL_INDEXES, &digest);
            let indexes = indexes.fetch_all::<(String,)>(connection).await?;
            if !indexes.iter().all(|(index,)| known.contains(index)) {
                continue;
            }
        }
        let below = select(SQL_BELOW, &digest);
        let below = below.fetch_all::<(String,)>(connection).await?;
        queue.extend(below.into_iter().map(|(digest,)| digest));
        known.insert(digest.clone());
        members.push(digest);
    }
    Ok(members)
}

/// Content that a repository does not have any more: who else has it, and what nobody has.
pub(super) async fn removed(
    connection: &mut Connection,
    repository_id: i64,
    repository: &Name,
    left: &BTreeSet<String>,
) -> Result<Removed, MetaError> {
    let mut removed = Removed::default();
    for digest in left {
        let left_project = Statement::new(SQL_LEFT_PROJECT)
            .bind(digest.as_str())
            .bind(repository.first());
        let Some((size_bytes,)) = left_project.fetch_optional::<(i64,)>(connection).await? else {
            continue;
        };
        let size_bytes = column::size_read(size_bytes)?;
        removed.project_bytes += size_bytes;
        if delete_blob(connection, digest).await? {
            let gone = Statement::new(SQL_GONE_PUT).bind(digest.as_str());
            gone.execute(connection).await?;
            removed.bytes += size_bytes;
            removed.gone.push(column::parsed(digest)?);
        }
    }
    let empty = Statement::new(SQL_EMPTY).bind(repository_id);
    empty.execute(connection).await?;
    Ok(removed)
}

/// Deletes the row of a blob that no row refers to; its object is garbage then.
pub(super) async fn delete_blob(
    connection: &mut Connection,
    digest: &str,
) -> Result<bool, MetaError> {
    let delete = Statement::new(SQL_DELETE_BLOB).bind(digest);
    let Some((object, size)) = delete.fetch_optional(connection).await? else {
        return Ok(false);
    };
    object::discard(connection, object, size).await?;
    Ok(true)
}
