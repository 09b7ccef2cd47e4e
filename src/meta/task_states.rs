//! How many tasks there are in each state, of all executions together. Only entries of an index are read, but all of them.

use super::{Meta, MetaError, TaskStatus, column, statement::Statement};

pub(super) const SQL_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM task WHERE status = $1";

impl Meta {
    /// All states, also those that no task is in.
    pub async fn task_states(&self) -> Result<Vec<(TaskStatus, u64)>, MetaError> {
        let mut states = Vec::new();
        for (word, status) in TaskStatus::ALL {
            let select = Statement::new(SQL_COUNT).bind(word);
            let row: Option<(i64,)> = self.fetch_optional(select).await?;
            states.push((status, column::size_read(row.map_or(0, |(count,)| count))?));
        }
        Ok(states)
    }
}
