//! The one writer: a task that owns the only connection that writes, and groups what waits into transactions.
//!
//! ```text
//!   BEGIN IMMEDIATE
//!     SAVEPOINT · write 1 · RELEASE        each fails alone: ROLLBACK TO
//!     SAVEPOINT · write 2 · RELEASE        taken from the queue while there are some
//!   COMMIT                                 one fsync for all
//!   generations raised · answers           never before the commit
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    ListKind, ListRow, ManifestCommit, ManifestRow, MetaError, TagRow, blob, hot::Hot, list,
    manifest, tag,
};
use crate::oci::{Digest, Name, Tag};

/// How many writes wait at most; further callers wait for a place.
pub(super) const QUEUE: usize = 1024;

/// A transaction takes in no more writes after so many, or so long.
const GROUP: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(5);

/// Rows that every hit asks for. Each entry is a few hundred bytes.
const HOT_ROWS: u64 = 100_000;

const SAVEPOINT: &str = "SAVEPOINT operation";
const RELEASE: &str = "RELEASE SAVEPOINT operation";
const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT operation";

/// The caches in front of the tables.
pub(super) struct HotRows {
    pub(super) tags: Hot<(Name, Tag), TagRow>,
    pub(super) manifests: Hot<(Name, Digest), ManifestRow>,
    pub(super) links: Hot<(Name, Digest), ()>,
}

impl HotRows {
    pub(super) fn new() -> Self {
        Self {
            tags: Hot::new(HOT_ROWS),
            manifests: Hot::new(HOT_ROWS),
            links: Hot::new(HOT_ROWS),
        }
    }

    fn outdate(&self, changes: &Changes) {
        changes.tags.iter().for_each(|key| self.tags.outdate(key));
        changes
            .manifests
            .iter()
            .for_each(|key| self.manifests.outdate(key));
        changes.links.iter().for_each(|key| self.links.outdate(key));
    }
}

/// What a transaction may have changed: cached rows that must be read anew.
#[derive(Default)]
pub(super) struct Changes {
    tags: Vec<(Name, Tag)>,
    manifests: Vec<(Name, Digest)>,
    links: Vec<(Name, Digest)>,
}

impl Changes {
    pub(super) fn tag(&mut self, repository: &Name, tag: &Tag) {
        self.tags.push((repository.clone(), tag.clone()));
    }

    pub(super) fn manifest(&mut self, repository: &Name, digest: &Digest) {
        self.manifests.push((repository.clone(), digest.clone()));
    }

    pub(super) fn link(&mut self, repository: &Name, digest: &Digest) {
        self.links.push((repository.clone(), digest.clone()));
    }
}

/// One change, whole or not at all.
pub(super) enum Write {
    ManifestCommit(Box<ManifestCommit>),
    ManifestDelete {
        repository: Name,
        digest: Digest,
    },
    BlobLink {
        repositories: Vec<Name>,
        digest: Digest,
        size_bytes: u64,
    },
    TagPut {
        repository: Name,
        tag: Tag,
        row: TagRow,
    },
    TagDelete {
        repository: Name,
        tag: Tag,
    },
    ListPut {
        repository: Name,
        kind: ListKind,
        key: String,
        row: ListRow,
    },
}

impl Write {
    async fn execute(
        &self,
        connection: &mut SqliteConnection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        match self {
            Self::ManifestCommit(commit) => manifest::commit(connection, changes, commit).await,
            Self::ManifestDelete { repository, digest } => {
                manifest::delete(connection, changes, repository, digest).await
            }
            Self::BlobLink {
                repositories,
                digest,
                size_bytes,
            } => blob::link(connection, changes, repositories, digest, *size_bytes).await,
            Self::TagPut {
                repository,
                tag,
                row,
            } => tag::put(connection, changes, repository, tag, row).await,
            Self::TagDelete { repository, tag } => {
                tag::delete(connection, changes, repository, tag).await
            }
            Self::ListPut {
                repository,
                kind,
                key,
                row,
            } => list::put(connection, repository, *kind, key, row).await,
        }
    }
}

/// A write and who waits for it; who went away changes nothing.
pub(super) struct Request {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Result<(), MetaError>>,
}

/// A write that was executed, and what came of it, told once the transaction has ended.
type Executed = (
    oneshot::Sender<Result<(), MetaError>>,
    Result<(), MetaError>,
);

/// The task's state.
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) queue: mpsc::Receiver<Request>,
    pub(super) hot: Arc<HotRows>,
    pub(super) readers: SqlitePool,
    pub(super) closing: CancellationToken,
    #[cfg(test)]
    pub(super) transactions: Arc<std::sync::atomic::AtomicU64>,
}

impl Writer {
    /// Writes until the queue is closed and empty, then closes all connections.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.next().await {
            self.transaction(first).await;
        }
        self.readers.close().await;
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the database could not be closed cleanly");
        }
    }

    async fn next(&mut self) -> Option<Request> {
        tokio::select! {
            biased;
            () = self.closing.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            request = self.queue.recv() => return request,
        }
        self.queue.recv().await
    }

    async fn transaction(&mut self, first: Request) {
        if let Err(error) = self.command("BEGIN IMMEDIATE").await {
            // Nobody waits any more: no harm.
            let _ = first.answer.send(Err(error.into()));
            return;
        }
        let mut executed = Vec::new();
        let mut changes = Changes::default();
        let ended = match self.group(first, &mut executed, &mut changes).await {
            Ok(()) => self.command("COMMIT").await.map_err(MetaError::from),
            Err(error) => Err(error),
        };
        if ended.is_err() {
            // Fails when the database has rolled back by itself, as on a full disk.
            let _ = self.command("ROLLBACK").await;
        }
        // After a failure too: whether the commit took place is then not certain.
        self.hot.outdate(&changes);
        answer(executed, ended);
        #[cfg(test)]
        self.transactions
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    /// Executes what waits. Fails when the transaction is broken as a whole.
    async fn group(
        &mut self,
        first: Request,
        executed: &mut Vec<Executed>,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let begun = Instant::now();
        let mut next = Some(first);
        while let Some(Request { write, answer }) = next {
            executed.push((answer, Ok(())));
            let outcome = self.operation(&write, changes).await?;
            executed.last_mut().expect("just pushed").1 = outcome;
            next = if executed.len() < GROUP && begun.elapsed() < GROUP_TIME {
                self.queue.try_recv().ok()
            } else {
                None
            };
        }
        Ok(())
    }

    /// Executes one write inside the transaction. The outer error breaks the transaction, the inner one only this write.
    async fn operation(
        &mut self,
        write: &Write,
        changes: &mut Changes,
    ) -> Result<Result<(), MetaError>, MetaError> {
        self.command(SAVEPOINT).await?;
        let outcome = write.execute(&mut self.connection, changes).await;
        if outcome.is_err() && self.command(ROLLBACK_TO).await.is_err() {
            // The database has rolled back the whole transaction, as on a full disk; this is why.
            return outcome.map(Ok);
        }
        self.command(RELEASE).await?;
        Ok(outcome)
    }

    async fn command(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Tells everybody in the transaction what came of it. Who went away is not missed.
fn answer(executed: Vec<Executed>, ended: Result<(), MetaError>) {
    let broken = ended.err().map(Arc::new);
    for (answer, outcome) in executed {
        let _ = answer.send(match (&broken, outcome) {
            (Some(error), Ok(())) => Err(MetaError::Transaction(error.clone())),
            (_, outcome) => outcome,
        });
    }
}
