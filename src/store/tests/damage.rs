//! Files that somebody else changed, and marks of what is not settled.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use http_body_util::BodyExt;

use super::{content, fill, new_store, on_disk, put, read};
use crate::{
    oci::Digest,
    store::{Store, paths},
};

fn cut(path: &Path) {
    open(path).set_len(1000).unwrap();
}

fn flip(path: &Path) {
    open(path).write_all_at(b"x", 5000).unwrap();
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::write(&other, content(600_000).slice(1..)).unwrap();
    fs::rename(other, path).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn open(path: &Path) -> File {
    File::options().write(true).open(path).unwrap()
}

struct Stored {
    folder: tempfile::TempDir,
    store: Store,
    digest: Digest,
    bytes: Bytes,
    path: PathBuf,
}

async fn stored() -> Stored {
    let (folder, store) = new_store().await;
    let bytes = content(600_000);
    let digest = Digest::sha256(&bytes);
    fill(&store, &digest, vec![bytes.clone()]).await;
    let path = on_disk(&folder, &paths::blob(&digest));
    Stored {
        folder,
        store,
        digest,
        bytes,
        path,
    }
}

#[tokio::test]
async fn a_file_that_somebody_damaged_is_not_found_and_goes() {
    for (name, damage) in [
        ("cut", cut as fn(&Path)),
        ("flip", flip),
        ("replace", replace),
        ("remove", remove),
    ] {
        for is_open in [true, false] {
            let Stored {
                folder,
                mut store,
                digest,
                bytes,
                path,
            } = stored().await;
            if is_open {
                store.get(&digest).await.unwrap().unwrap();
            } else {
                drop(store);
                store = Store::open(folder.path()).await.unwrap();
            }
            damage(&path);
            assert!(store.get(&digest).await.unwrap().is_none(), "{name}");
            assert!(!path.exists(), "{name}");
            let blob = fill(&store, &digest, vec![bytes.clone()]).await;
            assert!(read(&blob, 0..600_000).await.unwrap() == bytes);
        }
    }
}

#[tokio::test]
async fn a_file_that_was_touched_but_is_right_is_sealed_again() {
    let Stored {
        folder: _folder,
        store,
        digest,
        bytes,
        path,
    } = stored().await;
    let touch = || open(&path).set_modified(SystemTime::now()).unwrap();
    touch();
    let blob = store.get(&digest).await.unwrap().unwrap();
    assert!(read(&blob, 0..600_000).await.unwrap() == bytes);
    let sealed = fs::metadata(&path).unwrap().modified().unwrap();
    store.get(&digest).await.unwrap().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), sealed);
    assert!(sealed < SystemTime::now() - std::time::Duration::from_hours(24));
}

#[tokio::test]
async fn a_file_that_is_damaged_while_it_is_read_never_ends_well() {
    for damage in [flip as fn(&Path), cut] {
        let stored = stored().await;
        let blob = stored.store.get(&stored.digest).await.unwrap().unwrap();
        for range in [0..600_000, 100..400_000] {
            let mut body = blob.body(range);
            body.frame().await.unwrap().unwrap();
            damage(&stored.path);
            assert!(body.collect().await.is_err());
        }
    }
}

#[tokio::test]
async fn a_blob_deleted_by_the_store_is_read_to_its_end() {
    let Stored {
        folder: _folder,
        store,
        digest,
        bytes,
        ..
    } = stored().await;
    let blob = store.get(&digest).await.unwrap().unwrap();
    super::delete(&store, &digest).await;
    assert!(read(&blob, 0..600_000).await.unwrap() == bytes);
}

#[tokio::test]
async fn what_lost_bits_without_a_write_is_found_by_who_reads_it() {
    let Stored {
        folder: _folder,
        store,
        digest,
        path,
        ..
    } = stored().await;
    let sealed = fs::metadata(&path).unwrap().modified().unwrap();
    flip(&path);
    open(&path).set_modified(sealed).unwrap();
    assert!(store.get(&digest).await.unwrap().is_some());
    assert!(store.distrust(&digest).await.unwrap().is_none());
    assert!(store.get(&digest).await.unwrap().is_none() && !path.exists());
}

#[tokio::test]
async fn a_damaged_manifest_is_not_read() {
    let (folder, store) = new_store().await;
    let digest = Digest::sha256(b"{}");
    put(&store, &digest, Bytes::from("{}")).await;
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    fs::write(on_disk(&folder, &paths::blob(&digest)), "[]").unwrap();
    assert_eq!(store.read(&digest).await.unwrap(), None);
    put(&store, &digest, Bytes::from("{}")).await;
    assert_eq!(store.read(&digest).await.unwrap().unwrap(), "{}");
}

#[tokio::test]
async fn what_is_not_settled_is_known_to_the_next_process() {
    let (folder, store) = new_store().await;
    let [kept, left, filled] =
        ["kept", "left", "filled"].map(|text| Digest::sha256(text.as_bytes()));
    put(&store, &kept, Bytes::from("kept")).await;
    drop(store.put(&left, Bytes::from("left")).await.unwrap());
    let spool = store.spool(&filled).await.unwrap();
    let spool = spool.append(vec![Bytes::from("filled")]).await.unwrap();
    let placed = spool.verify().await.unwrap().commit().await.unwrap();
    assert!(store.try_claim(&filled).is_none());
    drop((placed, store));

    let store = Store::open(folder.path()).await.unwrap();
    let mut unsettled = store.unsettled().await.unwrap();
    unsettled.sort();
    let mut expected = [left.clone(), filled];
    expected.sort();
    assert_eq!(unsettled, expected);
    for digest in expected {
        assert!(store.get(&digest).await.unwrap().is_some());
        let claim = store.try_claim(&digest).unwrap();
        store.settle(&claim).await.unwrap();
    }
    assert_eq!(store.unsettled().await.unwrap(), []);
}

#[tokio::test]
async fn spools_that_nobody_writes_to_are_measured() {
    let (_folder, store) = new_store().await;
    let spool = store.spool(&Digest::sha256(b"one")).await.unwrap();
    let spool = spool.append(vec![content(100_000)]).await.unwrap();
    assert_eq!(store.left_bytes().await.unwrap(), 0);
    drop(spool);
    // The last step on its thread may still hold the claim.
    while store.left_bytes().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    assert!((100_000..200_000).contains(&store.left_bytes().await.unwrap()));
    assert!(store.free_bytes().await.unwrap() > 0);
}
