//! Projects that are no part of the configuration file.

use std::time::SystemTime;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    revision, statement::Statement,
};

pub(super) const SQL_ALL: &str =
    "SELECT name, members, created_at, changed_at FROM project ORDER BY name";

pub(super) const SQL_INSERT: &str = "INSERT INTO project (name, members, created_at, changed_at) \
     VALUES ($1, $2, $3, $3) ON CONFLICT (name) DO NOTHING";

pub(super) const SQL_PUT: &str = "INSERT INTO project (name, members, created_at, changed_at) \
     VALUES ($1, $2, $3, $3) \
     ON CONFLICT (name) DO UPDATE SET members = excluded.members, changed_at = excluded.changed_at";

pub(super) const SQL_DELETE: &str = "DELETE FROM project WHERE name = $1";

/// A project as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    pub name: String,
    /// A JSON object.
    pub members: String,
    /// Kept to the millisecond.
    pub created_at: SystemTime,
    pub changed_at: SystemTime,
}

/// [`Meta::project_insert`] and [`Meta::project_put`]
struct Write {
    name: String,
    members: String,
    sql: &'static str,
}

/// [`Meta::project_delete`]
struct Delete(String);

impl Meta {
    /// All of them, by name.
    pub async fn projects(&self) -> Result<Vec<ProjectRow>, MetaError> {
        let rows: Vec<(String, String, i64, i64)> = self.fetch_all(Statement::new(SQL_ALL)).await?;
        let read = |(name, members, created_at, changed_at)| ProjectRow {
            name,
            members,
            created_at: column::time(created_at),
            changed_at: column::time(changed_at),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Writes a new project, its members as a JSON object; false if there is a row of its name.
    pub async fn project_insert(&self, name: &str, members: String) -> Result<bool, MetaError> {
        self.project_write(name, members, SQL_INSERT).await
    }

    /// Writes a project, whether or not there is a row of its name.
    pub async fn project_put(&self, name: &str, members: String) -> Result<(), MetaError> {
        self.project_write(name, members, SQL_PUT).await?;
        Ok(())
    }

    /// False: there was none.
    pub async fn project_delete(&self, name: &str) -> Result<bool, MetaError> {
        self.write(Delete(name.to_owned())).await
    }

    async fn project_write(
        &self,
        name: &str,
        members: String,
        sql: &'static str,
    ) -> Result<bool, MetaError> {
        let name = name.to_owned();
        self.write(Write { name, members, sql }).await
    }
}

impl Operation for Write {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        revision::advance(connection).await?;
        let write = Statement::new(self.sql)
            .bind(self.name.as_str())
            .bind(self.members.as_str())
            .bind(column::milliseconds(SystemTime::now()));
        Ok(write.execute(connection).await? > 0)
    }
}

impl Operation for Delete {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        revision::advance(connection).await?;
        let delete = Statement::new(SQL_DELETE).bind(self.0.as_str());
        Ok(delete.execute(connection).await? > 0)
    }
}
