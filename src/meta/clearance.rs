//! A repository that is deleted, step by step: its tags, its manifests, its links, then that anything was known of it.

use super::{
    Meta, MetaError, Removed,
    changes::Changes,
    column,
    connection::Connection,
    delete::{self, SQL_DELETE_LINK},
    image,
    operation::Operation,
    repository,
    statement::Statement,
};
use crate::oci::Name;

pub(super) const SQL_SOME_TAGS: &str =
    "SELECT name FROM tag WHERE repository_id = $1 ORDER BY name LIMIT $2";

pub(super) const SQL_SOME_MANIFESTS: &str =
    "SELECT digest FROM manifest WHERE repository_id = $1 ORDER BY digest LIMIT $2";

pub(super) const SQL_SOME_LINKS: &str =
    "SELECT digest FROM link WHERE repository_id = $1 ORDER BY digest LIMIT $2";

pub(super) const SQL_DELETE_LISTS: &str = "DELETE FROM list WHERE repository_id = $1";

pub(super) const SQL_DELETE_PINS: &str = "DELETE FROM pin WHERE repository_id = $1";

/// How many rows of each kind one transaction takes.
const STEP: i64 = 64;

impl Meta {
    /// Deletes a part of a repository: first its tags, then its manifests, then its links, then that anything was known
    /// of it. `None`: there is nothing left. To be called until then.
    pub async fn delete_some_of(&self, repository: &Name) -> Result<Option<Removed>, MetaError> {
        self.write(DeleteSome(repository.clone())).await
    }
}

/// [`Meta::delete_some_of`]
struct DeleteSome(Name);

impl Operation for DeleteSome {
    type Output = Option<Removed>;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Option<Removed>, MetaError> {
        let name = &self.0;
        let Some(id) = repository::id(connection, name).await? else {
            return Ok(None);
        };
        let some = async |connection: &mut Connection, sql| {
            let select = Statement::new(sql).bind(id).bind(STEP);
            let rows: Vec<(String,)> = select.fetch_all(connection).await?;
            Ok::<_, MetaError>(rows)
        };
        let tags = some(connection, SQL_SOME_TAGS).await?;
        for (tag,) in &tags {
            delete::tag_of(connection, changes, id, name, tag).await?;
        }
        if !tags.is_empty() {
            return Ok(Some(Removed::default()));
        }
        let manifests = some(connection, SQL_SOME_MANIFESTS).await?;
        let mut all = Removed::default();
        for (digest,) in &manifests {
            all.add(delete::manifest(connection, changes, id, name, digest).await?);
        }
        if !manifests.is_empty() {
            return Ok(Some(all));
        }
        let links = some(connection, SQL_SOME_LINKS).await?;
        for (digest,) in &links {
            changes.link(name, &column::parsed(digest)?);
            let delete = Statement::new(SQL_DELETE_LINK).bind(id);
            delete.bind(digest.as_str()).execute(connection).await?;
        }
        if links.is_empty() {
            for sql in [SQL_DELETE_LISTS, SQL_DELETE_PINS, image::SQL_EMPTY] {
                let delete = Statement::new(sql).bind(id);
                delete.execute(connection).await?;
            }
            return Ok(None);
        }
        let left = links.into_iter().map(|(digest,)| digest).collect();
        let removed = image::removed(connection, id, name, &left).await?;
        Ok(Some(removed))
    }
}
