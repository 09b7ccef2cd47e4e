//! Upload sessions: that they are there, and since when nothing was heard of them. Their bytes are in the store; the
//! rows tell how far they have come for good, so that any replica, or the next process, can go on.

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, object,
    operation::Operation, statement::Statement,
};
use crate::oci::{Algorithm, Name};

pub(super) const SQL_COUNT: &str = "SELECT COUNT(*) FROM upload";

pub(super) const SQL_COUNT_OF: &str = "SELECT COUNT(*) FROM upload WHERE repository = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO upload (id, repository, algorithm, created_at, touched_at) \
     VALUES ($1, $2, $3, $4, $4)";

pub(super) const SQL_GET: &str =
    "SELECT algorithm, received_bytes FROM upload WHERE id = $1 AND repository = $2";

pub(super) const SQL_TOUCH: &str =
    "UPDATE upload SET touched_at = $3, received_bytes = $4 WHERE id = $1 AND repository = $2";

pub(super) const SQL_RECEIVED: &str = "SELECT received_bytes FROM upload WHERE id = $1";

pub(super) const SQL_DELETE: &str = "DELETE FROM upload WHERE id = $1 AND repository = $2 \
     RETURNING id, object, multipart, received_bytes";

pub(super) const SQL_FORGET: &str = "DELETE FROM upload WHERE touched_at < $1 \
     RETURNING id, object, multipart, received_bytes";

/// How many sessions there may be.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    pub all: u32,
    pub of_repository: u32,
}

/// A session as its row tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadRow {
    pub algorithm: Algorithm,
    /// How many bytes have come, and outlive a crash.
    pub received_bytes: u64,
}

/// [`Meta::upload_start`].
struct Start {
    id: Uuid,
    repository: Name,
    algorithm: Algorithm,
    limits: UploadLimits,
}

/// [`Meta::upload_touch`].
struct Touch {
    id: Uuid,
    repository: Name,
    received_bytes: u64,
}

/// [`Meta::upload_delete`].
struct Delete {
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

    /// A session of this repository; `None`: there is none of this id.
    pub async fn upload(
        &self,
        id: Uuid,
        repository: &Name,
    ) -> Result<Option<UploadRow>, MetaError> {
        let statement = Statement::new(SQL_GET)
            .bind(id.to_string())
            .bind(repository);
        let row: Option<(String, i64)> = self.fetch_optional(statement).await?;
        let read = |(algorithm, received): (String, i64)| {
            Ok(UploadRow {
                algorithm: column::parsed(&algorithm)?,
                received_bytes: column::size_read(received)?,
            })
        };
        row.map(read).transpose()
    }

    /// So many bytes of a session have come, and are durable; `false`: it is gone.
    pub async fn upload_touch(
        &self,
        id: Uuid,
        repository: &Name,
        received_bytes: u64,
    ) -> Result<bool, MetaError> {
        self.write(Touch {
            id,
            repository: repository.clone(),
            received_bytes,
        })
        .await
    }

    /// How many bytes of a session outlive a crash; `None`: there is none of this id.
    pub async fn upload_received(&self, id: Uuid) -> Result<Option<u64>, MetaError> {
        let statement = Statement::new(SQL_RECEIVED).bind(id.to_string());
        let row: Option<(i64,)> = self.fetch_optional(statement).await?;
        row.map(|(received,)| column::size_read(received))
            .transpose()
    }

    /// Ends a session; what object storage has of it is garbage. `false`: it was gone.
    pub async fn upload_delete(&self, id: Uuid, repository: &Name) -> Result<bool, MetaError> {
        let repository = repository.clone();
        self.write(Delete { id, repository }).await
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

impl Operation for Touch {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let touch = Statement::new(SQL_TOUCH)
            .bind(self.id.to_string())
            .bind(&self.repository)
            .bind(column::milliseconds(SystemTime::now()))
            .bind(column::size(self.received_bytes));
        Ok(touch.execute(connection).await? > 0)
    }
}

impl Operation for Delete {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let delete = Statement::new(SQL_DELETE)
            .bind(self.id.to_string())
            .bind(&self.repository);
        let Some(ended) = delete.fetch_optional::<Ended>(connection).await? else {
            return Ok(false);
        };
        discard(connection, ended).await?;
        Ok(true)
    }
}

/// id, object, multipart, `received_bytes`: what is left of a session that has ended
pub(super) type Ended = (String, Option<String>, Option<String>, i64);

/// What object storage has of a session that came to nothing is garbage.
pub(super) async fn discard(connection: &mut Connection, ended: Ended) -> Result<(), MetaError> {
    let (_, object, multipart, received) = ended;
    match object {
        Some(object) => object::abandon(connection, &object, received, multipart).await,
        None => Ok(()),
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
        let rows: Vec<Ended> = forget.fetch_all(connection).await?;
        let mut ids = Vec::new();
        for row in rows {
            ids.push(column::parsed(&row.0)?);
            discard(connection, row).await?;
        }
        Ok(ids)
    }
}
