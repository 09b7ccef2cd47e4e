//! The end: what nobody goes on with is swept, and then rows and content say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, sqlite::SqliteConnectOptions};

use super::home::Home;
use crate::{harness::sha256, small_disk::until};

/// Leftovers of this age go; so does garbage.
const AGE: Duration = Duration::from_secs(1);

/// Has everything swept that can be, and looks at what there is. Blobs that no manifest names may be gone then.
pub(super) async fn nothing_is_left_over(home: &mut Home, crashes: u64) {
    tokio::time::sleep(AGE).await;
    let sweep = [("ENTREPOT__STORAGE__SPOOL_MAX_AGE", "1s")];
    let process = home.start(&sweep).await;
    let spool = home.data().join("spool");
    until("the spool is empty", || names(&spool).is_empty()).await;
    if let Some(url) = home.database() {
        until_empty(url, SESSIONS).await;
    }
    home.ended(process.kill().await);
    match home.database() {
        None => compare_with_files(home.data()).await,
        Some(_) => compare_with_bucket(home, crashes).await,
    }
}

/// A file for each row, a row for each file.
async fn compare_with_files(data: &Path) {
    let options = SqliteConnectOptions::new().filename(data.join("entrepot.db"));
    let mut database = options.connect().await.expect("a database");
    let sound = sqlx::query_as("PRAGMA integrity_check");
    let sound: Vec<(String,)> = sound.fetch_all(&mut database).await.expect("rows");
    assert_eq!(sound, [("ok".to_owned(),)]);
    let rows = sqlx::query_as("SELECT digest, size_bytes FROM blob");
    let rows: Vec<(String, i64)> = rows.fetch_all(&mut database).await.expect("rows");
    let rows: BTreeMap<String, i64> = rows.into_iter().collect();
    let folder = data.join("blobs/sha256");
    let mut files = BTreeMap::new();
    for first in names(&folder) {
        for hex in names(&folder.join(&first)) {
            let bytes = std::fs::read(folder.join(&first).join(&hex)).expect("a file");
            assert_eq!(sha256(&bytes), format!("sha256:{hex}"));
            let length = i64::try_from(bytes.len()).expect("a small file");
            files.insert(format!("sha256:{hex}"), length);
        }
    }
    assert_eq!(files, rows);
}

/// What sessions left there is garbage by now, and goes after the grace. What is there, rows tell of.
async fn compare_with_bucket(home: &mut Home, crashes: u64) {
    tokio::time::sleep(AGE).await;
    let url = home.database().expect("with the bucket").to_owned();
    // Begun at the storage just before the kill, and not yet written down (ADR 0008): one here and there.
    let hidden = {
        let known = names_of(&url, UPLOADS).await.len();
        let bucket = home.bucket().expect("with the database");
        bucket.unfinished().saturating_sub(known)
    };
    assert!(hidden as u64 <= crashes, "{hidden} uploads are hidden");
    let collect = [("ENTREPOT__UPKEEP__ORPHAN_GRACE", "1s")];
    let process = home.start(&collect).await;
    until_empty(&url, UPLOADS).await;
    home.ended(process.kill().await);
    let known = names_of(&url, KNOWN).await;
    let bucket = home.bucket().expect("with the database");
    assert!(bucket.unfinished() <= hidden, "uploads in the bucket");
    for (key, _) in bucket.files() {
        let object = key.rsplit('/').next().expect("a name");
        assert!(known.contains(object), "no row tells of {key}");
    }
}

const SESSIONS: &str = "SELECT id FROM upload";
const UPLOADS: &str = "SELECT object FROM garbage WHERE multipart IS NOT NULL";
const KNOWN: &str =
    "SELECT object FROM blob WHERE object IS NOT NULL UNION SELECT object FROM garbage";

async fn until_empty(url: &str, sql: &'static str) {
    let empty = async {
        while !names_of(url, sql).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), empty).await;
    assert!(in_time.is_ok(), "left over: {sql}");
}

/// Of PostgreSQL.
async fn names_of(url: &str, sql: &'static str) -> BTreeSet<String> {
    let mut database = PgConnection::connect(url).await.expect("a database");
    let rows: Vec<(String,)> = sqlx::query_as(sql)
        .fetch_all(&mut database)
        .await
        .expect("rows");
    rows.into_iter().map(|(name,)| name).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("a name")
    };
    entries.map(name).collect()
}
