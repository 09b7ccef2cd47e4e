//! Opening a SQLite file: a pool of readers that cannot write, and the one connection that can.

use std::{path::Path, sync::LazyLock, thread::available_parallelism, time::Duration};

use sqlx::{
    ConnectOptions, Connection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    MetaError,
    connection::{Pool, Pools},
    handle::READ_TIMEOUT,
    migration,
};

pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| migration::tolerant(sqlx::migrate!("migrations/sqlite")));

/// How long a connection waits for another process (a backup, a shell) to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The log is cut back to this after a burst.
const LOG_BYTES: &str = "67108864";

/// Opens (makes, migrates) the database file, and its folder.
pub(super) async fn open(file: &Path) -> Result<Pools, MetaError> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|source| MetaError::Folder {
                path: folder.to_owned(),
                source,
            })?;
    }
    let not_open = |source| MetaError::Open {
        database: file.display().to_string(),
        source,
    };
    let options = options(file);
    let mut connection = options.connect().await.map_err(not_open)?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(MetaError::Migrate)?;
    let known = migration::known(&MIGRATIONS);
    let breaking = sqlx::query_scalar(migration::BREAKING).bind(known);
    let breaking = breaking.fetch_optional(&mut connection).await?;
    migration::check(&file.display(), breaking, known)?;

    let options = options.create_if_missing(false);
    let readers = SqlitePoolOptions::new()
        .max_connections(reader_count())
        .acquire_timeout(READ_TIMEOUT)
        .test_before_acquire(false)
        .connect_with(options.clone().pragma("query_only", "on"))
        .await
        .map_err(not_open)?;
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options);
    connection.close().await.map_err(not_open)?;
    Ok(Pools {
        readers: Pool::Sqlite(readers),
        writer: Pool::Sqlite(writer),
    })
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", LOG_BYTES)
}

/// Reads are short and mostly answered from memory; each connection is a thread with its own page cache.
fn reader_count() -> u32 {
    let processors = available_parallelism().map_or(2, std::num::NonZero::get);
    u32::try_from(processors.clamp(2, 8)).expect("at most 8")
}
