//! The caches against writes.

use super::*;

on_both! {
    a_read_that_races_a_write_does_not_cache_the_old_row,
    a_read_in_a_race_that_ends_last_does_not_hide_the_new_row,
    rows_that_were_read_once_are_answered_from_memory,
    absence_is_not_cached,
    every_write_outdates_what_it_changes,
}

async fn a_read_that_races_a_write_does_not_cache_the_old_row(database: Database) {
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    meta.tag_put(&repository, &latest, row("old", 1))
        .await
        .unwrap();
    let key = (repository.clone(), latest.clone());
    let raced = meta.hot().tags.get_or_read(key, async {
        let old = meta.tag_read(&repository, &latest).await?;
        // The write is committed and answered between the read's SELECT and its insertion into the cache.
        meta.tag_put(&repository, &latest, row("new", 2)).await?;
        Ok::<_, MetaError>(old)
    });
    assert_eq!(raced.await.unwrap(), Some(row("old", 1)));
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("new", 2))
    );
}

async fn a_read_in_a_race_that_ends_last_does_not_hide_the_new_row(database: Database) {
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    meta.tag_put(&repository, &latest, row("old", 1))
        .await
        .unwrap();
    let key = (repository.clone(), latest.clone());
    let raced = meta.hot().tags.get_or_read(key, async {
        let old = meta.tag_read(&repository, &latest).await?;
        meta.tag_put(&repository, &latest, row("new", 2)).await?;
        // Another read has already cached the new row.
        assert_eq!(meta.tag(&repository, &latest).await?, Some(row("new", 2)));
        Ok::<_, MetaError>(old)
    });
    raced.await.unwrap();
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("new", 2))
    );
}

async fn rows_that_were_read_once_are_answered_from_memory(database: Database) {
    let meta = &database.meta;
    let (repository, latest, image) = (name("p/r"), tag("latest"), digest("image"));
    meta.manifest_commit(commit("p/r", "image")).await.unwrap();
    meta.tag_put(&repository, &latest, row("image", 1))
        .await
        .unwrap();
    meta.blob_link(std::slice::from_ref(&repository), &image, 123)
        .await
        .unwrap();
    let read = async || {
        (
            meta.tag(&repository, &latest).await.unwrap(),
            meta.manifest(&repository, &image).await.unwrap(),
            meta.blob_linked(&repository, &image).await.unwrap(),
        )
    };
    let before = read().await;
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "DELETE FROM tag; DELETE FROM manifest; DELETE FROM link",
    )
    .await;
    assert_eq!(read().await, before);
}

async fn absence_is_not_cached(database: Database) {
    let meta = &database.meta;
    let repository = name("p/r");
    meta.blob_link(std::slice::from_ref(&repository), &digest("one"), 1)
        .await
        .unwrap();
    assert!(!meta.blob_linked(&repository, &digest("two")).await.unwrap());
    let mut outside = database.outside().await;
    Statement::new("INSERT INTO blob (digest, size_bytes, created_at) VALUES ($1, 1, 1)")
        .bind(&digest("two"))
        .execute(&mut outside)
        .await
        .unwrap();
    Statement::new("INSERT INTO link (repository_id, digest) SELECT id, $1 FROM repository")
        .bind(&digest("two"))
        .execute(&mut outside)
        .await
        .unwrap();
    assert!(meta.blob_linked(&repository, &digest("two")).await.unwrap());
}

async fn every_write_outdates_what_it_changes(database: Database) {
    let meta = &database.meta;
    let (repository, latest, image) = (name("p/r"), tag("latest"), digest("image"));
    for second in 1..20 {
        let content = format!("image {second}");
        let mut image = commit("p/r", &content);
        image.tag = Some((latest.clone(), at(second)));
        meta.manifest_commit(image).await.unwrap();
        let read = meta.tag(&repository, &latest).await.unwrap().unwrap();
        assert_eq!(read.target.digest, digest(&content));
    }
    meta.manifest_commit(commit("p/r", "image")).await.unwrap();
    assert!(meta.manifest(&repository, &image).await.unwrap().is_some());
    let retyped = ManifestCommit {
        media_type: "other".into(),
        ..commit("p/r", "image")
    };
    meta.manifest_commit(retyped).await.unwrap();
    let read = meta.manifest(&repository, &image).await.unwrap().unwrap();
    assert_eq!(read.media_type, "other");
}
