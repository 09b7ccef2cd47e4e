//! Executions that are forgotten with their tasks and logs: those that are old, and the oldest of a rule that has too many.

use std::time::SystemTime;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};

/// The oldest that ended long enough ago to go.
pub(super) const SQL_EXPIRED: &str = "SELECT id FROM execution WHERE ended_at < $1 \
     AND ended_at IS NOT NULL ORDER BY ended_at LIMIT $2";

/// A rule that has executions, after this one.
pub(super) const SQL_RULE: &str =
    "SELECT rule_id FROM execution WHERE rule_id > $1 ORDER BY rule_id LIMIT 1";

/// The oldest that have ended and come before the newest of a rule, of which $2 stay.
pub(super) const SQL_MANY: &str = "SELECT id FROM execution WHERE rule_id = $1 \
     AND id <= (SELECT newest.id FROM execution AS newest WHERE newest.rule_id = $1 \
     ORDER BY newest.id DESC LIMIT 1 OFFSET $2) AND ended_at IS NOT NULL ORDER BY id LIMIT $3";

pub(super) const SQL_DELETE_LOGS: &str =
    "DELETE FROM task_log WHERE task_id IN (SELECT id FROM task WHERE execution_id = $1)";

pub(super) const SQL_DELETE_TASKS: &str = "DELETE FROM task WHERE execution_id = $1";

pub(super) const SQL_DELETE: &str = "DELETE FROM execution WHERE id = $1";

/// Executions that one transaction deletes: each may have many tasks.
const AT_ONCE: i64 = 10;

/// [`Meta::executions_expire`]
struct Old(SystemTime);

/// [`Meta::executions_thin`]
struct Many(u32);

impl Meta {
    /// Deletes executions that ended before this time, with their tasks and logs, a bounded number of them; how many.
    /// Nothing is left at 0.
    pub async fn executions_expire(&self, before: SystemTime) -> Result<u64, MetaError> {
        self.write(Old(before)).await
    }

    /// Deletes executions that have ended, the oldest of each rule that has more than so many, with their tasks and logs, a
    /// bounded number of them; how many. Nothing is left at 0.
    pub async fn executions_thin(&self, keep: u32) -> Result<u64, MetaError> {
        self.write(Many(keep)).await
    }
}

impl Operation for Old {
    type Output = u64;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<u64, MetaError> {
        let select = Statement::new(SQL_EXPIRED)
            .bind(column::milliseconds(self.0))
            .bind(AT_ONCE);
        forget(connection, &select).await
    }
}

impl Operation for Many {
    type Output = u64;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<u64, MetaError> {
        let mut forgotten = 0;
        let mut rule = String::new();
        while forgotten == 0 {
            let next = Statement::new(SQL_RULE).bind(rule.as_str());
            let Some((found,)) = next.fetch_optional::<(String,)>(connection).await? else {
                break;
            };
            let select = Statement::new(SQL_MANY)
                .bind(found.as_str())
                .bind(i64::from(self.0))
                .bind(AT_ONCE);
            forgotten = forget(connection, &select).await?;
            rule = found;
        }
        Ok(forgotten)
    }
}

/// Deletes the executions that are selected.
async fn forget(connection: &mut Connection, select: &Statement) -> Result<u64, MetaError> {
    let ids: Vec<(String,)> = select.fetch_all(connection).await?;
    for (id,) in &ids {
        for sql in [SQL_DELETE_LOGS, SQL_DELETE_TASKS, SQL_DELETE] {
            let delete = Statement::new(sql).bind(id.as_str());
            delete.execute(connection).await?;
        }
    }
    Ok(ids.len() as u64)
}
