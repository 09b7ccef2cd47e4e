//! Growing, resuming, discarding.

use std::{fs::File, future::poll_fn, io, os::unix::fs::symlink};

use bytes::Bytes;
use futures_util::FutureExt;

use super::{content, fill, new_store, on_disk, place};
use crate::{
    oci::Digest,
    store::{AppendError, PageReader, Store, StoreError, paths},
};

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
    let blob = verified.commit().await.unwrap().settle().await;
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
    let blob = place(spool).await;
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
    let error = spool.verify().await.unwrap_err();
    assert!(matches!(error, StoreError::Mismatch { expected, .. } if expected == digest));
    assert!(!path.exists());
    assert!(store.get(&digest).await.unwrap().is_none());
    assert_eq!(store.spool(&digest).await.unwrap().written(), 0);
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
    // One poll starts it, and then its future is gone.
    let _ = spool.append(vec![bytes.clone()]).now_or_never();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.written(), bytes.len() as u64);
    spool.verify().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_is_never_given_back_is_not_waited_for_without_end() {
    let (_folder, store) = new_store().await;
    let digest = Digest::sha256(b"abc");
    let _held = store.spool(&digest).await.unwrap();
    let error = store.spool(&digest).await.unwrap_err();
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
    let AppendError { error, spool } = spool.append(vec![Bytes::from("abc")]).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    // Whoever goes on without the file has the hash of all that came.
    let spool = spool.take_in(vec![Bytes::from("def")]).await;
    assert_eq!(spool.hasher().finish(), Digest::sha256(b"abcdef"));
}
