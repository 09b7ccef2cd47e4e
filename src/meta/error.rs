//! What can go wrong with rows.

use std::{io, path::PathBuf, sync::Arc};

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// The transaction that this write shared with others failed: none of them is in the database.
    #[error("database transaction: {0}")]
    Transaction(#[source] Arc<MetaError>),
    #[error("database migration: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("cannot make the database folder `{}`: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot open the database `{}`: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    /// Going back to an older version needs a backup from before the upgrade.
    #[error(
        "the database `{}` is from a newer version (schema {found}, this version knows up to {known})",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// The writer has ended: the process is shutting down.
    #[error("the database is closed")]
    Closed,
    /// No answer in time. A write may still happen.
    #[error("the database did not answer in time")]
    Timeout,
    /// A row that this version cannot read.
    #[error("unreadable row: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for MetaError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Timeout,
            other => Self::Database(other),
        }
    }
}
