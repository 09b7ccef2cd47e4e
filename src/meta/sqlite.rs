//! The SQLite database: a pool of readers and one writer task that groups commits.

use std::{path::Path, sync::Arc, thread::available_parallelism, time::Duration};

use sqlx::{
    ConnectOptions, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    MetaError,
    writer::{HotRows, QUEUE, Request, Write, Writer},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a connection waits for another process (a backup, a shell) to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a read waits for a connection and for its rows.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a write waits to become durable: a few busy timeouts.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The log is cut back to this after a burst.
const LOG_BYTES: &str = "67108864";

/// All rows; cheap to clone.
///
/// Reads may be dropped at any point. A write happens even when its caller goes away after the first poll.
#[derive(Clone)]
pub struct Meta(Arc<Inner>);

struct Inner {
    readers: SqlitePool,
    hot: Arc<HotRows>,
    queue: mpsc::Sender<Request>,
    /// Writes that wait for a place in the queue.
    waiting: TaskTracker,
    /// The writer task.
    writer: TaskTracker,
    closing: CancellationToken,
    #[cfg(test)]
    transactions: Arc<std::sync::atomic::AtomicU64>,
    #[cfg(test)]
    reads: std::sync::atomic::AtomicU64,
}

impl Meta {
    /// Opens (makes, migrates) the database file, and its folder.
    pub async fn open(file: &Path) -> Result<Self, MetaError> {
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder)
                .await
                .map_err(|source| MetaError::Folder {
                    path: folder.to_owned(),
                    source,
                })?;
        }
        let not_open = |source| MetaError::Open {
            path: file.to_owned(),
            source,
        };
        let options = options(file);
        let mut connection = options.connect().await.map_err(not_open)?;
        MIGRATIONS
            .run(&mut connection)
            .await
            .map_err(|error| not_migrated(file, error))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(reader_count())
            .acquire_timeout(READ_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(options.create_if_missing(false).pragma("query_only", "on"))
            .await
            .map_err(not_open)?;

        let (sender, queue) = mpsc::channel(QUEUE);
        let hot = Arc::new(HotRows::new());
        let closing = CancellationToken::new();
        #[cfg(test)]
        let transactions = Arc::default();
        let task = Writer {
            connection,
            queue,
            hot: hot.clone(),
            readers: readers.clone(),
            closing: closing.clone(),
            #[cfg(test)]
            transactions: Arc::clone(&transactions),
        };
        let writer = TaskTracker::new();
        writer.spawn(task.run());
        writer.close();
        Ok(Self(Arc::new(Inner {
            readers,
            hot,
            queue: sender,
            waiting: TaskTracker::new(),
            writer,
            closing,
            #[cfg(test)]
            transactions,
            #[cfg(test)]
            reads: 0.into(),
        })))
    }

    /// Waits until everything that was written is durable, then closes. Later calls answer [`MetaError::Closed`].
    pub async fn close(&self) {
        // The writer still works, so these get their place, or give up after WRITE_TIMEOUT.
        self.0.waiting.close();
        self.0.waiting.wait().await;
        self.0.closing.cancel();
        self.0.writer.wait().await;
    }

    /// Hands a write to the writer task and waits until it is durable.
    pub(super) async fn write(&self, write: Write) -> Result<(), MetaError> {
        let (answer, answered) = oneshot::channel();
        match self.0.queue.try_send(Request { write, answer }) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(MetaError::Closed),
            Err(TrySendError::Full(request)) => self.wait_for_place(request),
        }
        match timeout(WRITE_TIMEOUT, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_gone)) => Err(MetaError::Closed),
            Err(_elapsed) => Err(MetaError::Timeout),
        }
    }

    /// In a task of its own, so that the write happens even if the caller does not wait.
    fn wait_for_place(&self, request: Request) {
        let queue = self.0.queue.clone();
        self.0.waiting.spawn(async move {
            // The answer's sender goes with the request, which tells whoever still waits.
            let _ = timeout(WRITE_TIMEOUT, queue.send(request)).await;
        });
    }

    /// Waits for a query's rows.
    pub(super) async fn read<T>(
        &self,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, MetaError> {
        #[cfg(test)]
        self.0
            .reads
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match timeout(READ_TIMEOUT, query).await {
            Ok(rows) => Ok(rows?),
            Err(_elapsed) => Err(MetaError::Timeout),
        }
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }

    pub(super) fn hot(&self) -> &HotRows {
        &self.0.hot
    }

    /// How many queries were not answered from memory.
    #[cfg(test)]
    pub(super) fn reads(&self) -> u64 {
        self.0.reads.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// How many transactions the writer has ended.
    #[cfg(test)]
    pub(super) fn transactions(&self) -> u64 {
        self.0
            .transactions
            .load(std::sync::atomic::Ordering::SeqCst)
    }
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

fn not_migrated(file: &Path, error: MigrateError) -> MetaError {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max();
    match (error, known) {
        (MigrateError::VersionMissing(found), Some(known)) if found > known => MetaError::Newer {
            path: file.to_owned(),
            found,
            known,
        },
        (error, _) => MetaError::Migrate(error),
    }
}
