//! Tests on a real SQLite file.

mod hot;
mod manifest;
mod open;
mod plan;
mod repository;
mod tag;
mod writer;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::*;
use crate::config;
use crate::oci::{Descriptor, Digest, Manifest, ManifestKind, Name, Tag};

/// A database in a folder that goes when the test ends.
struct Database {
    meta: Meta,
    folder: TempDir,
}

impl Database {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meta = open(folder.path().join("entrepot.db")).await.unwrap();
        Self { meta, folder }
    }

    /// As another process would open it.
    async fn outside(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(self.folder.path().join("entrepot.db"))
            .busy_timeout(Duration::from_secs(5))
            .connect()
            .await
            .unwrap()
    }

    async fn reopen(self) -> Self {
        self.meta.close().await;
        let meta = open(self.folder.path().join("entrepot.db")).await.unwrap();
        Self { meta, ..self }
    }
}

async fn open(file: PathBuf) -> Result<Meta, MetaError> {
    Meta::open(&config::Database::Sqlite(file)).await
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
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
