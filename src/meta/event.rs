//! Events: what changed, written in the transaction of the change, for those who act on it later.
//!
//! Transactions are one after the other (`connection.rs`), so the ids grow in the order of the commits: who has seen one
//! has seen all before it.

use std::time::SystemTime;

use super::{
    Meta, MetaError, column, connection::Connection, expire::Expire, statement::Statement,
};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_PUT: &str =
    "INSERT INTO event (kind, repository, tag, digest, at) VALUES ($1, $2, $3, $4, $5)";

pub(super) const SQL_AFTER: &str =
    "SELECT id, kind, repository, tag, digest, at FROM event WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const SQL_NEWEST: &str = "SELECT id FROM event WHERE id > 0 ORDER BY id DESC LIMIT 1";

/// The oldest that are old enough to go, and that every webhook and every rule which waits for events has passed.
pub(super) const SQL_EXPIRED: &str = "SELECT id FROM event WHERE at < $1 \
     AND NOT EXISTS (SELECT 1 FROM rule WHERE rule.passed_event < event.id) \
     AND NOT EXISTS (SELECT 1 FROM webhook WHERE webhook.passed_event < event.id) \
     ORDER BY at LIMIT $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM event WHERE id = $1";

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A manifest came by a push; with a tag: that one points to it now.
    Pushed,
    /// The last part of an image that a mirror fetches is here.
    Filled,
    /// A manifest got a label.
    Labelled,
    /// A client deleted it.
    Deleted,
}

/// A change of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub id: i64,
    pub kind: EventKind,
    pub repository: Name,
    /// `None`: a manifest that has none.
    pub tag: Option<Tag>,
    pub digest: Digest,
    /// Kept to the millisecond.
    pub at: SystemTime,
}

/// id, kind, repository, tag, digest, at
type Columns = (i64, String, String, Option<String>, String, i64);

impl EventKind {
    const ALL: [(&'static str, Self); 4] = [
        ("pushed", Self::Pushed),
        ("filled", Self::Filled),
        ("labelled", Self::Labelled),
        ("deleted", Self::Deleted),
    ];

    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, kind)| *kind == self);
        found.expect("each kind has its word").0
    }

    fn read(text: &str) -> Result<Self, MetaError> {
        let found = Self::ALL.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, kind)| *kind)
            .ok_or_else(|| MetaError::Corrupt(format!("event `{text}`")))
    }
}

impl Meta {
    /// Up to `limit` events after the one with this id, in their order.
    pub async fn events_after(&self, id: i64, limit: u32) -> Result<Vec<EventRow>, MetaError> {
        let select = Statement::new(SQL_AFTER).bind(id).bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.into_iter().map(row).collect()
    }

    /// Deletes events from before this time that every rule and webhook has passed, a bounded number of them; how many.
    /// Nothing is left at 0.
    pub async fn events_expire(&self, before: SystemTime) -> Result<u64, MetaError> {
        self.write(Expire {
            select: SQL_EXPIRED,
            delete: SQL_DELETE,
            before,
        })
        .await
    }
}

fn row((id, kind, repository, tag, digest, at): Columns) -> Result<EventRow, MetaError> {
    Ok(EventRow {
        id,
        kind: EventKind::read(&kind)?,
        repository: column::parsed(&repository)?,
        tag: tag.as_deref().map(column::parsed).transpose()?,
        digest: column::parsed(&digest)?,
        at: column::time(at),
    })
}

/// To be part of the transaction of the change.
pub(super) async fn put(
    connection: &mut Connection,
    kind: EventKind,
    repository: &Name,
    tag: Option<&Tag>,
    digest: &Digest,
) -> Result<(), MetaError> {
    Statement::new(SQL_PUT)
        .bind(kind.as_str())
        .bind(repository)
        .bind(tag.map(Tag::as_str))
        .bind(digest)
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}

/// The newest event there is; 0: none yet.
pub(super) async fn newest(connection: &mut Connection) -> Result<i64, MetaError> {
    let newest: Option<(i64,)> = Statement::new(SQL_NEWEST)
        .fetch_optional(connection)
        .await?;
    Ok(newest.map_or(0, |(id,)| id))
}
