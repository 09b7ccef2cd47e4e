//! Objects: from an upload to garbage.

use uuid::Uuid;

use super::*;
use crate::meta::{BlobObject, Garbage};

on_both! {
    an_upload_that_ends_is_the_blobs_object,
    an_upload_that_nobody_ends_is_garbage_and_stays_it,
    the_second_object_of_a_blob_is_garbage_at_once,
    an_object_whose_blob_went_is_garbage,
    a_lost_object_is_garbage_and_its_blob_is_to_be_uploaded,
    content_that_is_in_an_object_is_not_lost_with_its_file,
    what_is_to_be_uploaded_comes_in_pages,
}

fn soon() -> SystemTime {
    SystemTime::now() + Duration::from_mins(10)
}

/// A repository has this blob, of 7 bytes, in no object.
async fn put(meta: &Meta, content: &str) {
    let blob = digest(content);
    meta.blob_link(&[name("p/r")], &blob, 7).await.unwrap();
}

/// What would be deleted now.
async fn garbage(meta: &Meta) -> Vec<Uuid> {
    let due = meta.garbage_due(SystemTime::now(), 10).await.unwrap();
    due.into_iter().map(|garbage| garbage.object).collect()
}

async fn an_upload_that_ends_is_the_blobs_object(database: Database) {
    let meta = &database.meta;
    put(meta, "layer").await;
    let (blob, object) = (digest("layer"), Uuid::now_v7());
    let local = Some(BlobObject {
        object: None,
        size_bytes: 7,
    });
    assert_eq!(meta.blob_object(&blob).await.unwrap(), local);
    assert_eq!(
        meta.blobs_without_object(None, 10).await.unwrap(),
        [(blob.clone(), 7)]
    );

    meta.upload_begin(object, 7, soon()).await.unwrap();
    assert!(meta.object_known(object).await.unwrap());
    assert!(
        meta.upload_alive(object, Some("m".into()), soon())
            .await
            .unwrap()
    );
    assert!(garbage(meta).await.is_empty());
    assert!(meta.upload_end(&blob, object).await.unwrap());

    let stored = Some(BlobObject {
        object: Some(object),
        size_bytes: 7,
    });
    assert_eq!(meta.blob_object(&blob).await.unwrap(), stored);
    assert_eq!(meta.blobs_without_object(None, 10).await.unwrap(), []);
    assert!(meta.object_known(object).await.unwrap());
    assert_eq!(meta.garbage_due(soon(), 10).await.unwrap(), []);
    assert_eq!(meta.blob_object(&digest("other")).await.unwrap(), None);
}

async fn an_upload_that_nobody_ends_is_garbage_and_stays_it(database: Database) {
    let meta = &database.meta;
    put(meta, "layer").await;
    let object = Uuid::now_v7();
    let past = SystemTime::now() - Duration::from_millis(1);
    meta.upload_begin(object, 7, soon()).await.unwrap();
    assert!(
        meta.upload_alive(object, Some("m".into()), past)
            .await
            .unwrap()
    );
    let due = meta.garbage_due(SystemTime::now(), 10).await.unwrap();
    assert_eq!(
        due,
        [Garbage {
            object,
            multipart: Some("m".into())
        }]
    );
    // Somebody may be deleting it just now: it cannot be had back.
    assert!(!meta.upload_alive(object, None, soon()).await.unwrap());
    assert!(!meta.upload_end(&digest("layer"), object).await.unwrap());
    assert_eq!(garbage(meta).await, [object]);
    meta.garbage_forget(object).await.unwrap();
    assert!(!meta.object_known(object).await.unwrap());
}

async fn the_second_object_of_a_blob_is_garbage_at_once(database: Database) {
    let meta = &database.meta;
    put(meta, "layer").await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    for object in [first, second] {
        meta.upload_begin(object, 7, soon()).await.unwrap();
    }
    assert!(meta.upload_end(&digest("layer"), first).await.unwrap());
    assert!(!meta.upload_end(&digest("layer"), second).await.unwrap());
    assert_eq!(garbage(meta).await, [second]);
}

async fn an_object_whose_blob_went_is_garbage(database: Database) {
    let meta = &database.meta;
    meta.manifest_commit(commit("p/r", "manifest"))
        .await
        .unwrap();
    let (manifest, object) = (digest("manifest"), Uuid::now_v7());
    meta.upload_begin(object, 123, soon()).await.unwrap();
    assert!(meta.upload_end(&manifest, object).await.unwrap());
    meta.image_delete(&name("p/r"), &manifest, Removal::Purge)
        .await
        .unwrap();
    assert_eq!(garbage(meta).await, [object]);

    // Too late for the row: the same.
    let late = Uuid::now_v7();
    meta.upload_begin(late, 123, soon()).await.unwrap();
    assert!(!meta.upload_end(&manifest, late).await.unwrap());
    assert_eq!(garbage(meta).await, [object, late]);
}

async fn a_lost_object_is_garbage_and_its_blob_is_to_be_uploaded(database: Database) {
    let meta = &database.meta;
    put(meta, "layer").await;
    let (blob, object) = (digest("layer"), Uuid::now_v7());
    meta.upload_begin(object, 7, soon()).await.unwrap();
    assert!(meta.upload_end(&blob, object).await.unwrap());
    // Of another one nobody speaks any more.
    meta.object_lose(&blob, Uuid::now_v7()).await.unwrap();
    assert!(garbage(meta).await.is_empty());
    meta.object_lose(&blob, object).await.unwrap();
    assert_eq!(garbage(meta).await, [object]);
    assert_eq!(
        meta.blobs_without_object(None, 10).await.unwrap(),
        [(blob, 7)]
    );
}

async fn content_that_is_in_an_object_is_not_lost_with_its_file(database: Database) {
    let meta = &database.meta;
    put(meta, "layer").await;
    let (blob, object) = (digest("layer"), Uuid::now_v7());
    meta.upload_begin(object, 7, soon()).await.unwrap();
    assert!(meta.upload_end(&blob, object).await.unwrap());
    assert!(!meta.content_lost(&blob).await.unwrap());
    assert!(meta.blob_linked(&name("p/r"), &blob).await.unwrap());
    assert!(garbage(meta).await.is_empty());

    meta.object_lose(&blob, object).await.unwrap();
    assert!(meta.content_lost(&blob).await.unwrap());
    assert!(!meta.blob_linked(&name("p/r"), &blob).await.unwrap());
}

async fn what_is_to_be_uploaded_comes_in_pages(database: Database) {
    let meta = &database.meta;
    put(meta, "a").await;
    for content in ["b", "c"] {
        put(meta, content).await;
    }
    let mut all: Vec<_> = ["a", "b", "c"].map(digest).into();
    all.sort_by_key(ToString::to_string);
    let mut seen: Vec<Digest> = Vec::new();
    loop {
        let page = meta.blobs_without_object(seen.last(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|(digest, _)| digest));
    }
    assert_eq!(seen, all);
}
