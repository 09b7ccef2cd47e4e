//! Upload sessions: that they are there, and since when nothing was heard of them. Their bytes are in the store.

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};
use crate::oci::{Algorithm, Name};

pub(super) const SQL_COUNT: &str = "SELECT COUNT(*) FROM upload";

pub(super) const SQL_COUNT_OF: &str = "SELECT COUNT(*) FROM upload WHERE repository = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO upload (id, repository, algorithm, created_at, touched_at) \
     VALUES ($1, $2, $3, $4, $4)";

pub(super) const SQL_GET: &str = "SELECT algorithm FROM upload WHERE id = $1 AND repository = $2";

pub(super) const SQL_TOUCH: &str =
    "UPDATE upload SET touched_at = $3 WHERE id = $1 AND repository = $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM upload WHERE id = $1 AND repository = $2";

pub(super) const SQL_FORGET: &str = "DELETE FROM upload WHERE touched_at < $1 RETURNING id";

/// How many sessions there may be.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    pub all: u32,
    pub of_repository: u32,
}

/// [`Meta::upload_start`].
struct Start {
    id: Uuid,
    repository: Name,
    algorithm: Algorithm,
    limits: UploadLimits,
}

/// [`Meta::upload_touch`] and [`Meta::upload_delete`].
struct Change {
    sql: &'static str,
    id: Uuid,
    repository: Name,
}

/// [`Meta::uploads_forget`].
struct Forget(SystemTime);

impl Meta {
    /// Begins a session; `false`: there are too many.
    pub async fn upload_start(
        &self,
        id: Uuid,
        repository: &Name,
        algorithm: Algorithm,
        limits: UploadLimits,
    ) -> Result<bool, MetaError> {
        self.write(Start {
            id,
            repository: repository.clone(),
            algorithm,
            limits,
        })
        .await
    }

    /// What a session of this repository is hashed by; `None`: there is no such session.
    pub async fn upload(
        &self,
        id: Uuid,
        repository: &Name,
    ) -> Result<Option<Algorithm>, MetaError> {
        let statement = Statement::new(SQL_GET)
            .bind(id.to_string())
            .bind(repository);
        let row: Option<(String,)> = self.fetch_optional(statement).await?;
        row.map(|(algorithm,)| column::parsed(&algorithm))
            .transpose()
    }

    /// Something was heard of a session; `false`: it is gone.
    pub async fn upload_touch(&self, id: Uuid, repository: &Name) -> Result<bool, MetaError> {
        self.upload_change(SQL_TOUCH, id, repository).await
    }

    /// Ends a session; `false`: it was gone.
    pub async fn upload_delete(&self, id: Uuid, repository: &Name) -> Result<bool, MetaError> {
        self.upload_change(SQL_DELETE, id, repository).await
    }

    async fn upload_change(
        &self,
        sql: &'static str,
        id: Uuid,
        repository: &Name,
    ) -> Result<bool, MetaError> {
        self.write(Change {
            sql,
            id,
            repository: repository.clone(),
        })
        .await
    }

    /// Ends sessions of which nothing was heard since `before`. Their files go with [`crate::store::Store::sweep`].
    pub async fn uploads_forget(&self, before: SystemTime) -> Result<Vec<Uuid>, MetaError> {
        self.write(Forget(before)).await
    }
}

impl Operation for Start {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let of_repository = Statement::new(SQL_COUNT_OF).bind(&self.repository);
        for (count, limit) in [
            (Statement::new(SQL_COUNT), self.limits.all),
            (of_repository, self.limits.of_repository),
        ] {
            let (count,): (i64,) = count.fetch_one(connection).await?;
            if count >= i64::from(limit) {
                return Ok(false);
            }
        }
        Statement::new(SQL_PUT)
            .bind(self.id.to_string())
            .bind(&self.repository)
            .bind(self.algorithm.as_str())
            .bind(column::milliseconds(SystemTime::now()))
            .execute(connection)
            .await?;
        Ok(true)
    }
}

impl Operation for Change {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let statement = Statement::new(self.sql)
            .bind(self.id.to_string())
            .bind(&self.repository);
        let statement = match self.sql {
            SQL_TOUCH => statement.bind(column::milliseconds(SystemTime::now())),
            _ => statement,
        };
        Ok(statement.execute(connection).await? > 0)
    }
}

impl Operation for Forget {
    type Output = Vec<Uuid>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Vec<Uuid>, MetaError> {
        let forget = Statement::new(SQL_FORGET).bind(column::milliseconds(self.0));
        let rows: Vec<(String,)> = forget.fetch_all(connection).await?;
        rows.iter().map(|(id,)| column::parsed(id)).collect()
    }
}
