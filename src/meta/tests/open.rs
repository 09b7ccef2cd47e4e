//! Opening, closing and opening again.

use std::path::PathBuf;

use super::*;

on_both! {
    rows_are_there_after_closing_and_opening_again,
    after_closing_calls_say_closed,
    a_database_that_a_newer_version_has_added_to_is_used,
    a_database_that_a_newer_version_has_broken_with_is_refused,
}

async fn open(file: PathBuf) -> Result<Meta, MetaError> {
    Meta::open(&config::Database::Sqlite(file)).await
}

#[tokio::test]
async fn the_folder_and_the_file_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not/yet/here.db");
    let meta = open(file.clone()).await.unwrap();
    assert!(file.is_file());
    meta.close().await;
}

async fn rows_are_there_after_closing_and_opening_again(database: Database) {
    let (repository, latest) = (name("p/r"), tag("latest"));
    database
        .meta
        .tag_put(&repository, &latest, row("one", 1))
        .await
        .unwrap();
    let database = database.reopen().await;
    let read = database.meta.tag(&repository, &latest).await.unwrap();
    assert_eq!(read, Some(row("one", 1)));
}

async fn after_closing_calls_say_closed(database: Database) {
    let (repository, latest) = (name("p/r"), tag("latest"));
    let meta = database.meta.clone();
    meta.tag_put(&repository, &latest, row("one", 1))
        .await
        .unwrap();
    tokio::join!(meta.close(), database.meta.close());
    let put = meta.tag_put(&repository, &latest, row("two", 2)).await;
    assert!(matches!(put, Err(MetaError::Closed)), "{put:?}");
    let read = meta.tag(&repository, &latest).await;
    assert!(matches!(read, Err(MetaError::Closed)), "{read:?}");
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let database = Database::sqlite().await;
    let meta = &database.meta;
    meta.tag_put(&name("p/r"), &tag("latest"), row("one", 1))
        .await
        .unwrap();
    meta.close().await;
    let files: Vec<_> = std::fs::read_dir(database.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["entrepot.db"]);
}

#[tokio::test]
async fn the_writer_is_durable_and_the_readers_cannot_write() {
    let database = Database::sqlite().await;
    let mode: Option<(String,)> = database
        .meta
        .fetch_optional(Statement::new("PRAGMA journal_mode"))
        .await
        .unwrap();
    assert_eq!(mode.unwrap().0, "wal");
    let delete = Statement::new("DELETE FROM tag RETURNING name");
    let outcome: Result<Vec<(String,)>, _> = database.meta.fetch_all(delete).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
}

async fn migrated_by_a_newer_version(database: &Database, description: &str) {
    let checksum = bytes::Bytes::from_static(b"x");
    Statement::new(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, $1, TRUE, $2, 0)",
    )
    .bind(description)
    .bind(checksum)
    .execute(&mut *database.outside().await)
    .await
    .unwrap();
}

async fn a_database_that_a_newer_version_has_added_to_is_used(database: Database) {
    let (repository, latest) = (name("p/r"), tag("latest"));
    let meta = database.meta.clone();
    let put = meta.tag_put(&repository, &latest, row("one", 1)).await;
    put.unwrap();
    migrated_by_a_newer_version(&database, "from the future").await;
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "ALTER TABLE tag ADD COLUMN new BIGINT NOT NULL DEFAULT 5",
    )
    .await;
    // Beside the newer version, and after a new start.
    meta.tag_put(&repository, &latest, row("two", 2))
        .await
        .unwrap();
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("two", 2))
    );
    let database = database.reopen().await;
    let read = database.meta.tag(&repository, &latest).await.unwrap();
    assert_eq!(read, Some(row("two", 2)));
}

async fn a_database_that_a_newer_version_has_broken_with_is_refused(database: Database) {
    database.meta.close().await;
    migrated_by_a_newer_version(&database, "breaking change of the future").await;
    let error = Meta::open(&database.at).await.err().expect("refused");
    assert!(
        matches!(
            error,
            MetaError::Newer {
                found: 9000,
                known: 2..,
                ..
            }
        ),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains(&database.at.to_string()) && text.contains("newer version"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrepot.db");
    std::fs::write(&file, "this is no database, not at all. ".repeat(100)).unwrap();
    let error = open(file.clone()).await.err().expect("refused");
    assert!(matches!(error, MetaError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("entrepot.db"), "{error}");

    let error = open(file.join("below/a.file"))
        .await
        .err()
        .expect("refused");
    assert!(matches!(error, MetaError::Folder { .. }), "{error:?}");
}
