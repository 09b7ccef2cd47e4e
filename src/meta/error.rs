//! What can go wrong with rows.

use std::{io, path::PathBuf, sync::Arc};

use sqlx::migrate::MigrateError;

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// The transaction that this write shared with others failed: none of them is in the database.
    #[error("database transaction: {0}")]
    Transaction(#[source] Arc<MetaError>),
    #[error("database migration: {0}")]
    Migrate(#[source] MigrateError),
    #[error("cannot make the database folder `{}`: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    /// `database` is the file, or the URL without credentials.
    #[error("cannot open the database `{database}`: {source}")]
    Open {
        database: String,
        source: sqlx::Error,
    },
    /// A migration that this version cannot live with. Going back needs a backup from before it.
    #[error(
        "the database `{database}` is from a newer version (schema {found}, this version knows up to {known})"
    )]
    Newer {
        database: String,
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

/// PostgreSQL's codes for a transaction that another one got in the way of: serialization failure, deadlock, and a row
/// that another replica deletes while this one begins to refer to it, or the other way round.
const CONFLICTS: &[&str] = &["40001", "40P01", "23503"];

/// PostgreSQL's code for a statement that took longer than it may.
const STATEMENT_TIMEOUT: &str = "57014";

/// The codes for a full disk: of SQLite, for its file and for what it shares with readers, and of PostgreSQL.
const FULL: &[&str] = &["13", "4874", "53100"];

impl MetaError {
    /// The disk has no room for more rows.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| FULL.contains(&&*code))
            }
            Self::Transaction(error) => error.is_full(),
            _ => false,
        }
    }

    /// Another transaction got in the way; the same may work when it is tried again.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else {
            return false;
        };
        error.code().is_some_and(|code| CONFLICTS.contains(&&*code))
    }

    /// The connection is lost; the same may work on another one.
    pub(super) fn is_disconnect(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                // The server is being stopped or has crashed, or a proxy says that it cannot reach it.
                .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
            Self::Database(sqlx::Error::Io(_)) => true,
            _ => false,
        }
    }
}

impl From<sqlx::Error> for MetaError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Timeout,
            sqlx::Error::Database(error) if error.code().as_deref() == Some(STATEMENT_TIMEOUT) => {
                Self::Timeout
            }
            other => Self::Database(other),
        }
    }
}
