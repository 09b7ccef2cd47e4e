//! Repositories: names that have content.

use super::{Meta, MetaError, column, connection::Connection, statement::Statement};
use crate::oci::Name;

pub(super) const SQL_GET: &str = "SELECT id, has_content FROM repository WHERE name = $1";

pub(super) const SQL_PUT: &str = "INSERT INTO repository (name, project, has_content) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET has_content = repository.has_content OR excluded.has_content \
     RETURNING id";

pub(super) const SQL_RANGE: &str = "SELECT name FROM repository \
     WHERE has_content AND name >= $1 AND name < $2 ORDER BY name LIMIT $3";

pub(super) const SQL_NEXT: &str =
    "SELECT name FROM repository WHERE has_content AND name >= $1 ORDER BY name LIMIT 1";

/// Sorts before every byte that a name can go on with, and after the end of the name.
const BEFORE_ANY: char = '!';

/// The character after `/`.
const AFTER_SLASH: char = '0';

impl Meta {
    /// Is there anything in this repository?
    pub async fn repository_exists(&self, name: &Name) -> Result<bool, MetaError> {
        let row: Option<(i64, bool)> = self
            .fetch_optional(Statement::new(SQL_GET).bind(name))
            .await?;
        Ok(row.is_some_and(|(_, has_content)| has_content))
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
