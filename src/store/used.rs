//! When local files were last used: by their time of access, which is set here, since many disks are mounted so that
//! reading does not. A write in ten minutes and file at most.

use std::{
    fs::{FileTimes, Metadata},
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Blob, Store, StoreError, folder::Folder, local::blocking, paths};
use crate::oci::{Algorithm, Digest};

const NOTED_EVERY: Duration = Duration::from_mins(10);

/// A blob's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    pub digest: Digest,
    /// Bytes.
    pub len: u64,
    pub used_at: SystemTime,
}

/// When the use of an open file was last noted, in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Noted(AtomicU64);

impl Noted {
    /// Is it time to note it again? Says so to one who asks.
    fn is_due(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let noted = self.0.load(Ordering::Relaxed);
        let due = now.abs_diff(noted) >= NOTED_EVERY.as_secs();
        let swap = |from| {
            self.0
                .compare_exchange(from, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        due && swap(noted).is_ok()
    }
}

impl Store {
    /// From now on the use of each file is noted.
    pub fn noting_uses(mut self) -> Self {
        self.notes_uses = true;
        self
    }

    /// The files of blobs in place whose hex begins with this byte, in no order.
    pub async fn local_files(
        &self,
        algorithm: Algorithm,
        first: u8,
    ) -> Result<Vec<LocalFile>, StoreError> {
        let store = self.clone();
        blocking(move || store.folder.local_files(algorithm, first)).await
    }
}

impl Blob {
    /// Notes that the file is used now, behind whoever uses it.
    pub(super) fn note_use(&self) {
        let now = SystemTime::now();
        if self.noted().is_due(now) {
            let blob = self.clone();
            tokio::task::spawn_blocking(move || {
                let times = FileTimes::new().set_accessed(now);
                if let Err(error) = blob.file().set_times(times) {
                    tracing::debug!(%error, "cannot note the use of a file");
                }
            });
        }
    }
}

impl Folder {
    fn local_files(&self, algorithm: Algorithm, first: u8) -> Result<Vec<LocalFile>, StoreError> {
        let mut files = Vec::new();
        for digest in self.blobs(algorithm, first)? {
            let path = self.path(&paths::blob(&digest));
            let look = std::fs::symlink_metadata(&path);
            match look.and_then(|metadata| Ok((metadata.len(), used_at(&metadata)?))) {
                Ok((len, used_at)) => files.push(LocalFile {
                    digest,
                    len,
                    used_at,
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("look at", &path, error)),
            }
        }
        Ok(files)
    }
}

fn used_at(metadata: &Metadata) -> io::Result<SystemTime> {
    metadata.accessed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_in_a_while() {
        let (noted, now) = (Noted::default(), SystemTime::now());
        assert!(noted.is_due(now));
        assert!(!noted.is_due(now + NOTED_EVERY / 2));
        assert!(noted.is_due(now + NOTED_EVERY));
        // The clock was set back.
        assert!(noted.is_due(now - NOTED_EVERY));
    }

    #[tokio::test]
    async fn a_file_tells_when_it_was_last_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = bytes::Bytes::from_static(b"content");
        let digest = Digest::sha256(&bytes);
        let store = Store::open(folder.path()).await.unwrap().noting_uses();
        store.put(&digest, bytes).await.unwrap().settle().await;
        let first = u8::from_str_radix(&digest.hex()[..2], 16).unwrap();
        let file = async || {
            let files = store.local_files(Algorithm::Sha256, first).await.unwrap();
            files.into_iter().next().unwrap()
        };
        let past = UNIX_EPOCH + Duration::from_hours(1);
        let path = store.folder.path(&paths::blob(&digest));
        let times = FileTimes::new().set_accessed(past);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_times(times)
            .unwrap();
        let before = file().await;
        assert_eq!(
            (&before.digest, before.len, before.used_at),
            (&digest, 7, past)
        );

        let begun = SystemTime::now() - Duration::from_secs(1);
        store.get(&digest).await.unwrap().unwrap();
        let noted = async {
            while file().await.used_at < begun {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), noted)
            .await
            .unwrap();
        // It still is what was verified.
        assert!(store.get(&digest).await.unwrap().is_some());
    }
}
