//! The database as everybody else sees it: reads by a pool of connections, writes by one task that groups them.

use std::{sync::Arc, time::Duration};

use futures_util::{TryStreamExt, future::BoxFuture};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    MetaError, Uses,
    changes::HotRows,
    connection::{Connection, Lease, Pool},
    operation::{Operation, Request},
    postgres, sqlite,
    statement::{Row, Statement},
    writer::{QUEUE, Writer},
};
use crate::config::Database;

/// How long a read waits for a connection and for its rows.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// A database that takes longer for an answer is not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

const PING: &str = "SELECT CAST(1 AS BIGINT)";

/// All rows; cheap to clone.
///
/// Reads may be dropped at any point. A write happens even when its caller goes away after the first poll.
#[derive(Clone)]
pub struct Meta(Arc<Inner>);

struct Inner {
    readers: Pool,
    member: Option<Arc<str>>,
    hot: Arc<HotRows>,
    uses: Uses,
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
    /// Opens the database and migrates it. A SQLite file is made with its folder; a PostgreSQL database must be there.
    pub async fn open(database: &Database) -> Result<Self, MetaError> {
        Self::open_as(database, None).await
    }

    /// As [`open`](Self::open), for a member of a cluster: it announces to the others what it changes.
    pub async fn open_shared(database: &Database, member: &str) -> Result<Self, MetaError> {
        Self::open_as(database, Some(member.into())).await
    }

    async fn open_as(database: &Database, member: Option<Arc<str>>) -> Result<Self, MetaError> {
        let pools = match database {
            Database::Sqlite(file) => sqlite::open(file).await?,
            Database::Postgres(url) => postgres::open(url).await?,
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        let hot = Arc::new(HotRows::new());
        let closing = CancellationToken::new();
        #[cfg(test)]
        let transactions = Arc::default();
        let task = Writer {
            pool: pools.writer,
            lease: None,
            used: Instant::now(),
            queue,
            hot: hot.clone(),
            readers: pools.readers.clone(),
            member: member.clone(),
            closing: closing.clone(),
            #[cfg(test)]
            transactions: Arc::clone(&transactions),
        };
        let writer = TaskTracker::new();
        writer.spawn(task.run());
        writer.close();
        Ok(Self(Arc::new(Inner {
            readers: pools.readers,
            member,
            hot,
            uses: Uses::default(),
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
        // The writer still works, so these get their place, or give up when they are late.
        self.0.waiting.close();
        self.0.waiting.wait().await;
        self.0.closing.cancel();
        self.0.writer.wait().await;
    }

    /// Can rows be read now?
    pub async fn ping(&self) -> Result<(), MetaError> {
        let answer: Option<(i64,)> = self.fetch_optional(Statement::new(PING)).await?;
        answer.map(|_| ()).ok_or(MetaError::Timeout)
    }

    /// Does the database answer, and soon?
    pub async fn is_ready(&self) -> bool {
        matches!(timeout(READY_TIMEOUT, self.ping()).await, Ok(Ok(())))
    }

    /// Hands a write to the writer task and waits until it is durable.
    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output, MetaError> {
        let (request, answer) = Request::new(operation);
        match self.0.queue.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(MetaError::Closed),
            Err(TrySendError::Full(request)) => self.wait_for_place(request),
        }
        answer.wait().await
    }

    /// In a task of its own, so that the write happens even if the caller does not wait.
    fn wait_for_place(&self, request: Request) {
        let queue = self.0.queue.clone();
        self.0.waiting.spawn(async move {
            // The answer's sender goes with the request, which tells whoever still waits.
            let _ = timeout_at(request.deadline, queue.send(request)).await;
        });
    }

    /// The first row, if there is one.
    pub(super) async fn fetch_optional<T: Row>(
        &self,
        statement: Statement,
    ) -> Result<Option<T>, MetaError> {
        self.read(|connection| statement.fetch_optional(connection))
            .await
    }

    /// All rows, for statements that bound their number.
    pub(super) async fn fetch_all<T: Row>(
        &self,
        statement: Statement,
    ) -> Result<Vec<T>, MetaError> {
        self.read(|connection| statement.fetch_all(connection))
            .await
    }

    /// Is this true of any row? Reads no further than to the first one that it is true of.
    pub(super) async fn any<T: Row>(
        &self,
        statement: Statement,
        is_it: impl Fn(T) -> bool,
    ) -> Result<bool, MetaError> {
        self.count_read();
        let search = async {
            match search(self.0.readers.lease().await?, &statement, &is_it).await {
                Err(error) if error.is_disconnect() => {
                    search(self.tried_lease().await?, &statement, &is_it).await
                }
                outcome => outcome,
            }
        };
        match timeout(READ_TIMEOUT, search).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(MetaError::Timeout),
        }
    }

    /// Runs one statement, once more if its connection turns out to be lost.
    async fn read<T>(
        &self,
        run: impl for<'c> Fn(&'c mut Connection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, MetaError> {
        self.count_read();
        let read = async {
            match once(self.0.readers.lease().await?, &run).await {
                Err(error) if error.is_disconnect() => once(self.tried_lease().await?, &run).await,
                outcome => outcome,
            }
        };
        match timeout(READ_TIMEOUT, read).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(MetaError::Timeout),
        }
    }

    /// A connection that works. Those of the pool may all have been lost together.
    async fn tried_lease(&self) -> Result<Lease, MetaError> {
        loop {
            let mut lease = self.0.readers.lease().await?;
            if lease.is_alive().await {
                return Ok(lease);
            }
        }
    }

    /// What clients got since the last flush.
    pub fn uses(&self) -> &Uses {
        &self.0.uses
    }

    pub(super) fn readers(&self) -> &Pool {
        &self.0.readers
    }

    /// Which member of a cluster this is, if it is one.
    pub(super) fn member(&self) -> Option<&str> {
        self.0.member.as_deref()
    }

    pub(super) fn hot(&self) -> &HotRows {
        &self.0.hot
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests count reads")]
    fn count_read(&self) {}

    #[cfg(test)]
    fn count_read(&self) {
        self.0
            .reads
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    /// How many statements were not answered from memory.
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

async fn once<T>(
    mut lease: Lease,
    run: impl for<'c> Fn(&'c mut Connection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
) -> Result<T, MetaError> {
    let outcome = run(&mut lease).await;
    lease.end();
    Ok(outcome?)
}

async fn search<T: Row>(
    mut lease: Lease,
    statement: &Statement,
    is_it: impl Fn(T) -> bool,
) -> Result<bool, MetaError> {
    let mut rows = statement.fetch(&mut lease);
    let outcome = loop {
        match rows.try_next().await {
            Ok(Some(row)) => {
                if is_it(row) {
                    break Ok(true);
                }
            }
            Ok(None) => break Ok(false),
            Err(error) => break Err(error.into()),
        }
    };
    drop(rows);
    lease.end();
    outcome
}
