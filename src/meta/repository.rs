//! Repositories: names that have content, or were made to have some.

use std::time::SystemTime;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, operation::Operation,
    revision, statement::Statement,
};
use crate::{config::Visibility, oci::Name};

pub(super) const SQL_ID: &str = "SELECT id FROM repository WHERE name = $1";

pub(super) const SQL_GET: &str = "SELECT id, has_content FROM repository WHERE name = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO repository (name, project, has_content) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET has_content = repository.has_content OR excluded.has_content \
     RETURNING id";

pub(super) const SQL_RANGE: &str = "SELECT name FROM repository \
     WHERE has_content AND name >= $1 AND name < $2 ORDER BY name LIMIT $3";

pub(super) const SQL_NEXT: &str =
    "SELECT name FROM repository WHERE has_content AND name >= $1 ORDER BY name LIMIT 1";

pub(super) const SQL_CREATE: &str = "INSERT INTO repository \
     (name, project, has_content, visibility, created_at) VALUES ($1, $2, TRUE, $3, $4) \
     ON CONFLICT (name) DO UPDATE SET has_content = TRUE, visibility = excluded.visibility, \
     created_at = excluded.created_at WHERE NOT repository.has_content";

pub(super) const SQL_ROW: &str =
    "SELECT visibility, created_at FROM repository WHERE name = $1 AND has_content";

pub(super) const SQL_VISIBILITY: &str =
    "UPDATE repository SET visibility = $2 WHERE name = $1 AND has_content";

/// What is pushed meanwhile is there.
pub(super) const SQL_FORGET: &str = "UPDATE repository SET visibility = NULL, created_at = NULL, \
     has_content = EXISTS (SELECT 1 FROM manifest WHERE repository_id = repository.id) \
     OR EXISTS (SELECT 1 FROM link WHERE repository_id = repository.id) WHERE name = $1";

pub(super) const SQL_VISIBILITIES: &str =
    "SELECT name, visibility FROM repository WHERE visibility IS NOT NULL ORDER BY name";

/// $2: the name has it in it; empty: every name has.
pub(super) const SQL_CONTAINING: &str = "SELECT name FROM repository \
     WHERE has_content AND name > $1 AND ($2 = '' OR replace(name, $2, '') <> name) \
     ORDER BY name LIMIT $3";

/// Sorts before every byte that a name can go on with, and after the end of the name.
const BEFORE_ANY: char = '!';

/// The character after `/`.
const AFTER_SLASH: char = '0';

/// What is known of a repository besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryRow {
    /// `None`: as its project says.
    pub visibility: Option<Visibility>,
    /// When it was made in so many words, kept to the millisecond; `None`: by what came into it.
    pub created_at: Option<SystemTime>,
}

/// [`Meta::repository_create`]
struct Create {
    name: Name,
    visibility: Option<Visibility>,
}

/// [`Meta::repository_forget`]
struct Forget(Name);

/// [`Meta::repository_visibility_put`]
struct VisibilityPut {
    name: Name,
    visibility: Option<Visibility>,
}

impl Meta {
    /// Is there anything in this repository?
    pub async fn repository_exists(&self, name: &Name) -> Result<bool, MetaError> {
        let row: Option<(i64, bool)> = self
            .fetch_optional(Statement::new(SQL_GET).bind(name))
            .await?;
        Ok(row.is_some_and(|(_, has_content)| has_content))
    }

    /// Makes a repository that need not have content; false if it is there.
    pub async fn repository_create(
        &self,
        name: &Name,
        visibility: Option<Visibility>,
    ) -> Result<bool, MetaError> {
        let name = name.clone();
        self.write(Create { name, visibility }).await
    }

    /// Gives a repository a visibility of its own, or takes it away; false if it is not there.
    pub async fn repository_visibility_put(
        &self,
        name: &Name,
        visibility: Option<Visibility>,
    ) -> Result<bool, MetaError> {
        let name = name.clone();
        self.write(VisibilityPut { name, visibility }).await
    }

    /// Takes back that a repository was made in so many words, and its own visibility.
    pub async fn repository_forget(&self, name: &Name) -> Result<(), MetaError> {
        self.write(Forget(name.clone())).await
    }

    /// The repository of this name, if it has content or was made.
    pub async fn repository(&self, name: &Name) -> Result<Option<RepositoryRow>, MetaError> {
        let select = Statement::new(SQL_ROW).bind(name);
        let row: Option<(Option<String>, Option<i64>)> = self.fetch_optional(select).await?;
        Ok(row.map(|(visibility, created_at)| RepositoryRow {
            visibility: visibility.as_deref().map(visibility_read),
            created_at: created_at.map(column::time),
        }))
    }

    /// All repositories that have a visibility of their own.
    pub async fn repository_visibilities(&self) -> Result<Vec<(Name, Visibility)>, MetaError> {
        let rows: Vec<(String, String)> = self.fetch_all(Statement::new(SQL_VISIBILITIES)).await?;
        rows.into_iter()
            .map(|(name, visibility)| Ok((column::parsed(&name)?, visibility_read(&visibility))))
            .collect()
    }

    /// Up to `limit` names of repositories after this one, sorted as bytes, that have the text in them.
    pub async fn repositories_containing(
        &self,
        text: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Name>, MetaError> {
        let select = Statement::new(SQL_CONTAINING)
            .bind(after)
            .bind(text)
            .bind(i64::from(limit));
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        rows.iter().map(|(name,)| column::parsed(name)).collect()
    }

    /// Up to `limit` names after `after`, sorted as bytes, whose project is one of `projects`.
    ///
    /// `a` < `a-b` < `a/x`: the names of a project do not lie together. But the name that is the project's own, and
    /// those below it, are two ranges, and the ranges of all projects can be walked in order.
    pub async fn repositories(
        &self,
        projects: &[String],
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Name>, MetaError> {
        let limit = limit as usize;
        let mut names = Vec::new();
        let mut floor = after
            .map(|after| format!("{after}{BEFORE_ANY}"))
            .unwrap_or_default();
        for (lower, upper) in ranges(projects) {
            if upper <= floor {
                continue;
            }
            let wanted = i64::try_from(limit - names.len()).unwrap_or(i64::MAX);
            let found = self
                .names_between(lower.max(floor.clone()), &upper, wanted)
                .await?;
            let none_here = found.is_empty();
            names.extend(found);
            if names.len() >= limit {
                break;
            }
            floor = upper;
            if none_here {
                // Many projects may be empty: go on where there is something.
                let Some(next) = self.name_from(&floor).await? else {
                    break;
                };
                floor = next;
            }
        }
        names.iter().map(|name| column::parsed(name)).collect()
    }

    async fn names_between(
        &self,
        lower: String,
        upper: &str,
        limit: i64,
    ) -> Result<Vec<String>, MetaError> {
        let statement = Statement::new(SQL_RANGE)
            .bind(lower)
            .bind(upper)
            .bind(limit);
        let rows: Vec<(String,)> = self.fetch_all(statement).await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    async fn name_from(&self, lower: &str) -> Result<Option<String>, MetaError> {
        let statement = Statement::new(SQL_NEXT).bind(lower);
        let row: Option<(String,)> = self.fetch_optional(statement).await?;
        Ok(row.map(|(name,)| name))
    }
}

const PUBLIC: &str = "public";
const PRIVATE: &str = "private";

/// A repository is never of the remote's choice.
fn visibility_column(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => PUBLIC,
        Visibility::Private | Visibility::Remote => PRIVATE,
    }
}

fn visibility_read(text: &str) -> Visibility {
    if text == PUBLIC {
        Visibility::Public
    } else {
        Visibility::Private
    }
}

impl Operation for Create {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        revision::advance(connection).await?;
        let create = Statement::new(SQL_CREATE)
            .bind(&self.name)
            .bind(self.name.first())
            .bind(self.visibility.map(visibility_column))
            .bind(column::milliseconds(SystemTime::now()));
        Ok(create.execute(connection).await? > 0)
    }
}

impl Operation for Forget {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        revision::advance(connection).await?;
        Statement::new(SQL_FORGET)
            .bind(&self.0)
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Operation for VisibilityPut {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        revision::advance(connection).await?;
        let update = Statement::new(SQL_VISIBILITY)
            .bind(&self.name)
            .bind(self.visibility.map(visibility_column));
        Ok(update.execute(connection).await? > 0)
    }
}

/// The ranges (from, up to but not including) that hold the names of these projects, in order; they do not overlap.
fn ranges(projects: &[String]) -> Vec<(String, String)> {
    let mut ranges: Vec<_> = projects
        .iter()
        .flat_map(|project| {
            [
                (project.clone(), format!("{project}{BEFORE_ANY}")),
                (format!("{project}/"), format!("{project}{AFTER_SLASH}")),
            ]
        })
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// The row of a repository, if anything is known of it.
pub(super) async fn id(connection: &mut Connection, name: &Name) -> Result<Option<i64>, MetaError> {
    let find = Statement::new(SQL_ID).bind(name);
    let row: Option<(i64,)> = find.fetch_optional(connection).await?;
    Ok(row.map(|(id,)| id))
}

/// The row of a repository that has content, made if need be.
pub(super) async fn with_content(
    connection: &mut Connection,
    name: &Name,
) -> Result<i64, MetaError> {
    ensure(connection, name, true).await
}

/// The row of a repository of which something is known, made if need be.
pub(super) async fn known(connection: &mut Connection, name: &Name) -> Result<i64, MetaError> {
    ensure(connection, name, false).await
}

async fn ensure(
    connection: &mut Connection,
    name: &Name,
    has_content: bool,
) -> Result<i64, MetaError> {
    let row: Option<(i64, bool)> = Statement::new(SQL_GET)
        .bind(name)
        .fetch_optional(connection)
        .await?;
    if let Some((id, had_content)) = row
        && (had_content || !has_content)
    {
        return Ok(id);
    }
    let (id,) = Statement::new(SQL_PUT)
        .bind(name)
        .bind(name.first())
        .bind(has_content)
        .fetch_one(connection)
        .await?;
    Ok(id)
}
