//! Rules of replication, and how far each has got with the events.

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    ExecutionWrite, Meta, MetaError, changes::Changes, column, connection::Connection, delivery,
    event, execution, operation::Operation, statement::Statement, unasked,
};

pub(super) const SQL_ALL: &str = "SELECT id, name, members, enabled, owner, passed_event, due_at, \
     created_at, changed_at FROM rule ORDER BY name";

pub(super) const SQL_GET: &str = "SELECT id, name, members, enabled, owner, passed_event, due_at, \
     created_at, changed_at FROM rule WHERE name = $1";

pub(super) const SQL_BY_ID: &str = "SELECT id, name, members, enabled, owner, passed_event, due_at, \
     created_at, changed_at FROM rule WHERE id = $1";

pub(super) const SQL_INSERT: &str = "INSERT INTO rule \
     (id, name, members, enabled, owner, passed_event, due_at, created_at, changed_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (name) DO NOTHING";

pub(super) const SQL_REPLACE: &str = "UPDATE rule SET name = $2, members = $3, enabled = $4, \
     passed_event = $5, due_at = $6, changed_at = $7 WHERE id = $1";

pub(super) const SQL_PASS: &str =
    "UPDATE rule SET passed_event = $3 WHERE id = $1 AND passed_event = $2";

/// $2: the time that has come.
pub(super) const SQL_DUE: &str = "UPDATE rule SET due_at = $3 WHERE id = $1 AND due_at = $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM rule WHERE id = $1";

/// A rule as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    pub id: Uuid,
    pub name: String,
    /// A JSON object.
    pub members: String,
    pub enabled: bool,
    /// Who made it.
    pub owner: String,
    /// The last event that it has seen; `None`: events are nothing to it.
    pub passed_event: Option<i64>,
    /// When all of it is to be gone through; `None`: not by itself.
    pub due_at: Option<SystemTime>,
    /// Kept to the millisecond.
    pub created_at: SystemTime,
    pub changed_at: SystemTime,
}

/// What is to be written of a rule.
#[derive(Debug, Clone)]
pub struct RuleWrite {
    pub id: Uuid,
    pub name: String,
    pub members: String,
    pub enabled: bool,
    /// Of a new one.
    pub owner: String,
    pub due_at: Option<SystemTime>,
    /// It acts on events from now on.
    pub sees_events: bool,
}

/// The time of a rule that has come.
#[derive(Debug, Clone)]
pub struct RuleDue {
    pub at: SystemTime,
    /// When it comes again.
    pub next: Option<SystemTime>,
    /// What is to be planned now.
    pub execution: ExecutionWrite,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleFired {
    /// The execution.
    Begun,
    /// Nothing: another one is still being planned, and goes through everything, too.
    BeingPlanned,
    /// Nothing: another replica was first, or the rule was changed.
    Passed,
}

/// id, name, members, enabled, owner, `passed_event`, `due_at`, `created_at`, `changed_at`
type Columns = (
    String,
    String,
    String,
    bool,
    String,
    Option<i64>,
    Option<i64>,
    i64,
    i64,
);

/// [`Meta::rule_insert`]
struct Insert(RuleWrite);

/// [`Meta::rule_replace`]
struct Replace(RuleWrite);

/// [`Meta::rule_delete`]
struct Delete(Uuid);

impl Meta {
    /// All of them, by name. They are few.
    pub async fn rules(&self) -> Result<Vec<RuleRow>, MetaError> {
        let rows: Vec<Columns> = self.fetch_all(Statement::new(SQL_ALL)).await?;
        rows.into_iter().map(row).collect()
    }

    pub async fn rule(&self, name: &str) -> Result<Option<RuleRow>, MetaError> {
        let select = Statement::new(SQL_GET).bind(name);
        let columns: Option<Columns> = self.fetch_optional(select).await?;
        columns.map(row).transpose()
    }

    pub async fn rule_by_id(&self, id: Uuid) -> Result<Option<RuleRow>, MetaError> {
        let select = Statement::new(SQL_BY_ID).bind(id.to_string());
        let columns: Option<Columns> = self.fetch_optional(select).await?;
        columns.map(row).transpose()
    }

    /// Writes a new rule; false if there is one of its name.
    pub async fn rule_insert(&self, rule: RuleWrite) -> Result<bool, MetaError> {
        self.write(Insert(rule)).await
    }

    /// Writes a rule anew. False: there is another one of this
    /// name, or none of this id.
    pub async fn rule_replace(&self, rule: RuleWrite) -> Result<bool, MetaError> {
        self.write(Replace(rule)).await
    }

    /// Acts on the time of a rule that has come, once.
    pub async fn rule_fire(&self, due: RuleDue) -> Result<RuleFired, MetaError> {
        self.write(due).await
    }

    /// Forgets a rule and what it put where; its executions stay. False: there was none.
    pub async fn rule_delete(&self, id: Uuid) -> Result<bool, MetaError> {
        self.write(Delete(id)).await
    }
}

fn row(columns: Columns) -> Result<RuleRow, MetaError> {
    let (id, name, members, enabled, owner, passed_event, due_at, created_at, changed_at) = columns;
    Ok(RuleRow {
        id: column::parsed(&id)?,
        name,
        members,
        enabled,
        owner,
        passed_event,
        due_at: due_at.map(column::time),
        created_at: column::time(created_at),
        changed_at: column::time(changed_at),
    })
}

/// Which event the rule has seen last, once it is written. One that begins to see events has seen those until now.
async fn passed(
    connection: &mut Connection,
    rule: &RuleWrite,
    before: Option<i64>,
) -> Result<Option<i64>, MetaError> {
    match (rule.sees_events, before) {
        (false, _) => Ok(None),
        (true, Some(passed)) => Ok(Some(passed)),
        (true, None) => Ok(Some(event::newest(connection).await?)),
    }
}

impl Operation for Insert {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let rule = &self.0;
        let passed = passed(connection, rule, None).await?;
        let insert = Statement::new(SQL_INSERT)
            .bind(rule.id.to_string())
            .bind(rule.name.as_str())
            .bind(rule.members.as_str())
            .bind(rule.enabled)
            .bind(rule.owner.as_str())
            .bind(passed)
            .bind(rule.due_at.map(column::milliseconds))
            .bind(column::milliseconds(SystemTime::now()));
        Ok(insert.execute(connection).await? > 0)
    }
}

impl Operation for Replace {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let rule = &self.0;
        let id = rule.id.to_string();
        let find = Statement::new(SQL_BY_ID).bind(id.as_str());
        let Some(before) = find.fetch_optional::<Columns>(connection).await? else {
            return Ok(false);
        };
        let before = row(before)?;
        let find = Statement::new(SQL_GET).bind(rule.name.as_str());
        let named: Option<Columns> = find.fetch_optional(connection).await?;
        if named.is_some_and(|named| named.0 != id) {
            return Ok(false);
        }
        let passed = passed(connection, rule, before.passed_event).await?;
        let replace = Statement::new(SQL_REPLACE)
            .bind(id.as_str())
            .bind(rule.name.as_str())
            .bind(rule.members.as_str())
            .bind(rule.enabled)
            .bind(passed)
            .bind(rule.due_at.map(column::milliseconds))
            .bind(column::milliseconds(SystemTime::now()));
        Ok(replace.execute(connection).await? > 0)
    }
}

impl Operation for RuleDue {
    type Output = RuleFired;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<RuleFired, MetaError> {
        let rule = self.execution.rule_id.to_string();
        let due = Statement::new(SQL_DUE)
            .bind(rule.as_str())
            .bind(column::milliseconds(self.at))
            .bind(self.next.map(column::milliseconds));
        if due.execute(connection).await? == 0 {
            return Ok(RuleFired::Passed);
        }
        let planning = Statement::new(execution::SQL_PLANNING).bind(rule);
        let planning: Option<(i64,)> = planning.fetch_optional(connection).await?;
        if planning.is_some() {
            return Ok(RuleFired::BeingPlanned);
        }
        execution::put(connection, &self.execution).await?;
        Ok(RuleFired::Begun)
    }
}

impl Operation for Delete {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let forget = Statement::new(delivery::SQL_FORGET).bind(self.0.to_string());
        forget.execute(connection).await?;
        let forget = Statement::new(unasked::SQL_FORGET).bind(self.0.to_string());
        forget.execute(connection).await?;
        let delete = Statement::new(SQL_DELETE).bind(self.0.to_string());
        Ok(delete.execute(connection).await? > 0)
    }
}
