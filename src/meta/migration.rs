//! Migrations beside other versions: replicas are replaced one after the other, and a version may be taken back.
//!
//! A migration is additive: new tables, new columns with defaults, new indexes. Programs that do not know it go on
//! working, and start. One that they cannot live with has a name that begins with `breaking`
//! (`0042_breaking_names.sql`): they refuse to start then, and its release says that all replicas stop first.

use std::fmt;

use sqlx::migrate::Migrator;

use super::MetaError;

/// The newest migration that a program of version $1 cannot live with. The name is kept with its spaces.
pub(super) const BREAKING: &str = "SELECT version FROM _sqlx_migrations \
     WHERE version > $1 AND description LIKE 'breaking%' ORDER BY version DESC LIMIT 1";

/// Migrations of ours that do not mind those of a newer version.
pub(super) fn tolerant(mut migrations: Migrator) -> Migrator {
    migrations.set_ignore_missing(true);
    migrations
}

/// The newest migration that this version knows.
pub(super) fn known(migrations: &Migrator) -> i64 {
    let versions = migrations.iter().map(|migration| migration.version);
    versions.max().expect("there are migrations")
}

/// Refuses a database in which [`BREAKING`] found something.
pub(super) fn check(
    database: &dyn fmt::Display,
    breaking: Option<i64>,
    known: i64,
) -> Result<(), MetaError> {
    breaking.map_or(Ok(()), |found| {
        Err(MetaError::Newer {
            database: database.to_string(),
            found,
            known,
        })
    })
}
