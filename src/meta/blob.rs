//! Links: which repository may see which blob.

use std::time::SystemTime;

use futures_util::TryStreamExt;
use sqlx::SqliteConnection;

use super::{
    Meta, MetaError, column, repository,
    writer::{Changes, Write},
};
use crate::oci::{Digest, Name};

pub(super) const SQL_LINKED: &str = "SELECT 1 FROM link \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2";

pub(super) const SQL_SIZE: &str = "SELECT size_bytes FROM blob WHERE digest = $1";

pub(super) const SQL_PROJECTS: &str = "SELECT project FROM link \
     CROSS JOIN repository ON repository.id = link.repository_id WHERE link.digest = $1 \
     UNION ALL SELECT project FROM manifest \
     CROSS JOIN repository ON repository.id = manifest.repository_id WHERE manifest.digest = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO blob (digest, size_bytes, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING";

pub(super) const SQL_LINK: &str = "INSERT INTO link (repository_id, digest) \
     VALUES ($1, $2) ON CONFLICT (repository_id, digest) DO NOTHING";

impl Meta {
    /// Is this blob visible in this repository?
    pub async fn blob_linked(&self, repository: &Name, digest: &Digest) -> Result<bool, MetaError> {
        let key = (repository.clone(), digest.clone());
        let read = async {
            let query = sqlx::query_scalar::<_, i64>(SQL_LINKED)
                .bind(repository.as_str())
                .bind(digest.to_string());
            let row = self.read(query.fetch_optional(self.readers())).await?;
            Ok::<_, MetaError>(row.map(|_| ()))
        };
        Ok(self.hot().links.get_or_read(key, read).await?.is_some())
    }

    /// Makes a blob visible in repositories, in one transaction; repeats are harmless.
    pub async fn blob_link(
        &self,
        repositories: &[Name],
        digest: &Digest,
        size_bytes: u64,
    ) -> Result<(), MetaError> {
        self.write(Write::BlobLink {
            repositories: repositories.to_vec(),
            digest: digest.clone(),
            size_bytes,
        })
        .await
    }

    /// Is this content visible, as a blob or as a manifest, in a project that this is true of?
    pub async fn blob_is_in(
        &self,
        digest: &Digest,
        project: impl Fn(&str) -> bool,
    ) -> Result<bool, MetaError> {
        let query = sqlx::query_scalar(SQL_PROJECTS).bind(digest.to_string());
        let mut rows = query.fetch(self.readers());
        let read = async {
            while let Some(name) = rows.try_next().await? {
                let name: String = name;
                if project(&name) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        self.read(read).await
    }

    /// Size of a blob that some repository has.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, MetaError> {
        let query = sqlx::query_scalar(SQL_SIZE).bind(digest.to_string());
        let size: Option<i64> = self.read(query.fetch_optional(self.readers())).await?;
        size.map(column::size_read).transpose()
    }
}

/// [`Meta::blob_link`], inside a transaction.
pub(super) async fn link(
    connection: &mut SqliteConnection,
    changes: &mut Changes,
    repositories: &[Name],
    digest: &Digest,
    size_bytes: u64,
) -> Result<(), MetaError> {
    put(connection, digest, size_bytes).await?;
    for name in repositories {
        changes.link(name, digest);
        let repository_id = repository::with_content(connection, name).await?;
        sqlx::query(SQL_LINK)
            .bind(repository_id)
            .bind(digest.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The row of content that is in the store.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    digest: &Digest,
    size_bytes: u64,
) -> Result<(), MetaError> {
    sqlx::query(SQL_PUT)
        .bind(digest.to_string())
        .bind(column::size(size_bytes))
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}
