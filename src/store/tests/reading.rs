//! Bodies and readers.

use std::{fs::File, future::poll_fn, io, os::unix::fs::FileExt, sync::Arc};

use futures_util::FutureExt;
use http_body::Body;
use http_body_util::BodyExt;
use proptest::prelude::*;
use rustix::fs::Advice;

use super::{content, fill, new_store, on_disk, place, read};
use crate::{
    oci::Digest,
    store::{Blob, PageReader, Store, paths, seal::Seal},
};

#[tokio::test]
async fn small_content_is_ready_at_the_first_poll() {
    // In memory, where reading never waits; on a disk the page cache decides.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::open(folder.path()).await.unwrap();
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
async fn a_layer_is_never_read_into_memory_as_a_manifest() {
    let (_folder, store) = new_store().await;
    for (length, is_read) in [(4 << 20, true), ((4 << 20) + 1, false)] {
        let bytes = content(length);
        let digest = Digest::sha256(&bytes);
        fill(&store, &digest, vec![bytes.clone()]).await;
        assert_eq!(store.read(&digest).await.unwrap(), is_read.then_some(bytes));
    }
}

#[tokio::test]
async fn content_that_left_the_page_cache_is_read_all_the_same() {
    let (_folder, store) = new_store().await;
    let bytes = content(9 * 1024 * 1024 + 5);
    let spool = store.spool(&Digest::sha256(&bytes)).await.unwrap();
    let spool = spool.append(vec![bytes.clone()]).await.unwrap();
    let file = spool.file();
    let blob = place(spool).await;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    assert!(read(&blob, 0..blob.len()).await.unwrap() == bytes);
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
    place(spool).await;
    let mut reader = PageReader::new(late, len - 3);
    let tail = poll_fn(|cx| reader.poll_read(cx, len)).await.unwrap();
    assert_eq!(tail, bytes.slice(bytes.len() - 3..));
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
        let mut body = blob.body(0..blob.len());
        let error = loop {
            match body.frame().await.expect("an end") {
                Ok(frame) => assert!(!frame.into_data().unwrap().is_empty()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_range_is_exactly_its_bytes(
        (len, a, b) in (0..700_000_usize).prop_flat_map(|len| (Just(len), 0..=len, 0..=len)),
        in_memory in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bytes = content(len);
            let file = if in_memory { tempfile::tempfile_in("/dev/shm") } else { tempfile::tempfile() };
            let file = Arc::new(file.unwrap());
            file.write_all_at(&bytes, 0).unwrap();
            let range = a.min(b)..a.max(b);
            let seal = Seal::new(&Digest::sha256(&bytes), len as u64);
            seal.put(&file).unwrap();
            let body = Blob::new(file, seal).body(range.start as u64..range.end as u64);
            prop_assert_eq!(body.size_hint().exact(), Some(range.len() as u64));
            let read = body.collect().await.unwrap().to_bytes();
            prop_assert!(read == bytes.slice(range));
            Ok(())
        })?;
    }
}
