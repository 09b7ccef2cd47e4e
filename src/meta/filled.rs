//! When an image that a mirror fetches is here: the events of it.
//!
//! ```text
//!   tag ──► index ──► manifest ──► config, layers     `filled` when the last of these is here: for the tags of the
//!                                                     manifest, and of indexes above it; without any: for itself
//! ```

use super::{
    EventKind, MetaError, column, connection::Connection, event, image, statement::Statement, tag,
};
use crate::oci::{Digest, Name, Tag};

/// It is here, names no manifests, and every blob that it names and that a registry may have is here, too.
pub(super) const SQL_IS_IMAGE: &str = "SELECT CAST(1 AS BIGINT) FROM manifest \
     WHERE repository_id = $1 AND digest = $2 AND NOT EXISTS (SELECT 1 FROM reference \
     WHERE reference.repository_id = $1 AND reference.parent = $2 AND reference.kind = 'blob' \
     AND reference.media_type NOT LIKE '%.foreign.%' AND reference.media_type NOT LIKE '%.nondistributable.%' \
     AND NOT EXISTS (SELECT 1 FROM link WHERE link.repository_id = $1 AND link.digest = reference.child)) \
     AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = $1 \
     AND reference.parent = $2 AND reference.kind = 'manifest')";

pub(super) const SQL_CHILDREN: &str = "SELECT child FROM reference \
     WHERE repository_id = $1 AND parent = $2 AND kind = 'manifest'";

pub(super) const SQL_NAMING: &str =
    "SELECT parent FROM reference WHERE repository_id = $1 AND child = $2 AND kind = 'blob'";

/// How many indexes above each other are looked at.
const MAX_DEPTH: u32 = 4;

/// A repository, as statements and as events name it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) id: i64,
    pub(super) name: &'a Name,
}

/// A blob has come.
pub(super) async fn by_blob(
    connection: &mut Connection,
    place: Place<'_>,
    blob: &Digest,
) -> Result<(), MetaError> {
    let naming = Statement::new(SQL_NAMING).bind(place.id).bind(blob);
    let naming: Vec<(String,)> = naming.fetch_all(connection).await?;
    for (manifest,) in &naming {
        by_manifest(connection, place, &column::parsed(manifest)?).await?;
    }
    Ok(())
}

/// A manifest has come, or the last of what it names may have.
pub(super) async fn by_manifest(
    connection: &mut Connection,
    place: Place<'_>,
    manifest: &Digest,
) -> Result<(), MetaError> {
    if !is_image(connection, place.id, manifest).await? {
        return Ok(());
    }
    let mut has_tag = false;
    let mut above = vec![manifest.clone()];
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for digest in &above {
            let filled = EventKind::Filled;
            for tag in tag::pointing_to(connection, place.id, digest).await? {
                has_tag = true;
                event::put(connection, filled, place.name, Some(&tag), digest).await?;
            }
            let indexes = Statement::new(image::SQL_INDEXES).bind(place.id);
            let indexes: Vec<(String,)> = indexes.bind(digest).fetch_all(connection).await?;
            for (index,) in &indexes {
                next.push(column::parsed(index)?);
            }
        }
        above = next;
    }
    if !has_tag {
        event::put(connection, EventKind::Filled, place.name, None, manifest).await?;
    }
    Ok(())
}

/// A tag points to another manifest now, which may be here already.
pub(super) async fn by_tag(
    connection: &mut Connection,
    place: Place<'_>,
    tag: &Tag,
    target: &Digest,
) -> Result<(), MetaError> {
    if has_image(connection, place.id, target).await? {
        event::put(connection, EventKind::Filled, place.name, Some(tag), target).await?;
    }
    Ok(())
}

/// Is this a whole image, and no index?
async fn is_image(
    connection: &mut Connection,
    repository_id: i64,
    digest: &Digest,
) -> Result<bool, MetaError> {
    let is_image = Statement::new(SQL_IS_IMAGE)
        .bind(repository_id)
        .bind(digest);
    Ok(is_image
        .fetch_optional::<(i64,)>(connection)
        .await?
        .is_some())
}

/// Is this a whole image, or an index above one?
async fn has_image(
    connection: &mut Connection,
    repository_id: i64,
    digest: &Digest,
) -> Result<bool, MetaError> {
    let mut below = vec![digest.clone()];
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for digest in &below {
            if is_image(connection, repository_id, digest).await? {
                return Ok(true);
            }
            let children = Statement::new(SQL_CHILDREN)
                .bind(repository_id)
                .bind(digest);
            let children: Vec<(String,)> = children.fetch_all(connection).await?;
            for (child,) in &children {
                next.push(column::parsed(child)?);
            }
        }
        below = next;
    }
    Ok(false)
}
