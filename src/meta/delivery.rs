//! What rules put where, and what events make them put there next.

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    ExecutionWrite, Meta, MetaError, TaskItem, TaskWrite, changes::Changes, column,
    connection::Connection, execution, operation::Operation, rule, statement::Statement, task,
};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_GET: &str = "SELECT digest, over_digest, repository FROM delivery \
     WHERE rule_id = $1 AND remote = $2 AND destination = $3 AND tag = $4";

pub(super) const SQL_PUT: &str = "INSERT INTO delivery \
     (rule_id, remote, destination, tag, digest, over_digest, repository, delivered_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (rule_id, remote, destination, tag) DO UPDATE SET digest = excluded.digest, \
     over_digest = excluded.over_digest, repository = excluded.repository, delivered_at = excluded.delivered_at";

pub(super) const SQL_DELETE: &str = "DELETE FROM delivery \
     WHERE rule_id = $1 AND remote = $2 AND destination = $3 AND tag = $4";

/// $2: the remote, $3 and $4: after this destination and tag.
pub(super) const SQL_PAGE: &str = "SELECT destination, tag, digest, over_digest, repository, delivered_at FROM delivery \
     WHERE rule_id = $1 AND remote = $2 AND (destination, tag) > ($3, $4) \
     ORDER BY destination, tag LIMIT $5";

pub(super) const SQL_FORGET: &str = "DELETE FROM delivery WHERE rule_id = $1";

/// What is a rule's under a tag somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    Put(Digest),
    /// It began to put it there, over what it had put there before. Whether it did is not known.
    Begun {
        digest: Digest,
        over: Option<Digest>,
    },
}

impl Claim {
    /// What was put there last, or was to be.
    pub fn digest(&self) -> &Digest {
        let (Self::Put(digest) | Self::Begun { digest, .. }) = self;
        digest
    }

    /// What is known to have been put there.
    pub fn put(&self) -> Option<&Digest> {
        match self {
            Self::Put(digest) => Some(digest),
            Self::Begun { over, .. } => over.as_ref(),
        }
    }

    /// Is what is there the rule's?
    pub fn covers(&self, there: &Digest) -> bool {
        there == self.digest() || Some(there) == self.put()
    }
}

/// A tag that a rule put somewhere, or began to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub destination: Name,
    pub tag: Tag,
    pub claim: Claim,
    /// Where it came from.
    pub repository: Name,
    /// Kept to the millisecond.
    pub delivered_at: SystemTime,
}

/// Which tag at which remote a rule means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryKey {
    pub rule: Uuid,
    pub remote: String,
    pub destination: Name,
    pub tag: Tag,
}

/// What a rule makes of events.
#[derive(Debug, Clone)]
pub struct EventPlan {
    /// Is written if there are tasks that no waiting one takes in.
    pub execution: ExecutionWrite,
    pub tasks: Vec<TaskWrite>,
    /// The event that the rule had seen last, and the last one that this is about.
    pub passed: (i64, i64),
}

/// destination, tag, digest, `over_digest`, repository, `delivered_at`
type Columns = (String, String, String, Option<String>, String, i64);

impl Meta {
    /// What is a rule's there, and from which repository it came.
    pub async fn delivery(&self, key: &DeliveryKey) -> Result<Option<(Claim, Name)>, MetaError> {
        let row: Option<(String, Option<String>, String)> =
            self.fetch_optional(bound(SQL_GET, key)).await?;
        row.map(|(digest, over, repository)| {
            Ok((
                claim(&digest, over.as_deref())?,
                column::parsed(&repository)?,
            ))
        })
        .transpose()
    }

    /// Notes what a rule has put there, or is about to.
    pub async fn delivery_put(
        &self,
        key: &DeliveryKey,
        claim: &Claim,
        repository: &Name,
    ) -> Result<(), MetaError> {
        let over = match claim {
            Claim::Put(_) => None,
            Claim::Begun { over, .. } => {
                Some(over.as_ref().map_or(String::new(), Digest::to_string))
            }
        };
        let put = bound(SQL_PUT, key)
            .bind(claim.digest())
            .bind(over)
            .bind(repository)
            .bind(column::milliseconds(SystemTime::now()));
        self.write(put).await.map(drop)
    }

    /// What a rule had put there is there no longer.
    pub async fn delivery_delete(&self, key: DeliveryKey) -> Result<(), MetaError> {
        self.write(bound(SQL_DELETE, &key)).await.map(drop)
    }

    /// Up to `limit` tags that a rule put at a remote, after this one.
    pub async fn deliveries(
        &self,
        rule: Uuid,
        remote: &str,
        after: Option<(&Name, &Tag)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, MetaError> {
        let select = Statement::new(SQL_PAGE)
            .bind(rule.to_string())
            .bind(remote)
            .bind(after.map_or("", |(destination, _)| destination.as_str()))
            .bind(after.map_or("", |(_, tag)| tag.as_str()))
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.into_iter().map(row).collect()
    }

    /// Writes what a rule makes of events, and that it has seen them. A task that waits for the same repository at the
    /// same remote takes in what is new; for all else there is an execution. False: another replica was first, or the rule sees no events any more.
    pub async fn events_planned(&self, plan: EventPlan) -> Result<bool, MetaError> {
        self.write(plan).await
    }
}

fn bound(sql: &'static str, key: &DeliveryKey) -> Statement {
    Statement::new(sql)
        .bind(key.rule.to_string())
        .bind(key.remote.as_str())
        .bind(&key.destination)
        .bind(&key.tag)
}

fn claim(digest: &str, over: Option<&str>) -> Result<Claim, MetaError> {
    let digest = column::parsed(digest)?;
    Ok(match over {
        None => Claim::Put(digest),
        Some("") => Claim::Begun { digest, over: None },
        Some(over) => Claim::Begun {
            digest,
            over: Some(column::parsed(over)?),
        },
    })
}

fn row(columns: Columns) -> Result<DeliveryRow, MetaError> {
    let (destination, tag, digest, over, repository, delivered_at) = columns;
    Ok(DeliveryRow {
        destination: column::parsed(&destination)?,
        tag: column::parsed(&tag)?,
        claim: claim(&digest, over.as_deref())?,
        repository: column::parsed(&repository)?,
        delivered_at: column::time(delivered_at),
    })
}

impl Operation for EventPlan {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let (before, after) = self.passed;
        let pass = Statement::new(rule::SQL_PASS)
            .bind(self.execution.rule_id.to_string())
            .bind(before)
            .bind(after);
        if pass.execute(connection).await? == 0 {
            return Ok(false);
        }
        let mut execution = None;
        for task in &self.tasks {
            if self.taken_in(connection, task).await? {
                continue;
            }
            let begun = match execution.take() {
                Some(begun) => begun,
                None => execution::begin(connection, &self.execution).await?,
            };
            task::put(connection, &begun, task, Some(SystemTime::now())).await?;
            execution = Some(begun);
        }
        Ok(true)
    }
}

impl EventPlan {
    /// Does a task that has not begun take it in?
    async fn taken_in(
        &self,
        connection: &mut Connection,
        task: &TaskWrite,
    ) -> Result<bool, MetaError> {
        if !task.delay.is_zero() {
            return Ok(false);
        }
        let waiting = Statement::new(task::SQL_WAITING)
            .bind(task.remote.as_str())
            .bind(&task.destination)
            .bind(self.execution.rule_id.to_string())
            .bind(&task.repository)
            .bind(column::milliseconds(SystemTime::now()));
        let waiting: Option<(String, String)> = waiting.fetch_optional(connection).await?;
        let Some((id, items)) = waiting else {
            return Ok(false);
        };
        let items = merged(task::items_read(&items)?, &task.items);
        Statement::new(task::SQL_TAKE_IN)
            .bind(id)
            .bind(task::items_text(&items))
            .execute(connection)
            .await?;
        Ok(true)
    }
}

/// What is newer of a tag counts.
fn merged(mut items: Vec<TaskItem>, newer: &[TaskItem]) -> Vec<TaskItem> {
    items.retain(|item| newer.iter().all(|other| other.tag != item.tag));
    items.extend_from_slice(newer);
    items
}
