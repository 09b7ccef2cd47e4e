//! Opening a PostgreSQL database: a pool of readers, and the one connection that writes.

use std::{str::FromStr, sync::LazyLock, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{
    MetaError,
    connection::{IDLE_TRUST, PING_TIMEOUT, Pool, Pools},
    migration,
};
use crate::config::PostgresUrl;

pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| migration::tolerant(sqlx::migrate!("migrations/postgres")));

/// Connections for reads, which are short and mostly answered from memory.
const READERS: u32 = 10;

/// How long the wait for a connection may take.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the migrations may take, with the wait for another replica that is at it.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);

/// How long the server works on one statement, waits for locks included; how long it leaves a transaction open whose
/// client is silent; after what silence it asks whether the client is there. A replica that vanished in the middle of a
/// write holds up the others no longer than that.
const SESSION: &str = "SET statement_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '5s'; \
     SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// How long the start waits for the server.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(500);

/// Opens and migrates the database.
pub(super) async fn open(url: &PostgresUrl) -> Result<Pools, MetaError> {
    let not_open = |source| MetaError::Open {
        database: url.to_string(),
        source,
    };
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(not_open)?
        .application_name("entrepot");
    let mut connection = connect(&options).await.map_err(not_open)?;
    timeout(MIGRATION_TIMEOUT, migrate(&mut connection, url))
        .await
        .unwrap_or(Err(MetaError::Timeout))?;
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

/// Waits for a server that is not up yet: both may have been started together.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let attempt = timeout(ACQUIRE_TIMEOUT, options.connect());
        let error = match attempt.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let may_pass = match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
            _ => false,
        };
        if !may_pass || Instant::now() >= deadline {
            return Err(error);
        }
        warn!(%error, "the database cannot be reached yet: {error}");
        sleep(START_PAUSE).await;
    }
}

/// Several replicas may come here at once: the driver holds an advisory lock meanwhile.
async fn migrate(connection: &mut PgConnection, url: &PostgresUrl) -> Result<(), MetaError> {
    MIGRATIONS
        .run(&mut *connection)
        .await
        .map_err(MetaError::Migrate)?;
    let known = migration::known(&MIGRATIONS);
    let breaking = sqlx::query_scalar(migration::BREAKING).bind(known);
    migration::check(url, breaking.fetch_optional(connection).await?, known)
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, about| Box::pin(try_idle(connection, about.idle_for)))
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        })
}

/// An error has the pool drop the connection without a farewell, which could hang.
async fn try_idle(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for >= IDLE_TRUST {
        let answer = timeout(PING_TIMEOUT, connection.ping()).await;
        answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    }
    Ok(true)
}
