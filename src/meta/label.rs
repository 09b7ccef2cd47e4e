//! Labels: what people call manifests, whatever their tags.

use super::{
    EventKind, Meta, MetaError, changes::Changes, connection::Connection, event, image::SQL_HERE,
    operation::Operation, repository, statement::Statement, tag,
};
use crate::oci::{Digest, Name};

/// At most [`MAX_LABELS`] are written.
pub(super) const SQL_GET: &str = "SELECT name FROM label \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 \
     ORDER BY name LIMIT $3";

pub(super) const SQL_PUT: &str = "INSERT INTO label (repository_id, digest, name) \
     VALUES ($1, $2, $3) ON CONFLICT (repository_id, digest, name) DO NOTHING";

pub(super) const SQL_DELETE: &str = "DELETE FROM label WHERE repository_id = $1 AND digest = $2";

/// How many labels a manifest may have.
pub const MAX_LABELS: usize = 100;

/// [`Meta::labels_set`]
struct Set {
    repository: Name,
    digest: Digest,
    labels: Vec<String>,
}

impl Meta {
    /// The labels of a manifest, sorted as bytes; none if it is not here.
    pub async fn labels(
        &self,
        repository: &Name,
        digest: &Digest,
    ) -> Result<Vec<String>, MetaError> {
        let limit = i64::try_from(MAX_LABELS).expect("a small number");
        let select = Statement::new(SQL_GET)
            .bind(repository)
            .bind(digest)
            .bind(limit);
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// From now on the manifest has these labels, at most [`MAX_LABELS`], and no others; false: it is not here.
    pub async fn labels_set(
        &self,
        repository: &Name,
        digest: &Digest,
        labels: Vec<String>,
    ) -> Result<bool, MetaError> {
        self.write(Set {
            repository: repository.clone(),
            digest: digest.clone(),
            labels,
        })
        .await
    }
}

impl Operation for Set {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return Ok(false);
        };
        let run = |sql| Statement::new(sql).bind(repository_id).bind(&self.digest);
        let here: Option<(i64,)> = run(SQL_HERE).fetch_optional(connection).await?;
        if here.is_none() {
            return Ok(false);
        }
        run(SQL_DELETE).execute(connection).await?;
        for label in &self.labels {
            let put = run(SQL_PUT).bind(label.as_str());
            put.execute(connection).await?;
        }
        let (repository, digest) = (&self.repository, &self.digest);
        for tag in tag::pointing_to(connection, repository_id, digest).await? {
            let labelled = EventKind::Labelled;
            event::put(connection, labelled, repository, Some(&tag), digest).await?;
        }
        Ok(true)
    }
}
