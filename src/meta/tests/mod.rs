//! Tests on a real SQLite file and on a real PostgreSQL server.
//!
//! A test that takes a [`Database`] and is named in its file's `on_both!` list runs on each.

/// Runs each of these tests on both databases.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Database::sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Database::postgres().await).await;
            })+
        }
    };
}

mod audit;
mod candidate;
mod cluster;
mod delete;
mod entry;
mod event;
mod evict;
mod hot;
mod images;
mod label;
mod manifest;
mod notice;
mod object;
mod open;
mod orphans;
mod pin;
mod plan;
mod postgres;
#[path = "../../../tests/it/harness/postgres.rs"]
mod postgres_server;
mod repository;
mod retention;
mod rule;
mod statements;
mod tag;
mod tag_version;
mod task;
mod unasked;
mod upload;
mod usage;
mod writer;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tempfile::TempDir;

use super::{
    connection::{Connection, Lease, Pool},
    statement::Statement,
    *,
};
use crate::{
    config,
    oci::{Descriptor, Digest, Manifest, ManifestKind, Name, Tag},
};

/// A database of this test alone.
struct Database {
    meta: Meta,
    at: config::Database,
    /// Goes when the test ends.
    folder: TempDir,
}

impl Database {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = config::Database::Sqlite(folder.path().join("entrepot.db"));
        Self::open(at, folder).await
    }

    async fn postgres() -> Self {
        let at = postgres_at(&postgres_server::fresh_database().await);
        Self::open(at, tempfile::tempdir().unwrap()).await
    }

    async fn open(at: config::Database, folder: TempDir) -> Self {
        let meta = Meta::open(&at).await.unwrap();
        Self { meta, at, folder }
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.at, config::Database::Sqlite(_))
    }

    /// One connection, as another process would open it.
    async fn outside(&self) -> Lease {
        self.pool().await.lease().await.unwrap()
    }

    async fn pool(&self) -> Pool {
        match &self.at {
            config::Database::Sqlite(file) => {
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .busy_timeout(Duration::from_secs(5));
                let pool = SqlitePoolOptions::new().max_connections(1);
                Pool::Sqlite(pool.connect_with(options).await.unwrap())
            }
            config::Database::Postgres(url) => {
                let pool = PgPoolOptions::new().max_connections(1);
                Pool::Postgres(pool.connect(url.expose()).await.unwrap())
            }
        }
    }

    async fn reopen(self) -> Self {
        self.meta.close().await;
        Self::open(self.at, self.folder).await
    }
}

fn postgres_at(url: &str) -> config::Database {
    let variables = [
        ("ENTREPOT__DATABASE__URL", url),
        ("ENTREPOT__SECRETS__KEY", "a key for tests alone"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    config::load(None, variables).unwrap().database
}

/// Several statements at once.
async fn run(connection: &mut Connection, sql: &'static str) {
    let sql = sqlx::raw_sql(sql);
    match connection {
        Connection::Sqlite(connection) => drop(sql.execute(&mut **connection).await.unwrap()),
        Connection::Postgres(connection) => drop(sql.execute(&mut **connection).await.unwrap()),
    }
}

async fn count(connection: &mut Connection, sql: &'static str) -> i64 {
    let row: (i64,) = Statement::new(sql).fetch_one(connection).await.unwrap();
    row.0
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn summary(content: &str) -> ManifestSummary {
    ManifestSummary {
        digest: digest(content),
        media_type: "application/x".into(),
        size_bytes: 7,
    }
}

fn row(content: &str, seconds: u64) -> TagRow {
    TagRow {
        target: summary(content),
        told: None,
        checked_at: at(seconds),
    }
}

fn descriptor(content: &str, size: Option<u64>) -> Descriptor {
    Descriptor {
        media_type: "application/layer".into(),
        digest: digest(content),
        size,
        artifact_type: None,
        annotations: None,
        other: serde_json::Map::new(),
    }
}

fn commit(repository: &str, content: &str) -> ManifestCommit {
    ManifestCommit {
        repository: name(repository),
        digest: digest(content),
        media_type: "application/manifest".into(),
        size_bytes: 123,
        manifest: Manifest {
            kind: ManifestKind::Manifest,
            media_type: None,
            manifests: Vec::new(),
            blobs: Vec::new(),
            subject: None,
            artifact_type: None,
            annotations: None,
        },
        tag: None,
    }
}
