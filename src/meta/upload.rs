//! Upload sessions: that they are there, and since when nothing was heard of them. Their bytes are in the store; with
//! object storage the rows tell how far they have come, so that any replica can go on.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
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
    "UPDATE upload SET touched_at = $3 WHERE id = $1 AND repository = $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM upload WHERE id = $1 AND repository = $2 \
     RETURNING id, object, multipart, received_bytes";

pub(super) const SQL_FORGET: &str = "DELETE FROM upload WHERE touched_at < $1 \
     RETURNING id, object, multipart, received_bytes";

/// $5 is now. Nobody else holds it, or no longer.
pub(super) const SQL_HOLD: &str = "UPDATE upload SET holder = $3, held_until = $4, touched_at = $5 \
     WHERE id = $1 AND repository = $2 AND (held_until < $5 OR holder = $3) \
     RETURNING algorithm, received_bytes, hash, object, multipart, parts, tail";

pub(super) const SQL_LET_GO: &str =
    "UPDATE upload SET held_until = 0 WHERE id = $1 AND repository = $2 AND holder = $3";

pub(super) const SQL_SAVE: &str = "UPDATE upload SET held_until = 0, received_bytes = $4, hash = $5, \
     object = $6, multipart = $7, parts = $8, tail = $9 WHERE id = $1 AND repository = $2 AND holder = $3";

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
    /// With object storage: how many bytes have come.
    pub received_bytes: u64,
}

/// How far a session has come on object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    pub received_bytes: u64,
    /// The hash of these bytes, as its hasher saved itself.
    pub hash: Bytes,
    pub object: Uuid,
    pub multipart: Option<String>,
    /// What the storage calls the parts, in order.
    pub parts: Vec<String>,
    /// What came after the last part.
    pub tail: Bytes,
}

/// What became of the wish to work on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadHold {
    /// `None`: nothing has come yet.
    Held(Algorithm, Option<UploadState>),
    /// Somebody else works on it.
    Busy,
    /// There is no such session.
    Gone,
}

/// Who works on which session.
#[derive(Debug, Clone)]
pub struct UploadHolder {
    pub id: Uuid,
    pub repository: Name,
    /// Of this one request.
    pub holder: Uuid,
}

/// [`Meta::upload_hold`].
struct Hold {
    of: UploadHolder,
    lasts: Duration,
}

/// [`Meta::upload_let_go`] and [`Meta::upload_save`].
struct Save {
    of: UploadHolder,
    state: Option<UploadState>,
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

    /// Begins to work on a session, or goes on with it, for so long: nobody else does meanwhile.
    pub async fn upload_hold(
        &self,
        of: &UploadHolder,
        lasts: Duration,
    ) -> Result<UploadHold, MetaError> {
        let of = of.clone();
        self.write(Hold { of, lasts }).await
    }

    /// Ends the work on a session without a change.
    pub async fn upload_let_go(&self, of: &UploadHolder) -> Result<(), MetaError> {
        let (of, state) = (of.clone(), None);
        self.write(Save { of, state }).await.map(drop)
    }

    /// Ends the work on a session and remembers how far it has come. `false`: it is gone, or somebody else's.
    pub async fn upload_save(
        &self,
        of: &UploadHolder,
        state: UploadState,
    ) -> Result<bool, MetaError> {
        let (of, state) = (of.clone(), Some(state));
        self.write(Save { of, state }).await
    }

    /// Something was heard of a session; `false`: it is gone.
    pub async fn upload_touch(&self, id: Uuid, repository: &Name) -> Result<bool, MetaError> {
        let repository = repository.clone();
        self.write(Touch { id, repository }).await
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
            .bind(column::milliseconds(SystemTime::now()));
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

/// algorithm, `received_bytes`, hash, object, multipart, parts, tail
type HeldColumns = (
    String,
    i64,
    Option<Vec<u8>>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
);

impl Operation for Hold {
    type Output = UploadHold;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<UploadHold, MetaError> {
        let (of, now) = (&self.of, SystemTime::now());
        let hold = Statement::new(SQL_HOLD)
            .bind(of.id.to_string())
            .bind(&of.repository)
            .bind(of.holder.to_string())
            .bind(column::milliseconds(now + self.lasts))
            .bind(column::milliseconds(now));
        if let Some(columns) = hold.fetch_optional::<HeldColumns>(connection).await? {
            return held(columns);
        }
        let get = Statement::new(SQL_GET)
            .bind(of.id.to_string())
            .bind(&of.repository);
        let there = get.fetch_optional::<(String, i64)>(connection).await?;
        Ok(there.map_or(UploadHold::Gone, |_| UploadHold::Busy))
    }
}

fn held(columns: HeldColumns) -> Result<UploadHold, MetaError> {
    let (algorithm, received, hash, object, multipart, parts, tail) = columns;
    let algorithm = column::parsed(&algorithm)?;
    let (Some(hash), Some(object)) = (hash, object) else {
        return Ok(UploadHold::Held(algorithm, None));
    };
    let parts = parts.unwrap_or_default();
    let state = UploadState {
        received_bytes: column::size_read(received)?,
        hash: hash.into(),
        object: column::parsed(&object)?,
        multipart,
        parts: parts.lines().map(str::to_owned).collect(),
        tail: tail.unwrap_or_default().into(),
    };
    Ok(UploadHold::Held(algorithm, Some(state)))
}

impl Operation for Save {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let of = &self.of;
        let run = |sql| {
            Statement::new(sql)
                .bind(of.id.to_string())
                .bind(&of.repository)
                .bind(of.holder.to_string())
        };
        let statement = match &self.state {
            None => run(SQL_LET_GO),
            Some(state) => run(SQL_SAVE)
                .bind(column::size(state.received_bytes))
                .bind(state.hash.clone())
                .bind(state.object.to_string())
                .bind(state.multipart.as_deref())
                .bind(state.parts.join("\n"))
                .bind(state.tail.clone()),
        };
        Ok(statement.execute(connection).await? > 0)
    }
}

/// id, object, multipart, `received_bytes`: what is left of a session that has ended
pub(super) type Ended = (String, Option<String>, Option<String>, i64);

/// What object storage has of a session that came to nothing is garbage.
async fn discard(connection: &mut Connection, ended: Ended) -> Result<(), MetaError> {
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
