//! The store as its callers see it.

mod damage;
mod folder;
mod reading;
mod spools;
mod uploads;

use std::{io, ops::Range, path::PathBuf};

use bytes::Bytes;
use http_body_util::BodyExt;
use tempfile::TempDir;

use super::{Blob, Spool, Store, paths};
use crate::oci::Digest;

/// Content without a period that a buffer or page size could hide.
fn content(len: usize) -> Bytes {
    (0..251_u8).cycle().take(len).collect()
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
    place(spool).await
}

async fn place(spool: Spool) -> Blob {
    let placed = spool.verify().await.unwrap().commit().await.unwrap();
    placed.settle().await
}

async fn put(store: &Store, digest: &Digest, bytes: Bytes) -> Blob {
    store.put(digest, bytes).await.unwrap().settle().await
}

async fn delete(store: &Store, digest: &Digest) {
    let claim = store.claim(digest).await.unwrap();
    store.delete(&claim).await.unwrap();
}

async fn read(blob: &Blob, range: Range<u64>) -> io::Result<Bytes> {
    Ok(blob.body(range).collect().await?.to_bytes())
}
