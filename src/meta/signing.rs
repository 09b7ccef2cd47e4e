//! Keys that sign, sealed by `access`; all replicas share them.

use std::time::SystemTime;

use bytes::Bytes;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    statement::Statement,
};

pub(super) const SQL_GET: &str = "SELECT sealed FROM signing_key WHERE purpose = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO signing_key (purpose, sealed, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (purpose) DO NOTHING";

pub(super) const SQL_REPLACE: &str =
    "UPDATE signing_key SET sealed = $2, created_at = $3 WHERE purpose = $1";

/// [`Meta::signing_key_put`]
struct Put {
    purpose: &'static str,
    sealed: Bytes,
    replaces: bool,
}

impl Meta {
    /// The key for this purpose, sealed.
    pub async fn signing_key(&self, purpose: &'static str) -> Result<Option<Vec<u8>>, MetaError> {
        let statement = Statement::new(SQL_GET).bind(purpose);
        let row: Option<(Vec<u8>,)> = self.fetch_optional(statement).await?;
        Ok(row.map(|(sealed,)| sealed))
    }

    /// Keeps a key, unless there is one: another replica may have been first. Gives the one that is kept.
    pub async fn signing_key_put(
        &self,
        purpose: &'static str,
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, MetaError> {
        self.put_key(purpose, sealed, false).await
    }

    /// Keeps a key in the place of one that can no longer be unsealed.
    pub async fn signing_key_replace(
        &self,
        purpose: &'static str,
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, MetaError> {
        self.put_key(purpose, sealed, true).await
    }

    async fn put_key(
        &self,
        purpose: &'static str,
        sealed: Vec<u8>,
        replaces: bool,
    ) -> Result<Vec<u8>, MetaError> {
        let sealed = sealed.into();
        self.write(Put {
            purpose,
            sealed,
            replaces,
        })
        .await
    }
}

impl Operation for Put {
    type Output = Vec<u8>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Vec<u8>, MetaError> {
        let sql = if self.replaces { SQL_REPLACE } else { SQL_PUT };
        Statement::new(sql)
            .bind(self.purpose)
            .bind(self.sealed.clone())
            .bind(column::milliseconds(SystemTime::now()))
            .execute(connection)
            .await?;
        let get = Statement::new(SQL_GET).bind(self.purpose);
        let (sealed,): (Vec<u8>,) = get.fetch_one(connection).await?;
        Ok(sealed)
    }
}
