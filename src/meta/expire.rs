//! Rows of history that are old enough to go.

use std::time::SystemTime;

use super::{
    MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};

/// Rows that one transaction deletes.
const AT_ONCE: i64 = 1000;

/// Deletes a bounded number of rows from before a time; gives how many.
pub(super) struct Expire {
    /// The ids of those that may go. $1: before this time, $2: so many.
    pub(super) select: &'static str,
    /// $1: the id.
    pub(super) delete: &'static str,
    pub(super) before: SystemTime,
}

impl Operation for Expire {
    type Output = u64;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<u64, MetaError> {
        let select = Statement::new(self.select)
            .bind(column::milliseconds(self.before))
            .bind(AT_ONCE);
        let expired: Vec<(i64,)> = select.fetch_all(connection).await?;
        for (id,) in &expired {
            let delete = Statement::new(self.delete).bind(*id);
            delete.execute(connection).await?;
        }
        Ok(expired.len() as u64)
    }
}
