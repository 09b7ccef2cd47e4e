//! Objects: which one holds a blob's content, and which ones are nobody's.
//!
//! ```text
//! upload_begin ──► garbage, dated ahead ──upload_end──► named by the blob's row ──row deleted, or object_lose──► garbage
//!                      │ no upload_alive in time                                                                 │
//!                      └─────────────────────► garbage ◄─────────────────────────────────────────────────────────┘
//!                                                └─► garbage_due ─► (deleted in the bucket) ─► garbage_forget
//! ```
//!
//! A row that is dated ahead belongs to who uploads, one that is not to who deletes: they never have the same one.

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};
use crate::oci::Digest;

pub(super) const SQL_GET: &str = "SELECT object, size_bytes FROM blob WHERE digest = $1";

pub(super) const SQL_LOCAL: &str = "SELECT digest, size_bytes FROM blob \
     WHERE object IS NULL AND digest > $1 ORDER BY digest LIMIT $2";

/// Does object storage have it?
pub(super) const SQL_STORED: &str =
    "SELECT CAST(1 AS BIGINT) FROM blob WHERE digest = $1 AND object IS NOT NULL";

pub(super) const SQL_KNOWN: &str = "SELECT CAST(1 AS BIGINT) FROM blob WHERE object = $1 \
     UNION ALL SELECT CAST(1 AS BIGINT) FROM garbage WHERE object = $1 \
     UNION ALL SELECT CAST(1 AS BIGINT) FROM upload WHERE object = $1";

pub(super) const SQL_ABANDON: &str = "INSERT INTO garbage (object, size_bytes, since, multipart) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (object) DO NOTHING";

pub(super) const SQL_PUT: &str = "INSERT INTO garbage (object, size_bytes, since, multipart) \
     VALUES ($1, $2, $3, NULL) ON CONFLICT (object) DO NOTHING";

pub(super) const SQL_ALIVE: &str = "UPDATE garbage SET since = $2, multipart = $3 \
     WHERE object = $1 AND since > $4";

pub(super) const SQL_TAKE: &str =
    "DELETE FROM garbage WHERE object = $1 AND since > $2 RETURNING size_bytes";

pub(super) const SQL_NAME: &str =
    "UPDATE blob SET object = $2 WHERE digest = $1 AND object IS NULL";

pub(super) const SQL_LOSE: &str = "UPDATE blob SET object = NULL \
     WHERE digest = $1 AND object = $2 RETURNING size_bytes";

pub(super) const SQL_DUE: &str = "SELECT object, multipart FROM garbage \
     WHERE since <= $1 ORDER BY since LIMIT $2";

pub(super) const SQL_FORGET: &str = "DELETE FROM garbage WHERE object = $1";

/// Where the content of a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobObject {
    /// `None`: on local disks only.
    pub object: Option<Uuid>,
    pub size_bytes: u64,
}

/// An object that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    pub object: Uuid,
    /// The upload that nobody ended.
    pub multipart: Option<String>,
}

impl Meta {
    /// Where the content of this digest is; `None`: no repository has it.
    pub async fn blob_object(&self, digest: &Digest) -> Result<Option<BlobObject>, MetaError> {
        let row: Option<(Option<String>, i64)> = self
            .fetch_optional(Statement::new(SQL_GET).bind(digest))
            .await?;
        let read = |(object, size_bytes): (Option<String>, i64)| {
            Ok(BlobObject {
                object: object.as_deref().map(column::parsed).transpose()?,
                size_bytes: column::size_read(size_bytes)?,
            })
        };
        row.map(read).transpose()
    }

    /// Blobs of which there is no object yet, with their sizes in bytes, by digest.
    pub async fn blobs_without_object(
        &self,
        after: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<(Digest, u64)>, MetaError> {
        let after = after.map_or_else(String::new, ToString::to_string);
        let statement = Statement::new(SQL_LOCAL).bind(after).bind(i64::from(limit));
        let rows: Vec<(String, i64)> = self.fetch_all(statement).await?;
        let read = |(digest, size): (String, i64)| {
            Ok((column::parsed(&digest)?, column::size_read(size)?))
        };
        rows.into_iter().map(read).collect()
    }

    /// Does any row, of a blob or of garbage, name this object?
    pub async fn object_known(&self, object: Uuid) -> Result<bool, MetaError> {
        let statement = Statement::new(SQL_KNOWN).bind(object.to_string());
        let row: Option<(i64,)> = self.fetch_optional(statement).await?;
        Ok(row.is_some())
    }

    /// Remembers an object that is about to be uploaded, or one that was found and is nobody's. From `since` on, which
    /// may be in the future, it is garbage.
    pub async fn upload_begin(
        &self,
        object: Uuid,
        size_bytes: u64,
        since: SystemTime,
    ) -> Result<(), MetaError> {
        self.write(UploadBegin {
            object,
            size_bytes,
            since,
        })
        .await
    }

    /// Puts off until when an upload must end. `false`: it is garbage already.
    pub async fn upload_alive(
        &self,
        object: Uuid,
        multipart: Option<String>,
        since: SystemTime,
    ) -> Result<bool, MetaError> {
        self.write(UploadAlive {
            object,
            multipart,
            since,
        })
        .await
    }

    /// The object is in place: it becomes the blob's. `false`: the blob's row is gone, or names another one, or this
    /// came too late; the object is garbage.
    pub async fn upload_end(&self, digest: &Digest, object: Uuid) -> Result<bool, MetaError> {
        self.write(UploadEnd {
            digest: digest.clone(),
            object,
        })
        .await
    }

    /// The blob's object is gone, or is not what it should be.
    pub async fn object_lose(&self, digest: &Digest, object: Uuid) -> Result<(), MetaError> {
        self.write(ObjectLose {
            digest: digest.clone(),
            object,
        })
        .await
    }

    /// Objects that have been garbage since this time or longer, the oldest first.
    pub async fn garbage_due(
        &self,
        until: SystemTime,
        limit: u32,
    ) -> Result<Vec<Garbage>, MetaError> {
        let statement = Statement::new(SQL_DUE)
            .bind(column::milliseconds(until))
            .bind(i64::from(limit));
        let rows: Vec<(String, Option<String>)> = self.fetch_all(statement).await?;
        let read = |(object, multipart): (String, Option<String>)| {
            Ok(Garbage {
                object: column::parsed(&object)?,
                multipart,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// The object is deleted.
    pub async fn garbage_forget(&self, object: Uuid) -> Result<(), MetaError> {
        self.write(GarbageForget { object }).await
    }
}

/// [`Meta::upload_begin`].
struct UploadBegin {
    object: Uuid,
    size_bytes: u64,
    since: SystemTime,
}

impl Operation for UploadBegin {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let size = column::size(self.size_bytes);
        put(connection, &self.object.to_string(), size, self.since).await
    }
}

/// [`Meta::upload_alive`].
struct UploadAlive {
    object: Uuid,
    multipart: Option<String>,
    since: SystemTime,
}

impl Operation for UploadAlive {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let moved = Statement::new(SQL_ALIVE)
            .bind(self.object.to_string())
            .bind(column::milliseconds(self.since))
            .bind(self.multipart.as_deref())
            .bind(column::milliseconds(SystemTime::now()))
            .execute(connection)
            .await?;
        Ok(moved > 0)
    }
}

/// [`Meta::upload_end`].
struct UploadEnd {
    digest: Digest,
    object: Uuid,
}

impl Operation for UploadEnd {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        end_upload(connection, &self.digest, self.object).await
    }
}

/// As [`Meta::upload_end`], in the transaction that writes the blob's row.
pub(super) async fn end_upload(
    connection: &mut Connection,
    digest: &Digest,
    object: Uuid,
) -> Result<bool, MetaError> {
    let (now, object) = (SystemTime::now(), object.to_string());
    let taken: Option<(i64,)> = Statement::new(SQL_TAKE)
        .bind(&*object)
        .bind(column::milliseconds(now))
        .fetch_optional(connection)
        .await?;
    let Some((size,)) = taken else {
        return Ok(false);
    };
    let named = Statement::new(SQL_NAME)
        .bind(digest)
        .bind(&*object)
        .execute(connection)
        .await?;
    if named == 0 {
        put(connection, &object, size, now).await?;
    }
    Ok(named > 0)
}

/// [`Meta::object_lose`].
struct ObjectLose {
    digest: Digest,
    object: Uuid,
}

impl Operation for ObjectLose {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let object = self.object.to_string();
        let lost: Option<(i64,)> = Statement::new(SQL_LOSE)
            .bind(&self.digest)
            .bind(&*object)
            .fetch_optional(connection)
            .await?;
        match lost {
            Some((size,)) => put(connection, &object, size, SystemTime::now()).await,
            None => Ok(()),
        }
    }
}

/// [`Meta::garbage_forget`].
struct GarbageForget {
    object: Uuid,
}

impl Operation for GarbageForget {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let statement = Statement::new(SQL_FORGET).bind(self.object.to_string());
        statement.execute(connection).await?;
        Ok(())
    }
}

/// For the transaction that deletes a blob's row, which named this object, if any.
pub(super) async fn discard(
    connection: &mut Connection,
    object: Option<String>,
    size: i64,
) -> Result<(), MetaError> {
    match object {
        Some(object) => put(connection, &object, size, SystemTime::now()).await,
        None => Ok(()),
    }
}

/// Makes garbage of the parts of a push that came to nothing.
pub(super) async fn abandon(
    connection: &mut Connection,
    object: &str,
    size: i64,
    multipart: Option<String>,
) -> Result<(), MetaError> {
    let statement = Statement::new(SQL_ABANDON)
        .bind(object)
        .bind(size)
        .bind(column::milliseconds(SystemTime::now()))
        .bind(multipart);
    statement.execute(connection).await?;
    Ok(())
}

/// The object that a push has brought becomes its blob's, or is garbage if that one has another.
pub(super) async fn adopt(
    connection: &mut Connection,
    digest: &Digest,
    object: Uuid,
    size_bytes: u64,
) -> Result<(), MetaError> {
    let object = object.to_string();
    let name = Statement::new(SQL_NAME).bind(digest).bind(object.as_str());
    if name.execute(connection).await? == 0 {
        let size = column::size(size_bytes);
        put(connection, &object, size, SystemTime::now()).await?;
    }
    Ok(())
}

/// Makes an object garbage from this time on.
async fn put(
    connection: &mut Connection,
    object: &str,
    size: i64,
    since: SystemTime,
) -> Result<(), MetaError> {
    let statement = Statement::new(SQL_PUT)
        .bind(object)
        .bind(size)
        .bind(column::milliseconds(since));
    statement.execute(connection).await?;
    Ok(())
}
