//! Pins: tags and images that an operator wants to stay, here already or not.

use std::time::SystemTime;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    repository, statement::Statement,
};
use crate::oci::{Digest, Name, Reference};

pub(super) const SQL_PUT: &str = "INSERT INTO pin (repository_id, reference, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (repository_id, reference) DO NOTHING";

pub(super) const SQL_DELETE: &str = "DELETE FROM pin \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND reference = $2";

pub(super) const SQL_GET: &str = "SELECT CAST(1 AS BIGINT) FROM pin \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND reference IN ($2, $3) LIMIT 1";

/// A pinned tag that points to a manifest.
pub(super) const SQL_TAG: &str = "SELECT CAST(1 AS BIGINT) FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 \
     AND EXISTS (SELECT 1 FROM pin WHERE pin.repository_id = tag.repository_id \
     AND pin.reference = tag.name) LIMIT 1";

/// [`Meta::pin_put`]
struct PinPut {
    repository: Name,
    reference: Reference,
}

/// [`Meta::pin_delete`]
struct PinDelete {
    repository: Name,
    reference: Reference,
}

impl Meta {
    /// Pins a tag or a digest; repeats are harmless. It alone does not make the repository one that has content.
    pub async fn pin_put(&self, repository: &Name, reference: &Reference) -> Result<(), MetaError> {
        self.write(PinPut {
            repository: repository.clone(),
            reference: reference.clone(),
        })
        .await
    }

    /// Takes a pin away; true if there was one.
    pub async fn pin_delete(
        &self,
        repository: &Name,
        reference: &Reference,
    ) -> Result<bool, MetaError> {
        self.write(PinDelete {
            repository: repository.clone(),
            reference: reference.clone(),
        })
        .await
    }

    /// Does a pin keep the manifest `digest` that `reference` means: of the reference, of the digest, or (asked by
    /// digest) of a tag that points to it?
    pub async fn pinned(
        &self,
        repository: &Name,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_GET)
            .bind(repository)
            .bind(reference.to_string())
            .bind(digest);
        let mut row: Option<(i64,)> = self.fetch_optional(select).await?;
        if row.is_none() && matches!(reference, Reference::Digest(_)) {
            let select = Statement::new(SQL_TAG).bind(repository).bind(digest);
            row = self.fetch_optional(select).await?;
        }
        Ok(row.is_some())
    }
}

impl Operation for PinPut {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let repository_id = repository::known(connection, &self.repository).await?;
        Statement::new(SQL_PUT)
            .bind(repository_id)
            .bind(self.reference.to_string())
            .bind(column::milliseconds(SystemTime::now()))
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Operation for PinDelete {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let delete = Statement::new(SQL_DELETE)
            .bind(&self.repository)
            .bind(self.reference.to_string());
        Ok(delete.execute(connection).await? > 0)
    }
}
