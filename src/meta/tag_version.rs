//! Which write each tag is of, here or at another instance: what is older than that changes nothing. What was deleted keeps
//! its version for a while, so that an older copy elsewhere does not bring it back.
//!
//! Pushes and deletes write it in their own transactions. What mirrors fetch has no version: its truth is elsewhere.

use std::time::SystemTime;

use super::{
    EventKind, Meta, MetaError, changes::Changes, column, connection::Connection, event,
    operation::Operation, statement::Statement,
};
use crate::oci::{Digest, Name, Tag, TagState, TagVersion};

pub(super) const SQL_INSTANCE: &str = "SELECT id FROM instance";

pub(super) const SQL_LAST: &str =
    "SELECT version FROM tag_version WHERE repository = $1 AND tag = $2";

/// Only while the tag is what it says.
pub(super) const SQL_STANDING: &str = "SELECT version, digest, deleted_at FROM tag_version \
     WHERE repository = $1 AND tag = $2 AND CASE WHEN deleted_at IS NULL THEN digest ELSE '' END \
     = COALESCE((SELECT tag.digest FROM tag \
     WHERE tag.repository_id = (SELECT id FROM repository WHERE name = $1) AND tag.name = $2), '')";

pub(super) const SQL_PUT: &str = "INSERT INTO tag_version (repository, tag, version, digest, deleted_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (repository, tag) DO UPDATE SET \
     version = excluded.version, digest = excluded.digest, deleted_at = excluded.deleted_at";

pub(super) const SQL_EXPIRED: &str =
    "SELECT repository, tag FROM tag_version WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM tag_version WHERE repository = $1 AND tag = $2";

/// Rows that one transaction deletes.
const EXPIRED_AT_ONCE: i64 = 1000;

/// version, digest, `deleted_at`
type Columns = (String, String, Option<i64>);

/// [`Meta::tag_version_seen`]
struct Seen {
    repository: Name,
    tag: Tag,
    state: TagState,
}

/// [`Meta::tag_version_raise`]
struct Raise {
    repository: Name,
    tag: Tag,
    digest: Digest,
    above: TagVersion,
}

/// [`Meta::tag_versions_expire`]
struct Expire(SystemTime);

impl Meta {
    /// What a tag is and since which write, also of one that was deleted not long ago. `None`: no write of it is known, or
    /// a mirror has moved it since.
    pub async fn tag_state(
        &self,
        repository: &Name,
        tag: &Tag,
    ) -> Result<Option<TagState>, MetaError> {
        let select = Statement::new(SQL_STANDING).bind(repository).bind(tag);
        let columns: Option<Columns> = self.fetch_optional(select).await?;
        columns.map(state).transpose()
    }

    /// Another instance has a tag as it is here, by a newer write: that is its version here, too, from now on, and those who
    /// follow are told.
    pub async fn tag_version_seen(
        &self,
        repository: &Name,
        tag: &Tag,
        state: TagState,
    ) -> Result<(), MetaError> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.write(Seen {
            repository,
            tag,
            state,
        })
        .await
    }

    /// Makes a tag that is here by this digest newer than a delete elsewhere; what it is then. `None`: it is something else
    /// by now.
    pub async fn tag_version_raise(
        &self,
        repository: &Name,
        tag: &Tag,
        digest: &Digest,
        above: TagVersion,
    ) -> Result<Option<TagState>, MetaError> {
        self.write(Raise {
            repository: repository.clone(),
            tag: tag.clone(),
            digest: digest.clone(),
            above,
        })
        .await
    }

    /// Forgets deletes from before this time, a bounded number of them; how many. Nothing is left at 0.
    pub async fn tag_versions_expire(&self, before: SystemTime) -> Result<u64, MetaError> {
        self.write(Expire(before)).await
    }
}

fn state((version, digest, deleted_at): Columns) -> Result<TagState, MetaError> {
    Ok(TagState {
        version: column::parsed(&version)?,
        digest: column::parsed(&digest)?,
        is_deleted: deleted_at.is_some(),
    })
}

/// [`Meta::tag_state`], inside a transaction.
pub(super) async fn standing(
    connection: &mut Connection,
    repository: &Name,
    tag: &Tag,
) -> Result<Option<TagState>, MetaError> {
    let select = Statement::new(SQL_STANDING).bind(repository).bind(tag);
    let columns: Option<Columns> = select.fetch_optional(connection).await?;
    columns.map(state).transpose()
}

/// The version of a write of our own, now.
pub(super) async fn next(
    connection: &mut Connection,
    repository: &Name,
    tag: &Tag,
) -> Result<TagVersion, MetaError> {
    next_above(connection, repository, tag, None).await
}

/// Above this one, too.
async fn next_above(
    connection: &mut Connection,
    repository: &Name,
    tag: &Tag,
    above: Option<TagVersion>,
) -> Result<TagVersion, MetaError> {
    let (instance,): (String,) = Statement::new(SQL_INSTANCE).fetch_one(connection).await?;
    let instance = u64::from_str_radix(&instance, 16)
        .map_err(|_| MetaError::Corrupt(format!("instance `{instance}`")))?;
    let last = Statement::new(SQL_LAST).bind(repository).bind(tag);
    let last: Option<(String,)> = last.fetch_optional(connection).await?;
    let last = last.map(|(last,)| column::parsed(&last)).transpose()?;
    Ok(TagVersion::after(
        last.max(above),
        SystemTime::now(),
        instance,
    ))
}

/// To be part of the transaction of the change.
pub(super) async fn put(
    connection: &mut Connection,
    repository: &Name,
    tag: &Tag,
    state: &TagState,
) -> Result<(), MetaError> {
    let now = column::milliseconds(SystemTime::now());
    Statement::new(SQL_PUT)
        .bind(repository)
        .bind(tag)
        .bind(state.version.to_string())
        .bind(&state.digest)
        .bind(state.is_deleted.then_some(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// A tag was deleted here, by a write of our own.
pub(super) async fn deleted(
    connection: &mut Connection,
    repository: &Name,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), MetaError> {
    let state = TagState {
        version: next(connection, repository, tag).await?,
        digest: digest.clone(),
        is_deleted: true,
    };
    put(connection, repository, tag, &state).await
}

impl Operation for Seen {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let (repository, tag, seen) = (&self.repository, &self.tag, &self.state);
        let ours = standing(connection, repository, tag).await?;
        let is_newer = ours.is_some_and(|ours| {
            ours.version < seen.version && !ours.is_deleted && ours.digest == seen.digest
        });
        if is_newer && !seen.is_deleted {
            put(connection, repository, tag, seen).await?;
            let pushed = EventKind::Pushed;
            event::put(connection, pushed, repository, Some(tag), &seen.digest).await?;
        }
        Ok(())
    }
}

impl Operation for Raise {
    type Output = Option<TagState>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Option<TagState>, MetaError> {
        let (repository, tag) = (&self.repository, &self.tag);
        let ours = standing(connection, repository, tag).await?;
        let Some(ours) = ours.filter(|ours| !ours.is_deleted && ours.digest == self.digest) else {
            return Ok(None);
        };
        let raised = TagState {
            version: next_above(connection, repository, tag, Some(self.above)).await?,
            ..ours
        };
        put(connection, repository, tag, &raised).await?;
        let pushed = EventKind::Pushed;
        event::put(connection, pushed, repository, Some(tag), &raised.digest).await?;
        Ok(Some(raised))
    }
}

impl Operation for Expire {
    type Output = u64;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<u64, MetaError> {
        let select = Statement::new(SQL_EXPIRED)
            .bind(column::milliseconds(self.0))
            .bind(EXPIRED_AT_ONCE);
        let expired: Vec<(String, String)> = select.fetch_all(connection).await?;
        for (repository, tag) in &expired {
            let delete = Statement::new(SQL_DELETE).bind(repository.as_str());
            delete.bind(tag.as_str()).execute(connection).await?;
        }
        Ok(expired.len() as u64)
    }
}
