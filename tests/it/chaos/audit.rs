//! The end of a world: nothing is left over, and rows and files say the same.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    PATIENCE,
    world::{Room, SPOOL_MAX_AGE_MS, World},
};
use crate::{harness::sha256, small_disk::until};

impl World {
    /// Stops, sweeps by a start, has everything pulled once more, and looks at all rows and files.
    pub(super) async fn audit(&self) {
        self.settled().await;
        let data = self.disk.data();
        if let Room::Tight {
            max_bytes: Some(max_bytes),
            ..
        } = self.plan.room
        {
            let kept = || {
                files(&data)
                    .iter()
                    .map(|(_, bytes)| bytes.len() as u64)
                    .sum::<u64>()
            };
            until("the budget is kept", || kept() <= max_bytes).await;
        }
        self.stop().await;
        // What could still be resumed is too old by then.
        tokio::time::sleep(Duration::from_millis(SPOOL_MAX_AGE_MS)).await;
        self.start().await;
        let spool = data.join("spool");
        nothing_left(&spool).await;
        // A process that has nothing in memory finds what was damaged.
        self.peace().await;
        self.settled().await;
        nothing_left(&spool).await;
        self.stop().await;
        assert_eq!(names(&spool), [""; 0], "left over");
        compare(&data).await;
    }
}

async fn nothing_left(spool: &Path) {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = names(spool);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left over: {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Rows and files.
async fn compare(data: &Path) {
    let options = SqliteConnectOptions::new().filename(data.join("entrepot.db"));
    let mut database = options.connect().await.expect("a database");
    let sound: Vec<(String,)> = all(&mut database, "PRAGMA integrity_check").await;
    assert_eq!(sound, [("ok".to_owned(),)]);
    let torn: Vec<(String,)> = all(
        &mut database,
        "SELECT \"table\" FROM pragma_foreign_key_check",
    )
    .await;
    assert_eq!(torn, []);
    let gone: Vec<(String,)> = all(&mut database, "SELECT digest FROM gone").await;
    assert_eq!(gone, [], "files to be deleted");
    let loose = "SELECT digest FROM blob WHERE digest NOT IN (SELECT digest FROM link UNION SELECT digest FROM manifest)";
    let loose: Vec<(String,)> = all(&mut database, loose).await;
    assert_eq!(loose, [], "blobs of no repository");

    let rows: Vec<(String, i64)> = all(&mut database, "SELECT digest, size_bytes FROM blob").await;
    let rows: BTreeMap<String, i64> = rows.into_iter().collect();
    let files: BTreeMap<String, _> = files(data).into_iter().collect();
    for (digest, bytes) in &files {
        assert_eq!(&sha256(bytes), digest, "a file of {} bytes", bytes.len());
        assert!(rows.contains_key(digest), "no row tells of {digest}");
    }
    for (digest, size) in &rows {
        let length = files.get(digest).map(|bytes| bytes.len() as i64);
        assert_eq!(length, Some(*size), "the file of {digest}");
    }
}

async fn all<T>(database: &mut SqliteConnection, sql: &'static str) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    let rows = sqlx::query_as(sql).fetch_all(database).await;
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// All that is in place, by digest.
fn files(data: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = data.join("blobs/sha256");
    let paths = names(&folder).into_iter().flat_map(|first| {
        let folder = folder.join(first);
        names(&folder)
            .into_iter()
            .map(move |hex| (format!("sha256:{hex}"), folder.join(hex)))
    });
    // It may be evicted just now.
    paths
        .filter_map(|(digest, path)| Some((digest, fs::read(path).ok()?)))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect()
}
