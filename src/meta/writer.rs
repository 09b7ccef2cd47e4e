//! The one writer: a task that owns the only connection that writes, and groups what waits into transactions.
//!
//! ```text
//!   BEGIN
//!     SAVEPOINT · write 1 · RELEASE        each fails alone: ROLLBACK TO
//!     SAVEPOINT · write 2 · RELEASE        taken from the queue while there are some
//!     what changed, for the other replicas (announcement.rs)
//!   COMMIT                                 one fsync for all
//!   generations raised · answers           never before the commit
//! ```
//!
//! Other replicas have writers of their own on the same PostgreSQL; a lock that the transaction holds makes them one
//! after the other (ADR 0006). When somebody else gets in the way (deadlock, serialization), or the connection is lost
//! before the commit, nothing is written, and each write of the group is tried again alone. A task of its own for all
//! this: no client that goes away leaves a transaction open.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    MetaError, announcement,
    changes::{Changes, HotRows},
    connection::{Connection, IDLE_TRUST, Lease, Pool},
    operation::{Request, WRITE_TIMEOUT},
    statement::Statement,
};

/// How many writes wait at most; further callers wait for a place.
pub(super) const QUEUE: usize = 1024;

/// A transaction takes in no more writes after so many, or after so long if it has some already: on a machine that is slow,
/// fewer in each would make all wait longer.
const GROUP: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(5);
const GROUP_MIN: usize = 8;

/// A write that others got into the way of is tried so often alone.
const ATTEMPTS: u32 = 5;

/// Before such a try, at random up to this, doubled each time.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// Between attempts to reach the database.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

const SAVEPOINT: &str = "SAVEPOINT operation";
const RELEASE: &str = "RELEASE SAVEPOINT operation";
const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT operation";

/// The task's state.
pub(super) struct Writer {
    /// Of one connection.
    pub(super) pool: Pool,
    /// `None` before the first transaction, and after one that was not ended in order.
    pub(super) lease: Option<Lease>,
    /// When a transaction ended last.
    pub(super) used: Instant,
    pub(super) queue: mpsc::Receiver<Request>,
    pub(super) hot: Arc<HotRows>,
    pub(super) readers: Pool,
    /// Which member of a cluster this is, if there are others to be told of changes.
    pub(super) member: Option<Arc<str>>,
    pub(super) closing: CancellationToken,
    #[cfg(test)]
    pub(super) transactions: Arc<std::sync::atomic::AtomicU64>,
}

/// Why a transaction was not committed.
struct Failure {
    error: MetaError,
    /// It is certain that nothing was written, and another try may end better.
    again: bool,
}

impl Writer {
    /// Writes until the queue is closed and empty, then closes all connections.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.next().await {
            if first.is_late() {
                first.broken(MetaError::Timeout);
                continue;
            }
            let mut group = vec![first];
            match self.transaction(&mut group, GROUP).await {
                Err(failure) if failure.again => {
                    for request in group {
                        self.alone(request).await;
                    }
                }
                ended => answer(group, ended),
            }
        }
        if timeout(CLOSE_TIMEOUT, self.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    }

    /// The writer's connection last: it writes back the log of SQLite.
    async fn close(&mut self) {
        self.readers.close().await;
        if let Some(lease) = self.lease.take()
            && let Err(error) = lease.close().await
        {
            tracing::warn!(%error, "the database could not be closed cleanly: {error}");
        }
        self.pool.close().await;
    }

    async fn next(&mut self) -> Option<Request> {
        tokio::select! {
            biased;
            () = self.closing.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            request = self.queue.recv() => return request,
        }
        self.queue.recv().await
    }

    /// Tries a write of a group that failed again, a few times, without the others.
    async fn alone(&mut self, request: Request) {
        let mut group = vec![request];
        let mut pause = ATTEMPT_PAUSE;
        for attempt in 1.. {
            let ended = self.transaction(&mut group, 1).await;
            if attempt == ATTEMPTS || !ended.as_ref().is_err_and(|failure| failure.again) {
                answer(group, ended);
                return;
            }
            let at_random = rand::rng().random_range(Duration::ZERO..pause);
            sleep(at_random).await;
            pause *= 2;
        }
    }

    /// Writes the group and what it takes in from the queue, up to `limit` in all.
    async fn transaction(&mut self, group: &mut Vec<Request>, limit: usize) -> Result<(), Failure> {
        let mut lease = match self.connection(group[0].deadline).await {
            Ok(lease) => lease,
            Err(error) => {
                let again = false;
                return Err(Failure { error, again });
            }
        };
        let mut changes = Changes::default();
        let all = self.all(&mut lease, group, limit, &mut changes);
        let ended = timeout(WRITE_TIMEOUT, all).await.unwrap_or_else(|_| {
            Err(Failure {
                error: MetaError::Timeout,
                again: false,
            })
        });
        let in_order = ended.is_ok() || rolled_back(&mut lease).await;
        // Else dropped, and with it whatever is left of the transaction.
        self.lease = in_order.then_some(lease);
        self.used = Instant::now();
        // After a failure too: whether the commit took place is then not certain.
        self.hot.outdate(&changes);
        #[cfg(test)]
        self.transactions
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        ended
    }

    /// The connection, made anew when the last one was lost.
    async fn connection(&mut self, deadline: Instant) -> Result<Lease, MetaError> {
        if let Some(mut lease) = self.lease.take()
            && (self.used.elapsed() < IDLE_TRUST || lease.is_alive().await)
        {
            return Ok(lease);
        }
        let mut pause = CONNECT_PAUSE;
        loop {
            let error = match self.pool.lease().await {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            };
            if self.closing.is_cancelled() || Instant::now() + pause >= deadline {
                return Err(error.into());
            }
            tracing::warn!(%error, "the database cannot be reached: {error}");
            tokio::select! {
                () = sleep(pause) => {}
                () = self.closing.cancelled() => {}
            }
            pause = CONNECT_PAUSE_MAX.min(pause * 2);
        }
    }

    async fn all(
        &mut self,
        connection: &mut Connection,
        group: &mut Vec<Request>,
        limit: usize,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let outcome = connection.begin().await;
        outcome.map_err(|error| before_commit(error.into()))?;
        let begun = Instant::now();
        let mut done = 0;
        loop {
            while let Some(request) = group.get_mut(done) {
                operation(connection, request, changes)
                    .await
                    .map_err(before_commit)?;
                done += 1;
            }
            let is_late = done >= GROUP_MIN && begun.elapsed() >= GROUP_TIME;
            if done >= limit || is_late {
                break;
            }
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            group.push(next);
        }
        if let Some(member) = &self.member {
            let announced = announcement::put(connection, member, changes).await;
            announced.map_err(before_commit)?;
        }
        command(connection, "COMMIT").await.map_err(|error| {
            // A connection that is lost now leaves it open whether the commit took place.
            let again = error.is_conflict();
            Failure { error, again }
        })
    }
}

fn before_commit(error: MetaError) -> Failure {
    let again = error.is_conflict() || error.is_disconnect();
    Failure { error, again }
}

/// Executes one write inside the transaction. An error breaks the whole transaction; one of this write alone is noted
/// in its request.
async fn operation(
    connection: &mut Connection,
    request: &mut Request,
    changes: &mut Changes,
) -> Result<(), MetaError> {
    if request.is_late() {
        request.fail(MetaError::Timeout);
        return Ok(());
    }
    command(connection, SAVEPOINT).await?;
    if let Err(error) = request.execute(connection, changes).await {
        if error.is_conflict() || command(connection, ROLLBACK_TO).await.is_err() {
            // SQLite has rolled back the whole transaction, as on a full disk; this is why.
            return Err(error);
        }
        request.fail(error);
    }
    command(connection, RELEASE).await
}

/// False also when the database has rolled back by itself, as SQLite on a full disk.
async fn rolled_back(connection: &mut Connection) -> bool {
    let rollback = command(connection, "ROLLBACK");
    timeout(ROLLBACK_TIMEOUT, rollback)
        .await
        .is_ok_and(|outcome| outcome.is_ok())
}

async fn command(connection: &mut Connection, sql: &'static str) -> Result<(), MetaError> {
    Statement::new(sql).execute(connection).await?;
    Ok(())
}

/// Tells everybody in the transaction what came of it.
fn answer(group: Vec<Request>, ended: Result<(), Failure>) {
    let Err(failure) = ended else {
        group.into_iter().for_each(Request::committed);
        return;
    };
    let error = Arc::new(failure.error);
    for request in group {
        request.broken(MetaError::Transaction(Arc::clone(&error)));
    }
}
