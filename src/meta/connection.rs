//! Connections of either database, and the pools that they come from.

use std::time::Duration;

use sqlx::{Connection as _, PgPool, Postgres, Sqlite, SqlitePool, pool::PoolConnection};
use tokio::time::timeout;

/// A connection that lay idle for longer is tried before it is used: the server may have gone without a word.
pub(super) const IDLE_TRUST: Duration = Duration::from_secs(1);

/// How long it has to answer then.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The number is any that nobody else uses in this database: "entrepot" as bytes.
const BEGIN_POSTGRES: &str = "BEGIN; SELECT pg_advisory_xact_lock(7308907279945854836)";

/// One connection. Dropped, it goes back to its pool.
pub(super) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// Connections of one kind: readers, or the writer's.
#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What an open database consists of.
pub(super) struct Pools {
    pub(super) readers: Pool,
    /// Of one connection at most.
    pub(super) writer: Pool,
}

impl Pool {
    /// A connection that nobody else has; waits for one as long as the pool was told to.
    pub(super) async fn lease(&self) -> Result<Lease, sqlx::Error> {
        // Boxed: these futures are large, and part of every request's.
        let connection = match self {
            Self::Sqlite(pool) => Connection::Sqlite(Box::pin(pool.acquire()).await?),
            Self::Postgres(pool) => Connection::Postgres(Box::pin(pool.acquire()).await?),
        };
        Ok(Lease(Some(connection)))
    }

    /// Waits until all connections are back and closed. Nobody gets one any more.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Connection {
    /// Begins a transaction that may write. Only one is open at a time, in this process or another: what an operation
    /// has read is still true when it writes, and no two lock the same rows in different orders.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match self {
            // A transaction that began as a reader's could be refused when it comes to write.
            Self::Sqlite(connection) => {
                sqlx::raw_sql("BEGIN IMMEDIATE")
                    .execute(&mut **connection)
                    .await?;
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(BEGIN_POSTGRES)
                    .execute(&mut **connection)
                    .await?;
            }
        }
        Ok(())
    }

    /// Does the database answer?
    pub(super) async fn is_alive(&mut self) -> bool {
        let answer = async {
            match self {
                Self::Sqlite(connection) => connection.ping().await,
                Self::Postgres(connection) => connection.ping().await,
            }
        };
        timeout(PING_TIMEOUT, answer)
            .await
            .is_ok_and(|answer| answer.is_ok())
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

/// A connection in use. Whoever drops it before its [`end`](Lease::end), as when a request's future is dropped or a wait
/// has become too long, closes it: a statement or a transaction may be half done, and the next one must not meet it.
pub(super) struct Lease(Option<Connection>);

const HELD: &str = "taken by `end` and `close` only, which consume the lease";

impl Lease {
    /// The use came to its end, with or without an error: back to the pool with it.
    pub(super) fn end(mut self) {
        self.0.take();
    }

    /// Closes in order.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        self.0.take().expect(HELD).close().await
    }
}

impl std::ops::Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.as_ref().expect(HELD)
    }
}

impl std::ops::DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect(HELD)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match &mut self.0 {
            Some(Connection::Sqlite(connection)) => connection.close_on_drop(),
            Some(Connection::Postgres(connection)) => connection.close_on_drop(),
            None => {}
        }
    }
}
