//! Remotes that are no part of the configuration file.

use std::time::SystemTime;

use bytes::Bytes;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    revision, statement::Statement,
};

pub(super) const SQL_ALL: &str =
    "SELECT name, members, secrets, created_at, changed_at FROM remote ORDER BY name";

pub(super) const SQL_INSERT: &str = "INSERT INTO remote \
     (name, members, secrets, created_at, changed_at) VALUES ($1, $2, $3, $4, $4) \
     ON CONFLICT (name) DO NOTHING";

pub(super) const SQL_PUT: &str = "INSERT INTO remote \
     (name, members, secrets, created_at, changed_at) VALUES ($1, $2, $3, $4, $4) \
     ON CONFLICT (name) DO UPDATE SET members = excluded.members, secrets = excluded.secrets, \
     changed_at = excluded.changed_at";

pub(super) const SQL_DELETE: &str = "DELETE FROM remote WHERE name = $1";

/// A remote as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRow {
    pub name: String,
    /// A JSON object without the members that are secret.
    pub members: String,
    /// The secret ones, sealed.
    pub secrets: Option<Bytes>,
    /// Kept to the millisecond.
    pub created_at: SystemTime,
    pub changed_at: SystemTime,
}

/// What is to be written of a remote.
#[derive(Debug, Clone)]
pub struct RemoteWrite {
    pub name: String,
    pub members: String,
    pub secrets: Option<Bytes>,
}

/// [`Meta::remote_insert`] and [`Meta::remote_put`]
struct Write {
    remote: RemoteWrite,
    sql: &'static str,
}

/// [`Meta::remote_delete`]
struct Delete(String);

/// name, members, secrets, `created_at`, `changed_at`
type Columns = (String, String, Option<Vec<u8>>, i64, i64);

impl Meta {
    /// All of them, by name. They are few.
    pub async fn remotes(&self) -> Result<Vec<RemoteRow>, MetaError> {
        let rows: Vec<Columns> = self.fetch_all(Statement::new(SQL_ALL)).await?;
        let read = |(name, members, secrets, created_at, changed_at): Columns| RemoteRow {
            name,
            members,
            secrets: secrets.map(Bytes::from),
            created_at: column::time(created_at),
            changed_at: column::time(changed_at),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Writes a new remote; false if there is a row of its name.
    pub async fn remote_insert(&self, remote: RemoteWrite) -> Result<bool, MetaError> {
        let sql = SQL_INSERT;
        self.write(Write { remote, sql }).await
    }

    /// Writes a remote, whether or not there is a row of its name.
    pub async fn remote_put(&self, remote: RemoteWrite) -> Result<(), MetaError> {
        let sql = SQL_PUT;
        self.write(Write { remote, sql }).await?;
        Ok(())
    }

    /// False: there was none.
    pub async fn remote_delete(&self, name: &str) -> Result<bool, MetaError> {
        self.write(Delete(name.to_owned())).await
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
        let RemoteWrite {
            name,
            members,
            secrets,
        } = &self.remote;
        let write = Statement::new(self.sql)
            .bind(name.as_str())
            .bind(members.as_str())
            .bind(secrets.clone())
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
