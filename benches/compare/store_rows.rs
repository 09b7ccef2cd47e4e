//! Writes the rows of very many images into the database of an Entrepot that is not running.
//!
//! An image is ten rows of blobs: a manifest, and nine blobs that it names and nobody else has. The
//! digests are made up. Those that are to be evicted first were used longest ago and have files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::tools::block_on;

const ROWS_OF_IMAGE: usize = 10;
/// Of each blob that is to go. Eviction frees a twentieth of the budget, so the others are as small
/// as makes all of those a twentieth.
const EVICTED_BYTES: usize = 4096;
const TWENTIETH: usize = 20;

pub(crate) struct StoreRows {
    /// Of the server's data.
    pub(crate) folder: PathBuf,
    /// That the repositories are of.
    pub(crate) project: &'static str,
    /// About so many rows of blobs.
    pub(crate) rows: usize,
    /// How many of them are to go.
    pub(crate) evicted: usize,
}

/// What is there now.
pub(crate) struct Made {
    pub(crate) rows: u64,
    /// What all rows say of sizes.
    pub(crate) bytes: u64,
    /// The file that goes last of those that are to go.
    pub(crate) last_file: PathBuf,
}

/// $1 rows, of which the first $2 have $3 bytes, the others $4. Multiplied by an odd number, the
/// first 32 bits are spread and all different.
const NUMBERS: &str = "CREATE TEMP TABLE n AS \
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1 - 1) \
     SELECT i, i / 10 AS image, i % 10 AS place, \
     printf('sha256:%08x%056x', (i * 2654435761) & 4294967295, i) AS digest, \
     CASE WHEN i < $2 THEN $3 ELSE $4 END AS size_bytes FROM n ORDER BY digest";

/// $2 blobs of $3 bytes that nobody has, numbered from $1.
const ORPHANS: &str = "INSERT INTO blob (digest, size_bytes, created_at) \
     WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $1 + $2 - 1) \
     SELECT printf('sha256:%08x%056x', (i * 2654435761) & 4294967295, i), $3, 1700000000000 FROM n";

/// The first half of the orphans numbered like those: in the first repository, where no manifest names them.
const LOOSE_LINKS: &str = "INSERT INTO link (repository_id, digest, touched_at) \
     WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $1 + $2 / 2 - 1) \
     SELECT 1000000, printf('sha256:%08x%056x', (i * 2654435761) & 4294967295, i), 1700000000000 FROM n";

const REPOSITORIES: &str = "INSERT INTO repository (id, name, project, has_content) \
     SELECT DISTINCT 1000000 + image / 100, printf('%s/filler/r%05d', $1, image / 100), $1, TRUE FROM n";

/// A repository named $1 of the project $2.
const REPOSITORY: &str =
    "INSERT INTO repository (name, project, has_content) VALUES ($1, $2, TRUE)";

/// $2 tags of it.
const TAGS: &str = "INSERT INTO tag (repository_id, name, digest, media_type, size_bytes, checked_at) \
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $2 - 1) \
     SELECT (SELECT id FROM repository WHERE name = $1), printf('v%07d', i), \
     printf('sha256:%064x', i), 'application/vnd.oci.image.manifest.v1+json', 1000, 1700000000000 FROM n";

/// In the order of the keys where that makes it quicker. Times are of 2023.
const ROWS: [&str; 6] = [
    "CREATE TEMP TABLE manifest_of AS SELECT image, digest FROM n WHERE place = 0 ORDER BY image",
    "INSERT INTO blob (digest, size_bytes, created_at) SELECT digest, size_bytes, 1700000000000 FROM n",
    "INSERT INTO link (repository_id, digest, touched_at) \
     SELECT 1000000 + image / 100, digest, NULL FROM n WHERE place > 0 ORDER BY 1, 2",
    "INSERT INTO manifest (repository_id, digest, media_type, size_bytes, created_at, used_at) \
     SELECT 1000000 + image / 100, digest, 'application/vnd.oci.image.manifest.v1+json', size_bytes, \
     1700000000000, 1700000000000 + image FROM n WHERE place = 0 ORDER BY 1, 2",
    "INSERT INTO reference (repository_id, child, kind, parent, media_type, size_bytes) \
     SELECT 1000000 + n.image / 100, n.digest, 'blob', manifest_of.digest, \
     'application/vnd.oci.image.layer.v1.tar', n.size_bytes \
     FROM n CROSS JOIN manifest_of ON manifest_of.rowid = n.image + 1 WHERE n.place > 0 ORDER BY 1, 2",
    "INSERT INTO tag (repository_id, name, digest, media_type, size_bytes, checked_at) \
     SELECT 1000000 + image / 100, printf('v%02d', image % 100), digest, \
     'application/vnd.oci.image.manifest.v1+json', size_bytes, 1700000000000 FROM n WHERE place = 0 ORDER BY 1, 2",
];

impl StoreRows {
    pub(crate) fn make(&self) -> Result<Made> {
        let images = self.evicted / ROWS_OF_IMAGE;
        for number in 0..images * ROWS_OF_IMAGE {
            let file = self.file(number);
            let parent = file.parent().context("a file has a folder")?;
            std::fs::create_dir_all(parent).context("make a folder for blobs")?;
            std::fs::write(&file, vec![0; EVICTED_BYTES]).context("write a blob")?;
        }
        let (rows, bytes) = block_on(self.insert())?.context("make rows")?;
        rustix::fs::sync();
        Ok(Made {
            rows: rows.try_into()?,
            bytes: bytes.try_into()?,
            last_file: self.file(images * ROWS_OF_IMAGE - 1),
        })
    }

    /// Adds so many blobs that nobody needs, numbered from `first` on, among all the others, with their files.
    pub(crate) fn add_orphans(&self, first: usize, count: usize) -> Result<()> {
        for number in first..first + count {
            let file = self.file(number);
            let parent = file.parent().context("a file has a folder")?;
            std::fs::create_dir_all(parent).context("make a folder for blobs")?;
            std::fs::write(&file, vec![0; EVICTED_BYTES]).context("write a blob")?;
        }
        let insert = async {
            let [first, count, bytes] = [first, count, EVICTED_BYTES].map(integer);
            let mut connection = open(&self.folder).await?;
            let blobs = sqlx::query(ORPHANS).bind(first).bind(count).bind(bytes);
            blobs.execute(&mut connection).await?;
            let links = sqlx::query(LOOSE_LINKS).bind(first).bind(count);
            links.execute(&mut connection).await?;
            connection.close().await
        };
        block_on(insert)?.context("make orphans")?;
        rustix::fs::sync();
        Ok(())
    }

    /// Rows of blobs.
    pub(crate) fn count(&self) -> Result<u64> {
        let (rows, _) =
            block_on(async { totals(&mut open(&self.folder).await?).await })?.context("count")?;
        Ok(rows.try_into()?)
    }

    async fn insert(&self) -> sqlx::Result<(i64, i64)> {
        let (rows, evicted) = (self.rows, self.evicted);
        let others = (evicted * EVICTED_BYTES * (TWENTIETH - 1)).div_ceil(rows - evicted);
        let mut connection = open(&self.folder).await?;
        let mut transaction = connection.begin().await?;
        let mut numbers = sqlx::query(NUMBERS);
        for number in [rows, evicted, EVICTED_BYTES, others] {
            numbers = numbers.bind(integer(number));
        }
        numbers.execute(&mut *transaction).await?;
        let repositories = sqlx::query(REPOSITORIES).bind(self.project);
        repositories.execute(&mut *transaction).await?;
        for statement in ROWS {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let totals = totals(&mut connection).await?;
        connection.close().await?;
        Ok(totals)
    }

    /// As the server names them.
    fn file(&self, number: usize) -> PathBuf {
        let spread = (number as u64).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        let hex = format!("{spread:08x}{number:056x}");
        self.folder.join("blobs/sha256").join(&hex[..2]).join(hex)
    }
}

/// Adds a hosted repository, named with its project, that has so many tags.
pub(crate) fn add_tags(folder: &Path, repository: &'static str, count: usize) -> Result<()> {
    let (project, _) = repository.split_once('/').context("a project and a name")?;
    let insert = async {
        let mut connection = open(folder).await?;
        let row = sqlx::query(REPOSITORY).bind(repository).bind(project);
        row.execute(&mut connection).await?;
        let tags = sqlx::query(TAGS).bind(repository).bind(integer(count));
        tags.execute(&mut connection).await?;
        connection.close().await
    };
    block_on(insert)?.context("make tags")
}

/// Opens the database for quick work that need not outlive a crash.
async fn open(folder: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(folder.join("entrepot.db"))
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false)
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-200000")
        .connect()
        .await
}

fn integer(number: usize) -> i64 {
    i64::try_from(number).expect("a small number")
}

/// Rows of blobs, and what they say of their sizes.
async fn totals(connection: &mut SqliteConnection) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as("SELECT COUNT(*), SUM(size_bytes) FROM blob")
        .fetch_one(connection)
        .await
}
