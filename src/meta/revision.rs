//! The count of changes of remotes, projects and repositories' visibilities: by it other replicas notice them.

use super::{Meta, MetaError, connection::Connection, statement::Statement};

pub(super) const SQL_GET: &str = "SELECT number FROM revision WHERE name = 'projects'";

pub(super) const SQL_NEXT: &str = "UPDATE revision SET number = number + 1 WHERE name = 'projects'";

impl Meta {
    /// Differs once a remote, a project or a repository's visibility was changed by anybody.
    pub async fn project_revision(&self) -> Result<i64, MetaError> {
        let row: Option<(i64,)> = self.fetch_optional(Statement::new(SQL_GET)).await?;
        Ok(row.map_or(0, |(number,)| number))
    }
}

/// To be part of every transaction that changes one of them.
pub(super) async fn advance(connection: &mut Connection) -> Result<(), MetaError> {
    Statement::new(SQL_NEXT).execute(connection).await?;
    Ok(())
}
