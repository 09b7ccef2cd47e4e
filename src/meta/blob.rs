//! Links: which repository may see which blob.

use std::time::SystemTime;

use super::{
    Meta, MetaError,
    changes::Changes,
    column,
    connection::Connection,
    filled::{self, Place},
    operation::Operation,
    repository,
    statement::Statement,
};
use crate::oci::{Digest, Name};

pub(super) const SQL_LINKED: &str = "SELECT CAST(1 AS BIGINT) FROM link \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2";

pub(super) const SQL_SIZE: &str = "SELECT size_bytes FROM blob WHERE digest = $1";

pub(super) const SQL_HOLDERS: &str = "SELECT repository.name FROM link \
     CROSS JOIN repository WHERE link.digest = $1 AND repository.id = link.repository_id \
     UNION ALL SELECT repository.name FROM manifest \
     CROSS JOIN repository WHERE manifest.digest = $1 AND repository.id = manifest.repository_id";

pub(super) const SQL_PUT: &str = "INSERT INTO blob (digest, size_bytes, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING";

/// $3 is now. A link that a manifest of the repository names goes with that one, and has no time of its own.
pub(super) const SQL_LINK: &str = "INSERT INTO link (repository_id, digest, touched_at) \
     VALUES ($1, $2, CASE WHEN EXISTS (SELECT 1 FROM reference WHERE reference.repository_id = $1 \
     AND reference.child = $2 AND reference.kind = 'blob') THEN NULL ELSE CAST($3 AS BIGINT) END) \
     ON CONFLICT (repository_id, digest) DO NOTHING";

/// [`Meta::blob_link`]
struct BlobLink {
    repositories: Vec<Name>,
    digest: Digest,
    size_bytes: u64,
}

impl Meta {
    /// Is this blob visible in this repository?
    pub async fn blob_linked(&self, repository: &Name, digest: &Digest) -> Result<bool, MetaError> {
        let key = (repository.clone(), digest.clone());
        let read = async {
            let statement = Statement::new(SQL_LINKED).bind(repository).bind(digest);
            let row: Option<(i64,)> = self.fetch_optional(statement).await?;
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
        self.write(BlobLink {
            repositories: repositories.to_vec(),
            digest: digest.clone(),
            size_bytes,
        })
        .await
    }

    /// Is this content visible, as a blob or as a manifest, in a repository that this is true of?
    pub async fn blob_is_in(
        &self,
        digest: &Digest,
        is_it: impl Fn(&Name) -> bool,
    ) -> Result<bool, MetaError> {
        let statement = Statement::new(SQL_HOLDERS).bind(digest);
        let look = |(name,): (String,)| name.parse().is_ok_and(|name| is_it(&name));
        self.any(statement, look).await
    }

    /// Size of a blob that some repository has.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, MetaError> {
        let statement = Statement::new(SQL_SIZE).bind(digest);
        let row: Option<(i64,)> = self.fetch_optional(statement).await?;
        row.map(|(size,)| column::size_read(size)).transpose()
    }
}

impl Operation for BlobLink {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        put(connection, &self.digest, self.size_bytes).await?;
        let now = column::milliseconds(SystemTime::now());
        for name in &self.repositories {
            changes.link(name, &self.digest);
            let repository_id = repository::with_content(connection, name).await?;
            let link = Statement::new(SQL_LINK)
                .bind(repository_id)
                .bind(&self.digest);
            if link.bind(now).execute(connection).await? > 0 {
                let id = repository_id;
                filled::by_blob(connection, Place { id, name }, &self.digest).await?;
            }
        }
        Ok(())
    }
}

/// The row of content that is in the store.
pub(super) async fn put(
    connection: &mut Connection,
    digest: &Digest,
    size_bytes: u64,
) -> Result<(), MetaError> {
    Statement::new(SQL_PUT)
        .bind(digest)
        .bind(column::size(size_bytes))
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}
