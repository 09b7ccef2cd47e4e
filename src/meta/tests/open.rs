//! Opening, closing and opening again.

use super::*;
use crate::meta::statement::Statement;

#[tokio::test]
async fn the_folder_and_the_file_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not/yet/here.db");
    let meta = open(file.clone()).await.unwrap();
    assert!(file.is_file());
    meta.close().await;
}

#[tokio::test]
async fn rows_are_there_after_closing_and_opening_again() {
    let database = Database::new().await;
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

#[tokio::test]
async fn closing_leaves_one_file_and_later_calls_say_closed() {
    let database = Database::new().await;
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
    let files: Vec<_> = std::fs::read_dir(database.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["entrepot.db"]);
}

#[tokio::test]
async fn the_writer_is_durable_and_the_readers_cannot_write() {
    let database = Database::new().await;
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

#[tokio::test]
async fn a_database_from_a_newer_version_is_refused() {
    let database = Database::new().await;
    database.meta.close().await;
    run(
        &mut database.outside().await,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'from the future', TRUE, x'00', 0)",
    )
    .await;
    let file = database.folder.path().join("entrepot.db");
    let error = open(file.clone()).await.err().expect("refused");
    assert!(
        matches!(
            error,
            MetaError::Newer {
                found: 9000,
                known: 1,
                ..
            }
        ),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("entrepot.db") && text.contains("newer version"),
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
