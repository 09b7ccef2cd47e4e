//! Objects on a real S3 server.

use std::{io::Write as _, sync::Arc};

use futures_util::TryStreamExt;

use super::*;
use crate::{
    config::{self, ObjectStorage},
    oci::Digest,
    store::{Blob, seal::Seal},
};

#[path = "../../../../tests/it/harness/bucket.rs"]
pub(crate) mod bucket;
#[path = "../../../../tests/it/harness/line.rs"]
mod line;

mod outages;
mod uploads;

use bucket::Bucket;
use line::{Line, Trouble};

const MIB: usize = 1024 * 1024;

/// As a configuration file would say it.
pub(crate) fn storage(settings: &str) -> ObjectStorage {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrepot.toml");
    std::fs::write(&file, format!("[storage]\n{settings}")).unwrap();
    let config = config::load(Some(&file), []).unwrap_or_else(|error| panic!("{error}"));
    config.storage.objects.expect("`url` is set")
}

fn objects(bucket: &Bucket) -> Objects {
    Objects::new(&storage(&bucket.settings("")), TaskTracker::new()).unwrap()
}

/// A local file with these bytes.
fn blob(bytes: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let seal = Seal::new(&Digest::sha256(bytes), bytes.len() as u64);
    Blob::new(Arc::new(file), seal)
}

/// Bytes that repeat themselves nowhere near a part's size.
fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0])
        .collect()
}

impl Objects {
    pub(crate) async fn write(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError> {
        let (id, digest) = (ObjectId::new(), Digest::sha256(bytes));
        self.begin(id, &digest, blob(bytes)).await?.finish().await?;
        Ok(id)
    }

    async fn read_all(&self, id: ObjectId, range: std::ops::Range<usize>, size: usize) -> Vec<u8> {
        let range = range.start as u64..range.end as u64;
        let mut body = self.read(id, range, size as u64).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        bytes
    }

    /// Waits until uploads that were dropped are aborted.
    async fn settle(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

#[tokio::test]
async fn content_of_any_size_is_read_back() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    for length in [0, 1, MIB, 16 * MIB, 16 * MIB + 1, 40 * MIB + 7] {
        let bytes = content(length);
        let id = objects.write(&bytes).await.unwrap();
        assert!(
            objects.read_all(id, 0..length, length).await == bytes,
            "{length}"
        );
        let middle = length / 3..length - length / 4;
        let part = objects.read_all(id, middle.clone(), length).await;
        assert!(part == bytes[middle], "{length}");
        assert!(
            objects
                .read_all(id, length..length, length)
                .await
                .is_empty()
        );
    }
    assert_eq!(bucket.unfinished(), 0);
}

#[tokio::test]
async fn keys_are_ids_below_the_prefix() {
    let bucket = Bucket::new();
    for prefix in ["", "a/b"] {
        let storage = storage(&bucket.settings(prefix));
        let objects = Objects::new(&storage, TaskTracker::new()).unwrap();
        let id = objects.write(b"content").await.unwrap();
        let key = format!("{prefix}/objects/{id}");
        let keys: Vec<_> = bucket.files().into_iter().map(|(key, _)| key).collect();
        assert!(
            keys.contains(&key.trim_start_matches('/').to_owned()),
            "{keys:?}"
        );
    }
}

#[tokio::test]
async fn a_list_has_the_objects_and_nothing_else() {
    let bucket = Bucket::new();
    let (ours, theirs) = (
        storage(&bucket.settings("ours")),
        storage(&bucket.settings("theirs")),
    );
    let ours = Objects::new(&ours, TaskTracker::new()).unwrap();
    let theirs = Objects::new(&theirs, TaskTracker::new()).unwrap();
    let written = [
        ours.write(b"one").await.unwrap(),
        ours.write(b"three").await.unwrap(),
    ];
    theirs.write(b"other").await.unwrap();
    let beside = bucket.files()[0].1.with_file_name("notes.txt");
    std::fs::write(beside, "not an object").unwrap();

    let listed: Vec<Listed> = ours.list().try_collect().await.unwrap();
    let ids: Vec<_> = listed.iter().map(|listed| listed.id).collect();
    let sizes: Vec<_> = listed.iter().map(|listed| listed.size_bytes).collect();
    assert_eq!((&ids[..], &sizes[..]), (&written[..], &[3, 5][..]));
    let age = listed[0].modified.elapsed().unwrap_or_default();
    assert!(age < Duration::from_mins(10), "{age:?}");
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_may_be_deleted_again() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    let id = objects.write(b"content").await.unwrap();
    objects.delete(id).await.unwrap();
    assert!(bucket.files().is_empty());
    objects.delete(id).await.unwrap();
    let read = objects.read(id, 0..7, 7).await;
    assert!(
        matches!(read, Err(ObjectError::NotFound { .. })),
        "{read:?}"
    );
}

#[tokio::test]
async fn an_object_that_is_not_as_long_as_it_should_be_is_not_read() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    let id = objects.write(b"content").await.unwrap();
    for size in [6, 8] {
        let read = objects.read(id, 1..6, size).await;
        assert!(
            matches!(read, Err(ObjectError::WrongSize { actual: 7, .. })),
            "{read:?}"
        );
    }
}

#[test]
fn options_that_do_not_go_together_are_told_at_the_start() {
    let storage = storage(
        "url = \"s3://b\"\n[storage.options]\ns3_express = true\nregion = \"r\"\n\
         access_key_id = \"a\"\nsecret_access_key = \"hidden\"",
    );
    let error = Objects::new(&storage, TaskTracker::new()).unwrap_err();
    assert!(
        error.to_string().starts_with("`storage.options`: "),
        "{error}"
    );
    assert!(!error.to_string().contains("hidden"), "{error}");
}
