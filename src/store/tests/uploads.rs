//! Files of upload sessions.

use std::{os::unix::fs::MetadataExt, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::{oci::Algorithm, store::StoreError};

async fn appended(store: &Store, id: Uuid, text: &'static str) -> u64 {
    let file = store.upload(id, Algorithm::Sha256).await.unwrap();
    let file = file.append(vec![Bytes::from(text)]).await.unwrap();
    let received = file.received();
    file.rest().await.unwrap();
    received
}

#[tokio::test]
async fn a_session_goes_on_where_it_was_also_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let id = Uuid::new_v4();
    assert_eq!(store.upload_length(id).await.unwrap(), 0);
    assert_eq!(appended(&store, id, "one ").await, 4);
    assert_eq!(appended(&store, id, "two ").await, 8);
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.upload_length(id).await.unwrap(), 8);
    let file = store.upload(id, Algorithm::Sha256).await.unwrap();
    let file = file.append(vec![Bytes::from("three")]).await.unwrap();
    let digest = Digest::sha256(b"one two three");
    let placed = file.commit(&digest).await.unwrap();
    assert_eq!(placed.blob().len(), 13);
    placed.settle().await;
    let bytes = store.read(&digest).await.unwrap().unwrap();
    assert_eq!(&bytes[..], b"one two three");
    assert_eq!(store.upload_length(id).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_cut_off_is_not_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let id = Uuid::new_v4();
    appended(&store, id, "one two").await;
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.uploads().await.unwrap(), [id]);
    for (length, left) in [(9, 7), (4, 4)] {
        store.upload_cut(id, length).await.unwrap();
        assert_eq!(store.upload_length(id).await.unwrap(), left);
    }
    appended(&store, id, "three").await;
    let file = store.upload(id, Algorithm::Sha256).await.unwrap();
    let placed = file.commit(&Digest::sha256(b"one three")).await.unwrap();
    placed.settle().await;
}

#[tokio::test]
async fn another_algorithm_than_before_hashes_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let id = Uuid::new_v4();
    appended(&store, id, "some").await;
    let digest = Algorithm::Sha512.digest(b"some");
    let file = store.upload(id, digest.algorithm()).await.unwrap();
    drop(file.commit(&digest).await.unwrap());
    assert!(store.get(&digest).await.unwrap().is_some());
}

#[tokio::test]
async fn wrong_content_goes_and_what_is_here_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let digest = Digest::sha256(b"right");
    for (text, is_right) in [("right", true), ("wrong", false), ("right", true)] {
        let id = Uuid::new_v4();
        let file = store.upload(id, Algorithm::Sha256).await.unwrap();
        let file = file.append(vec![Bytes::from(text)]).await.unwrap();
        match file.commit(&digest).await {
            Ok(placed) => {
                assert!(is_right);
                placed.settle().await;
            }
            Err(StoreError::Mismatch { .. }) => assert!(!is_right),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(store.upload_length(id).await.unwrap(), 0);
        assert_eq!(store.read(&digest).await.unwrap().unwrap(), "right");
    }
}

#[tokio::test]
async fn a_step_holds_what_comes_after_the_rest_of_the_blob() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(b"0123456789");
    let tail = Bytes::from("789");
    let step = store.upload_step(Uuid::new_v4(), hasher, 7, tail);
    let file = step.await.unwrap();
    assert_eq!(file.received(), 10);
    let file = file.append(vec![Bytes::from("abc")]).await.unwrap();
    assert_eq!(file.received(), 13);
    assert_eq!(file.read(8..12).await.unwrap(), "89ab");
    let digest = file.hasher().clone().finish();
    assert_eq!(digest, Digest::sha256(b"0123456789abc"));
    file.discard().await.unwrap();
}

#[tokio::test]
async fn what_nobody_writes_to_is_swept_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (left, held) = (Uuid::new_v4(), Uuid::new_v4());
    appended(&store, left, "left").await;
    let file = store.upload(held, Algorithm::Sha256).await.unwrap();
    assert_eq!(
        store.uploads_sweep(Duration::from_secs(60)).await.unwrap(),
        0
    );
    assert_eq!(store.uploads_sweep(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(store.upload_length(left).await.unwrap(), 0);
    drop(file);
    assert_eq!(store.uploads_sweep(Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_being_filled_can_be_pushed_and_the_fill_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let digest = Digest::sha256(b"half, and half");
    let spool = store.spool(&digest).await.unwrap();
    let spool = spool.append(vec![Bytes::from("half, ")]).await.unwrap();
    let filled = spool.file();
    assert!(store.is_filling(&digest));

    let file = store
        .upload(Uuid::new_v4(), Algorithm::Sha256)
        .await
        .unwrap();
    let file = file
        .append(vec![Bytes::from("half, and half")])
        .await
        .unwrap();
    file.commit(&digest).await.unwrap().settle().await;
    let pushed = store.get(&digest).await.unwrap().unwrap();

    let spool = spool.append(vec![Bytes::from("and half")]).await.unwrap();
    let placed = spool.verify().await.unwrap().commit().await.unwrap();
    // What was there first stays, and who reads the other one reads on.
    let inode = |blob: &Blob| blob.file().metadata().unwrap().ino();
    assert_eq!(inode(placed.blob()), inode(&pushed));
    assert_eq!(filled.metadata().unwrap().len(), 14);
    placed.settle().await;
    assert!(!store.is_filling(&digest));
    let spool = folder.path().join("spool");
    assert_eq!(spool.read_dir().unwrap().count(), 0);
}
