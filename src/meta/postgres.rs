//! Opening a PostgreSQL database: a pool of readers, and the one connection that writes.

use std::{io, str::FromStr, sync::LazyLock, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection,
    migrate::Migrator,
    pool::PoolConnectionMetadata,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    MetaError,
    connection::{Pool, Pools},
};
use crate::config::PostgresUrl;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!("migrations/postgres"));

/// Connections for reads, which are short and mostly answered from memory.
const READERS: u32 = 10;

/// How long the wait for a connection may take.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the migrations may take, with the wait for another replica that is at it.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);

/// How long the server works on one statement, waits for locks included; how long it leaves a transaction open whose
/// client is silent; after what silence it asks whether the client is there. A replica that vanished holds up nobody.
const SESSION: &str = "SET statement_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'; \
     SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// A connection that lay idle for longer is tried before it is used: the server may have gone without a word.
const IDLE_TRUST: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens and migrates the database.
pub(super) async fn open(url: &PostgresUrl) -> Result<Pools, MetaError> {
    let not_open = |source| MetaError::Open {
        database: url.to_string(),
        source,
    };
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(not_open)?
        .application_name("entrepot");
    let mut connection = timeout(ACQUIRE_TIMEOUT, options.connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(not_open)?;
    timeout(MIGRATION_TIMEOUT, MIGRATIONS.run(&mut connection))
        .await
        .map_err(|_| MetaError::Timeout)?
        .map_err(|error| MetaError::migration(url, error, &MIGRATIONS))?;
    connection.close().await.map_err(not_open)?;
    let pool = |connections| {
        let pool = pool_options().max_connections(connections);
        Pool::Postgres(pool.connect_lazy_with(options.clone()))
    };
    Ok(Pools {
        readers: pool(READERS),
        writer: pool(1),
    })
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(is_alive)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        })
}

/// An error has the pool drop the connection without a farewell, which could hang.
fn is_alive(
    connection: &mut PgConnection,
    about: PoolConnectionMetadata,
) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async move {
        if about.idle_for < IDLE_TRUST {
            return Ok(true);
        }
        match timeout(PING_TIMEOUT, connection.ping()).await {
            Ok(outcome) => outcome.map(|()| true),
            Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    })
}
