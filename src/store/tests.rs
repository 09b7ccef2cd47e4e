//! The store as its callers see it.

use std::{
    fs::File,
    future::poll_fn,
    io,
    ops::Range,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http_body::Body;
use http_body_util::BodyExt;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::oci::{Algorithm, Digest};

const SIZES: [usize; 6] = [0, 1, 32 * 1024, 32 * 1024 + 1, 256 * 1024, 1024 * 1024 + 3];

/// Content without a period that a buffer or page size could hide.
fn content(len: usize) -> Bytes {
    (0..len).map(|i| (i % 251) as u8).collect()
}

async fn new_store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store)
}

fn on_disk(folder: &TempDir, key: &object_store::path::Path) -> PathBuf {
    paths::on_disk(folder.path(), key)
}

async fn fill(store: &Store, digest: &Digest, chunks: Vec<Bytes>) -> Blob {
    let spool = store.spool(digest).await.unwrap();
    let spool = spool.append(chunks).await.unwrap();
    spool.verify().await.unwrap().commit().await.unwrap()
}

async fn read(blob: &Blob, range: Range<u64>) -> io::Result<Bytes> {
    Ok(blob.body(range).collect().await?.to_bytes())
}

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
        store.delete(&digest).await.unwrap();

        store.put(&digest, bytes.clone()).await.unwrap();
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
async fn small_content_is_ready_at_the_first_poll() {
    let (_folder, store) = new_store().await;
    let bytes = content(32 * 1024);
    let blob = fill(&store, &Digest::sha256(&bytes), vec![bytes.clone()]).await;
    let mut body = blob.body(0..blob.len());
    assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
    let frame = body.frame().now_or_never().expect("ready").unwrap();
    assert_eq!(frame.unwrap().into_data().unwrap(), bytes);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.frame().await.is_none());
    assert!(blob.body(7..7).is_end_stream());
}

#[tokio::test]
async fn content_that_left_the_page_cache_is_read_all_the_same() {
    let (_folder, store) = new_store().await;
    let bytes = content(9 * 1024 * 1024 + 5);
    let spool = store.spool(&Digest::sha256(&bytes)).await.unwrap();
    let spool = spool.append(vec![bytes.clone()]).await.unwrap();
    let file = spool.file();
    let blob = spool.verify().await.unwrap().commit().await.unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(read(&blob, 0..blob.len()).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_dropped_spool_is_resumed() {
    let (folder, store) = new_store().await;
    let bytes = content(3 * 1024 * 1024 + 7);
    let digest = Digest::sha256(&bytes);
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.written(), 0);
    let spool = spool.append(vec![bytes.slice(..1_500_000)]).await.unwrap();
    drop((spool, store));

    let store = Store::open(folder.path()).await.unwrap();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.written(), 1_500_000);
    assert_eq!(*spool.progress().borrow(), 1_500_000);
    let spool = spool.append(vec![bytes.slice(1_500_000..)]).await.unwrap();
    let verified = spool.verify().await.unwrap();
    assert_eq!(verified.len(), bytes.len() as u64);
    assert!(verified.blob().read_all().await.unwrap() == bytes);
    let blob = verified.commit().await.unwrap();
    assert!(blob.read_all().await.unwrap() == bytes);
}

#[tokio::test]
async fn a_truncated_spool_goes_on_from_what_is_really_there() {
    let (folder, store) = new_store().await;
    let bytes = content(300_000);
    let digest = Digest::sha256(&bytes);
    let spool = store.spool(&digest).await.unwrap();
    drop(spool.append(vec![bytes.slice(..200_000)]).await.unwrap());
    let path = on_disk(&folder, &paths::spool(&digest));
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(1_000)
        .unwrap();

    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.written(), 1_000);
    let spool = spool.append(vec![bytes.slice(1_000..)]).await.unwrap();
    let blob = spool.verify().await.unwrap().commit().await.unwrap();
    assert!(blob.read_all().await.unwrap() == bytes);
}

#[tokio::test]
async fn a_corrupted_spool_fails_to_verify_and_is_deleted() {
    let (folder, store) = new_store().await;
    let bytes = content(300_000);
    let digest = Digest::sha256(&bytes);
    let spool = store.spool(&digest).await.unwrap();
    drop(spool.append(vec![bytes.slice(..200_000)]).await.unwrap());
    let path = on_disk(&folder, &paths::spool(&digest));
    let mut left = std::fs::read(&path).unwrap();
    left[100_000] ^= 1;
    std::fs::write(&path, left).unwrap();

    let spool = store.spool(&digest).await.unwrap();
    let spool = spool.append(vec![bytes.slice(200_000..)]).await.unwrap();
    let error = spool.verify().await.err().unwrap();
    assert!(matches!(error, StoreError::Mismatch { expected, .. } if expected == digest));
    assert!(!path.exists());
    assert!(store.get(&digest).await.unwrap().is_none());
    assert_eq!(store.spool(&digest).await.unwrap().written(), 0);
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
    store.put(&digest, bytes.clone()).await.unwrap();
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let first = inode(&path);
    store.put(&digest, bytes.clone()).await.unwrap();
    assert_eq!(inode(&path), first);

    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(10)
        .unwrap();
    store.put(&digest, bytes.clone()).await.unwrap();
    let blob = store.get(&digest).await.unwrap().unwrap();
    assert_eq!(blob.read_all().await.unwrap(), bytes);
}

#[tokio::test]
async fn a_discarded_spool_leaves_its_readers_their_bytes() {
    let (_folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    let spool = store.spool(&digest).await.unwrap();
    let spool = spool.append(vec![Bytes::from("wrong")]).await.unwrap();
    let file = spool.file();
    spool.discard().await.unwrap();

    let blob = fill(&store, &digest, vec![Bytes::from("abc")]).await;
    assert_eq!(blob.read_all().await.unwrap(), "abc");
    let mut reader = PageReader::new(file, 0);
    let read = poll_fn(|cx| reader.poll_read(cx, 5)).await.unwrap();
    assert_eq!(read, "wrong");
}

#[tokio::test]
async fn a_reader_follows_a_growing_spool_through_its_rename() {
    let (_folder, store) = new_store().await;
    let bytes = content(5 * 1024 * 1024 + 11);
    let digest = Digest::sha256(&bytes);
    let mut spool = store.spool(&digest).await.unwrap();
    let (mut progress, file, len) = (spool.progress(), spool.file(), bytes.len() as u64);
    let follower = tokio::spawn(async move {
        let mut reader = PageReader::new(file, 0);
        let mut seen = Vec::new();
        while reader.position() < len {
            let end = *progress.borrow_and_update();
            if reader.position() == end {
                progress.changed().await.unwrap();
                continue;
            }
            seen.extend_from_slice(&poll_fn(|cx| reader.poll_read(cx, end)).await.unwrap());
        }
        seen
    });
    let late = spool.file();
    for chunk in bytes.chunks(70_001) {
        spool = spool.append(vec![bytes.slice_ref(chunk)]).await.unwrap();
    }
    // The spool, and with it the sender of progress, lives until the follower has seen the end.
    assert!(follower.await.unwrap() == bytes);
    spool.verify().await.unwrap().commit().await.unwrap();
    let mut reader = PageReader::new(late, len - 3);
    let tail = poll_fn(|cx| reader.poll_read(cx, len)).await.unwrap();
    assert_eq!(tail, bytes.slice(bytes.len() - 3..));
}

#[tokio::test]
async fn many_and_empty_chunks_are_appended_in_order() {
    let (_folder, store) = new_store().await;
    let bytes = content(5_000);
    let mut chunks = vec![Bytes::new()];
    for chunk in bytes.chunks(2) {
        chunks.extend([bytes.slice_ref(chunk), Bytes::new()]);
    }
    let blob = fill(&store, &Digest::sha256(&bytes), chunks).await;
    assert_eq!(blob.read_all().await.unwrap(), bytes);

    let spool = store.spool(&Digest::sha256(b"")).await.unwrap();
    let spool = spool.append(vec![]).await.unwrap();
    let spool = spool.append(vec![Bytes::new()]).await.unwrap();
    assert_eq!(spool.verify().await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_append_whose_future_is_dropped_is_written_before_the_next_spool_begins() {
    let (_folder, store) = new_store().await;
    let bytes = content(8 * 1024 * 1024);
    let digest = Digest::sha256(&bytes);
    let spool = store.spool(&digest).await.unwrap();
    assert!(spool.append(vec![bytes.clone()]).now_or_never().is_none());
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.written(), bytes.len() as u64);
    spool.verify().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_is_never_given_back_is_not_waited_for_without_end() {
    let (_folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    let _held = store.spool(&digest).await.unwrap();
    let error = store.spool(&digest).await.err().unwrap();
    assert!(
        matches!(error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
    );
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    let (folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    symlink("/dev/full", on_disk(&folder, &paths::spool(&digest))).unwrap();
    let spool = store.spool(&digest).await.unwrap();
    let error = spool.append(vec![Bytes::from("abc")]).await.err().unwrap();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
}

#[tokio::test]
async fn a_file_cut_short_is_an_error_and_never_an_early_end() {
    let (folder, store) = new_store().await;
    let bytes = content(600_000);
    let digest = Digest::sha256(&bytes);
    let blob = fill(&store, &digest, vec![bytes.clone()]).await;
    let path = on_disk(&folder, &paths::blob(&digest));
    let file = File::options().write(true).open(&path).unwrap();
    for len in [599_999, 256 * 1024, 1, 0] {
        file.set_len(len).unwrap();
        let error = read(&blob, 0..blob.len()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len}");
    }
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
    store.put(&digest, Bytes::from("abc")).await.unwrap();
    let blob = store.get(&digest).await.unwrap().unwrap();
    store.delete(&digest).await.unwrap();
    assert!(store.get(&digest).await.unwrap().is_none());
    assert!(!on_disk(&folder, &paths::blob(&digest)).exists());
    assert_eq!(blob.read_all().await.unwrap(), "abc");
    store.delete(&digest).await.unwrap();
}

#[tokio::test]
async fn a_delete_whose_future_is_dropped_is_not_forgotten() {
    let (_folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    store.put(&digest, Bytes::from("abc")).await.unwrap();
    assert!(store.delete(&digest).now_or_never().is_none());
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
    store.put(&digest, Bytes::from("abc")).await.unwrap();
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    let blobs = join_all((0..200).map(|_| store.get(&digest))).await;
    let later = store.get(&digest).await.unwrap().unwrap();
    let files: std::collections::HashSet<_> = blobs
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
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
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
    let leftover = on_disk(&folder, &paths::put(uuid::Uuid::now_v7(), 0));
    let foreign = folder.path().join("spool/notes.txt");
    std::fs::write(&leftover, "x").unwrap();
    std::fs::write(&foreign, "x").unwrap();

    assert_eq!(store.sweep(Duration::from_secs(3600)).await.unwrap(), 2);
    let exists = |digest| on_disk(&folder, &paths::spool(digest)).exists();
    assert!(!exists(&old) && !leftover.exists());
    assert!(exists(&young) && exists(&held) && foreign.exists());
    drop(kept);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert!(!exists(&young) && !exists(&held));
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
            store.put(&Digest::sha256(&bytes), bytes).await.unwrap();
        }
    };
    tokio::join!(sweeps, puts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_range_is_exactly_its_bytes(
        len in 0..700_000_usize,
        ends in (0.0..=1.0, 0.0..=1.0),
        in_memory in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bytes = content(len);
            let file = if in_memory { tempfile::tempfile_in("/dev/shm") } else { tempfile::tempfile() };
            let file = Arc::new(file.unwrap());
            std::os::unix::fs::FileExt::write_all_at(&*file, &bytes, 0).unwrap();
            let at = |part: f64| (part * len as f64) as usize;
            let range = at(f64::min(ends.0, ends.1))..at(f64::max(ends.0, ends.1));
            let body = Blob::new(file, len as u64).body(range.start as u64..range.end as u64);
            prop_assert_eq!(body.size_hint().exact(), Some(range.len() as u64));
            let read = body.collect().await.unwrap().to_bytes();
            prop_assert!(read == bytes.slice(range));
            Ok(())
        })?;
    }
}
