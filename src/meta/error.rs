//! What can go wrong with rows.

#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("database migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The writer has ended: the process is shutting down.
    #[error("the database is closed")]
    Closed,
    /// A row that this version cannot read.
    #[error("unreadable row: {0}")]
    Corrupt(String),
}
