//! What the tasks of a rule are yet to do.

use uuid::Uuid;

use super::{Meta, MetaError, TaskItem, column, statement::Statement, task};
use crate::oci::Name;

/// Tasks at a remote that are to begin, or to begin again, of executions with these members. (Those of an applied plan do
/// what was planned then.)
pub(super) const SQL_PAGE: &str = "SELECT id, due_at, repository, destination, items FROM task \
     WHERE ended_at IS NULL AND remote = $1 AND rule_id = $2 AND (due_at, id) > ($3, $4) \
     AND status IN ('Pending', 'Retrying') AND EXISTS (SELECT 1 FROM execution \
     WHERE execution.id = task.execution_id AND execution.members = $5 AND NOT execution.dry_run) \
     ORDER BY due_at, id LIMIT $6";

/// A task that is to begin, or to begin again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAhead {
    id: String,
    due_at: i64,
    pub repository: Name,
    pub destination: Name,
    pub items: Vec<TaskItem>,
}

/// id, `due_at`, repository, destination, items
type Columns = (String, i64, String, String, String);

impl Meta {
    /// Up to `limit` tasks that a rule which is still the same (`members`) has ahead of it at a remote, after this one.
    pub async fn tasks_ahead(
        &self,
        rule: Uuid,
        remote: &str,
        members: &str,
        after: Option<&TaskAhead>,
        limit: u32,
    ) -> Result<Vec<TaskAhead>, MetaError> {
        let select = Statement::new(SQL_PAGE)
            .bind(remote)
            .bind(rule.to_string())
            .bind(after.map_or(-1, |task| task.due_at))
            .bind(after.map_or("", |task| task.id.as_str()))
            .bind(members)
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.into_iter().map(row).collect()
    }
}

fn row((id, due_at, repository, destination, items): Columns) -> Result<TaskAhead, MetaError> {
    Ok(TaskAhead {
        id,
        due_at,
        repository: column::parsed(&repository)?,
        destination: column::parsed(&destination)?,
        items: task::items_read(&items)?,
    })
}
