//! Tasks and executions that a process held when it ended: nobody else has to wait for the end of their leases, when it is
//! known that there is no such process any more.

use super::{
    Meta, MetaError, changes::Changes, connection::Connection, operation::Operation,
    statement::Statement,
};

pub(super) const SQL_TASKS: &str = "UPDATE task SET held_until = 0 \
     WHERE ended_at IS NULL AND remote = $1 AND rule_id = $2 AND held_until > 0";

pub(super) const SQL_EXECUTIONS: &str =
    "UPDATE execution SET held_until = 0 WHERE status = 'Planning' AND held_until > 0";

/// [`Meta::work_left`]
struct Left(Vec<(String, uuid::Uuid)>);

impl Meta {
    /// Lets everything go that was being planned or carried out. Only for the one process that uses the database, before it
    /// begins.
    pub async fn work_left(&self) -> Result<(), MetaError> {
        let queues = self.task_queues().await?;
        self.write(Left(queues)).await
    }
}

impl Operation for Left {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        for (remote, rule) in &self.0 {
            let tasks = Statement::new(SQL_TASKS).bind(remote.as_str());
            tasks.bind(rule.to_string()).execute(connection).await?;
        }
        Statement::new(SQL_EXECUTIONS).execute(connection).await?;
        Ok(())
    }
}
