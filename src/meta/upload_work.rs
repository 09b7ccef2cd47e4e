//! Work on an upload session with object storage: one request at a time, at whatever replica, and the row tells how far
//! it has come.
//!
//! ```text
//! hold ──► begun: an object, before anything of it is sent ──► save: how far it has come ──► let go
//!   └ not renewed in time: the next request may hold it
//! ```

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Meta, MetaError,
    changes::Changes,
    column,
    connection::Connection,
    member,
    operation::Operation,
    statement::Statement,
    upload::{self, Ended, discard},
};
use crate::oci::{Algorithm, Name};

/// $5 is now by the database's clock. Nobody else holds it, or no longer.
pub(super) const SQL_HOLD: &str = "UPDATE upload SET holder = $3, held_until = $4, touched_at = $5 \
     WHERE id = $1 AND repository = $2 AND (held_until < $5 OR holder = $3) \
     RETURNING algorithm, received_bytes, hash, object, multipart, parts, tail";

pub(super) const SQL_LET_GO: &str =
    "UPDATE upload SET held_until = 0 WHERE id = $1 AND repository = $2 AND holder = $3";

/// What object storage may have of it.
pub(super) const SQL_OBJECT: &str = "SELECT id, object, multipart, received_bytes FROM upload \
     WHERE id = $1 AND repository = $2 AND holder = $3";

pub(super) const SQL_BEGUN: &str = "UPDATE upload SET object = $4, multipart = $5 \
     WHERE id = $1 AND repository = $2 AND holder = $3";

pub(super) const SQL_SAVE: &str = "UPDATE upload SET held_until = 0, received_bytes = $4, hash = $5, \
     object = $6, multipart = $7, parts = $8, tail = $9 WHERE id = $1 AND repository = $2 AND holder = $3";

/// How far a session has come on object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    pub received_bytes: u64,
    /// The hash of these bytes, as its hasher saved itself.
    pub hash: Bytes,
    /// The object, and what the storage calls the upload of its parts; `None`: all of it is in the tail.
    pub object: Option<(Uuid, String)>,
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

/// [`Meta::upload_begun`].
struct Begun {
    of: UploadHolder,
    object: Uuid,
    multipart: Option<String>,
}

impl Meta {
    /// Begins to work on a session, or goes on with it, for so long: nobody else does meanwhile.
    pub async fn upload_hold(
        &self,
        of: &UploadHolder,
        lasts: Duration,
    ) -> Result<UploadHold, MetaError> {
        let of = of.clone();
        self.write(Hold { of, lasts }).await
    }

    /// Remembers an object before anything of it is sent, so that it is found whatever becomes of who sends it; `None`:
    /// it has no parts. What was remembered before and is not part of the session's state is garbage. `false`: the
    /// session is gone, or somebody else's.
    pub async fn upload_begun(
        &self,
        of: &UploadHolder,
        object: Uuid,
        multipart: Option<String>,
    ) -> Result<bool, MetaError> {
        let of = of.clone();
        let begun = Begun {
            of,
            object,
            multipart,
        };
        self.write(begun).await
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
        let (of, now) = (&self.of, member::now(connection).await?);
        let lasts = i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX);
        let hold = of.run(SQL_HOLD).bind(now.saturating_add(lasts)).bind(now);
        if let Some(columns) = hold.fetch_optional::<HeldColumns>(connection).await? {
            return held(columns);
        }
        let get = Statement::new(upload::SQL_GET)
            .bind(of.id.to_string())
            .bind(&of.repository);
        let there = get.fetch_optional::<(String, i64)>(connection).await?;
        Ok(there.map_or(UploadHold::Gone, |_| UploadHold::Busy))
    }
}

fn held(columns: HeldColumns) -> Result<UploadHold, MetaError> {
    let (algorithm, received, hash, object, multipart, parts, tail) = columns;
    let algorithm = column::parsed(&algorithm)?;
    let Some(hash) = hash else {
        return Ok(UploadHold::Held(algorithm, None));
    };
    let object = object.as_deref().map(column::parsed).transpose()?;
    let parts = parts.unwrap_or_default();
    let state = UploadState {
        received_bytes: column::size_read(received)?,
        hash: hash.into(),
        object: object.zip(multipart),
        parts: parts.lines().map(str::to_owned).collect(),
        tail: tail.unwrap_or_default().into(),
    };
    Ok(UploadHold::Held(algorithm, Some(state)))
}

impl UploadHolder {
    /// Of the session, as long as it is this one's.
    fn run(&self, sql: &'static str) -> Statement {
        Statement::new(sql)
            .bind(self.id.to_string())
            .bind(&self.repository)
            .bind(self.holder.to_string())
    }

    /// From now on the session has this object, or none: another one that it had is garbage.
    async fn put_aside(
        &self,
        connection: &mut Connection,
        object: Option<Uuid>,
    ) -> Result<(), MetaError> {
        let before = self.run(SQL_OBJECT).fetch_optional::<Ended>(connection);
        match before.await? {
            Some(before) if before.1 != object.map(|object| object.to_string()) => {
                discard(connection, before).await
            }
            _ => Ok(()),
        }
    }
}

impl Operation for Begun {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let of = &self.of;
        of.put_aside(connection, Some(self.object)).await?;
        let begun = of
            .run(SQL_BEGUN)
            .bind(self.object.to_string())
            .bind(self.multipart.as_deref());
        Ok(begun.execute(connection).await? > 0)
    }
}

impl Operation for Save {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let of = &self.of;
        let Some(state) = &self.state else {
            return Ok(of.run(SQL_LET_GO).execute(connection).await? > 0);
        };
        let object = state.object.as_ref().map(|(object, _)| *object);
        let multipart = state.object.as_ref().map(|(_, multipart)| &**multipart);
        of.put_aside(connection, object).await?;
        let save = of
            .run(SQL_SAVE)
            .bind(column::size(state.received_bytes))
            .bind(state.hash.clone())
            .bind(object.map(|object| object.to_string()))
            .bind(multipart)
            .bind(state.parts.join("\n"))
            .bind(state.tail.clone());
        Ok(save.execute(connection).await? > 0)
    }
}
