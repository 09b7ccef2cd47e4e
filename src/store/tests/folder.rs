//! What is in the folder, and who may use it.

use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use uuid::Uuid;

use super::{content, delete, fill, new_store, on_disk, put, read};
use crate::{
    oci::{Algorithm, Digest},
    store::{Store, StoreError, paths},
};

const SIZES: [usize; 6] = [0, 1, 32 * 1024, 32 * 1024 + 1, 256 * 1024, 1024 * 1024 + 3];

async fn round_trips_in(parent: &Path) {
    let folder = tempfile::tempdir_in(parent).unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    for (size, algorithm) in SIZES
        .into_iter()
        .zip([Algorithm::Sha256, Algorithm::Sha512].into_iter().cycle())
    {
        let bytes = content(size);
        let digest = algorithm.digest(&bytes);
        assert!(store.get(&digest).await.unwrap().is_none());
        let chunks = bytes.chunks(100_000).map(|c| bytes.slice_ref(c)).collect();
        let committed = fill(&store, &digest, chunks).await;
        assert_eq!(committed.len(), size as u64);
        assert_eq!(read(&committed, 0..committed.len()).await.unwrap(), bytes);
        let found = store.get(&digest).await.unwrap().unwrap();
        assert_eq!(found.read_all().await.unwrap(), bytes);
        delete(&store, &digest).await;

        put(&store, &digest, bytes.clone()).await;
        let found = store.get(&digest).await.unwrap().unwrap();
        assert_eq!(found.read_all().await.unwrap(), bytes);
    }
    drop(store);

    let store = Store::open(folder.path()).await.unwrap();
    for (size, algorithm) in SIZES
        .into_iter()
        .zip([Algorithm::Sha256, Algorithm::Sha512].into_iter().cycle())
    {
        let found = store.get(&algorithm.digest(&content(size))).await.unwrap();
        assert_eq!(found.unwrap().read_all().await.unwrap(), content(size));
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("spool"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn content_comes_back_as_it_went_in() {
    round_trips_in(&std::env::temp_dir()).await;
}

#[tokio::test]
async fn content_comes_back_from_a_file_system_without_nowait() {
    round_trips_in(Path::new("/dev/shm")).await;
}

#[tokio::test]
async fn wrong_content_is_not_put() {
    let (folder, store) = new_store().await;
    let digest = Digest::sha256(b"right");
    let error = store.put(&digest, Bytes::from("wrong")).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Mismatch { actual, .. } if actual == Digest::sha256(b"wrong"))
    );
    assert!(store.get(&digest).await.unwrap().is_none());
    assert!(!on_disk(&folder, &paths::blob(&digest)).exists());
}

#[tokio::test]
async fn content_present_is_not_written_again_unless_it_was_cut() {
    let (folder, store) = new_store().await;
    let bytes = content(100);
    let digest = Digest::sha256(&bytes);
    let path = on_disk(&folder, &paths::blob(&digest));
    put(&store, &digest, bytes.clone()).await;
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    let first = inode(&path);
    put(&store, &digest, bytes.clone()).await;
    assert_eq!(inode(&path), first);

    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(10)
        .unwrap();
    put(&store, &digest, bytes.clone()).await;
    let blob = store.get(&digest).await.unwrap().unwrap();
    assert_eq!(blob.read_all().await.unwrap(), bytes);
}

#[tokio::test]
async fn a_second_opening_is_refused_while_any_clone_or_spool_lives() {
    let (folder, store) = new_store().await;
    let refused = |path: PathBuf| async move {
        matches!(Store::open(&path).await, Err(StoreError::Locked { path: named }) if named == path)
    };
    let root = folder.path().to_owned();
    assert!(refused(root.clone()).await);
    let clone = store.clone();
    drop(store);
    assert!(refused(root.clone()).await);
    let spool = clone.spool(&Digest::sha256(b"abc")).await.unwrap();
    drop(clone);
    assert!(refused(root.clone()).await);
    drop(spool);
    Store::open(&root).await.unwrap();
}

#[tokio::test]
async fn a_deleted_blob_is_gone_but_for_those_who_read_it() {
    let (folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    put(&store, &digest, Bytes::from("abc")).await;
    let blob = store.get(&digest).await.unwrap().unwrap();
    delete(&store, &digest).await;
    assert!(store.get(&digest).await.unwrap().is_none());
    assert!(!on_disk(&folder, &paths::blob(&digest)).exists());
    assert_eq!(blob.read_all().await.unwrap(), "abc");
    delete(&store, &digest).await;
}

#[tokio::test]
async fn a_delete_whose_future_is_dropped_is_not_forgotten() {
    let (_folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    put(&store, &digest, Bytes::from("abc")).await;
    // One poll starts it, and then its future is gone.
    let claim = store.claim(&digest).await.unwrap();
    let _ = store.delete(&claim).now_or_never();
    let gone = async {
        while store.get(&digest).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_get_the_same_open_file() {
    let (folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    put(&store, &digest, Bytes::from("abc")).await;
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    let blobs = join_all((0..200).map(|_| store.get(&digest))).await;
    let later = store.get(&digest).await.unwrap().unwrap();
    let files: HashSet<_> = blobs
        .into_iter()
        .map(|blob| blob.unwrap().unwrap().file_address())
        .chain([later.file_address()])
        .collect();
    assert!(files.len() < 20, "opened {} times", files.len());
}

#[tokio::test]
async fn a_sweep_takes_what_is_old_and_what_cannot_be_resumed() {
    let (folder, store) = new_store().await;
    let [old, young, held] = [b"old", b"new", b"mid"].map(|text| Digest::sha256(text));
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    let mut spools = Vec::new();
    for digest in [&old, &young, &held] {
        let spool = store.spool(digest).await.unwrap();
        let spool = spool.append(vec![Bytes::from("x")]).await.unwrap();
        if digest != &young {
            spool.file().set_modified(long_ago).unwrap();
        }
        spools.push(spool);
    }
    let kept = spools.pop();
    spools.clear();
    let leftover = on_disk(&folder, &paths::put(Uuid::now_v7(), 0));
    let upload = Uuid::new_v4();
    let file = store.upload(upload, Algorithm::Sha256).await.unwrap();
    file.append(vec![Bytes::from("x")])
        .await
        .unwrap()
        .rest()
        .await
        .unwrap();
    let foreign = folder.path().join("spool/notes.txt");
    std::fs::write(&leftover, "x").unwrap();
    std::fs::write(&foreign, "x").unwrap();

    assert_eq!(store.sweep(Duration::from_hours(1)).await.unwrap(), 2);
    let exists = |digest| on_disk(&folder, &paths::spool(digest)).exists();
    assert!(!exists(&old) && !leftover.exists());
    assert!(exists(&young) && exists(&held) && foreign.exists());
    drop(kept);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert!(!exists(&young) && !exists(&held));
    // A client may go on with an upload, however little room there is.
    assert_eq!(store.upload_length(upload).await.unwrap(), 1);
    assert_eq!(
        store.uploads_sweep(Duration::from_hours(1)).await.unwrap(),
        0
    );
    assert_eq!(store.uploads_sweep(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(store.upload_length(upload).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_leaves_what_is_being_put_alone() {
    let (_folder, store) = new_store().await;
    let sweeps = async {
        for _ in 0..50 {
            assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
        }
    };
    let puts = async {
        for i in 0..50 {
            let bytes = content(i);
            put(&store, &Digest::sha256(&bytes), bytes).await;
        }
    };
    tokio::join!(sweeps, puts);
}
