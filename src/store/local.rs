//! The store on local files.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use rustix::process::Resource;

use super::{
    Blob, Spool, StoreError,
    claims::Claims,
    folder::Folder,
    hot::Hot,
    open_files::OpenFiles,
    paths::{self, Spooled},
};
use crate::oci::{Digest, Manifest};

/// Blobs kept open, at most.
const MAX_OPEN_FILES: u64 = 1024;
/// How long a spool waits for the last step of an earlier one of the same digest.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);

/// Content under one folder; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) folder: Arc<Folder>,
    pub(super) open_files: Arc<OpenFiles>,
    claims: Arc<Claims>,
    hot: Arc<Hot>,
}

impl Store {
    /// Makes the folders and locks them against a second process until the last clone (and spool) is dropped.
    pub async fn open(root: &Path) -> Result<Self, StoreError> {
        let root = root.to_owned();
        let folder = blocking(move || Folder::open(&root)).await?;
        Ok(Self {
            folder: Arc::new(folder),
            open_files: Arc::new(OpenFiles::new(open_file_capacity())),
            claims: Arc::default(),
            hot: Arc::new(Hot::new()),
        })
    }

    /// The blob, opened, if it is here. Open files are kept in a bounded cache.
    pub async fn get(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        if let Some(blob) = self.open_files.get(digest) {
            return Ok(Some(blob));
        }
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || store.get_from_disk(&digest)).await
    }

    fn get_from_disk(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        // One of many that asked at once may have opened it by now.
        if let Some(blob) = self.open_files.get(digest) {
            return Ok(Some(blob));
        }
        let epoch = self.open_files.epoch();
        let found = self.folder.open_blob(digest)?;
        if let Some(blob) = &found {
            self.open_files.opened(epoch, digest, blob);
        }
        Ok(found)
    }

    /// Small content (a manifest), from memory if it was read before; `None` if it is not here, or is more than
    /// [`Manifest::MAX_LENGTH`]: any client may ask for a layer as if it were a manifest.
    pub async fn read(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        if let Some(bytes) = self.hot.get(digest).await {
            return Ok(Some(bytes));
        }
        let blob = self.get(digest).await?;
        let Some(blob) = blob.filter(|blob| blob.len() <= Manifest::MAX_LENGTH as u64) else {
            return Ok(None);
        };
        let bytes = blob.read_all().await.map_err(|source| StoreError::Io {
            action: "read",
            path: self.folder.path(&paths::blob(digest)),
            source,
        })?;
        self.hot.put(digest, bytes.clone()).await;
        Ok(Some(bytes))
    }

    /// Puts small content (a manifest) in one go: verified, synced, renamed into place. Present already: nothing is
    /// written. If the future is dropped all of it still happens.
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<(), StoreError> {
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || store.put_on_disk(&digest, &bytes)).await
    }

    fn put_on_disk(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let actual = digest.algorithm().digest(bytes);
        if actual != *digest {
            let expected = digest.clone();
            return Err(StoreError::Mismatch { expected, actual });
        }
        let present = self.folder.open_blob(digest)?;
        if present.is_some_and(|blob| blob.len() == bytes.len() as u64) {
            // It may have been put in place a moment ago, by somebody who is still syncing.
            return self.folder.sync_name(digest);
        }
        let epoch = self.open_files.epoch();
        let blob = self.folder.put(digest, bytes)?;
        self.open_files.placed(epoch, digest, &blob);
        Ok(())
    }

    /// Opens the spool of a digest, with what an earlier fill left of it: that is read and hashed anew, at the speed of
    /// the hash. One at a time per digest, and the caller sees to that; here one waits for the other, for a while.
    pub async fn spool(&self, digest: &Digest) -> Result<Spool, StoreError> {
        let claim = tokio::time::timeout(CLAIM_TIMEOUT, self.claims.claim(digest));
        let claim = claim.await.map_err(|_elapsed| StoreError::Io {
            action: "claim",
            path: self.folder.path(&paths::spool(digest)),
            source: io::ErrorKind::ResourceBusy.into(),
        })?;
        let store = self.clone();
        blocking(move || Spool::open(store, claim)).await
    }

    /// Deletes a blob. Readers that have it open go on. Absent: nothing happens. If the future is dropped the blob is
    /// still deleted.
    pub async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        self.hot.remove(digest).await;
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || {
            let deleted = store.folder.delete(&paths::blob(&digest));
            store.open_files.deleted(&digest);
            deleted.map(drop)
        })
        .await
    }

    /// Deletes spools that nobody wrote to for `max_age`, and leftovers that cannot be resumed; returns how many. What
    /// is being written now is left alone.
    pub async fn sweep(&self, max_age: Duration) -> Result<u64, StoreError> {
        let store = self.clone();
        blocking(move || store.sweep_on_disk(max_age)).await
    }

    fn sweep_on_disk(&self, max_age: Duration) -> Result<u64, StoreError> {
        let mut swept = 0;
        for (key, spooled) in self.folder.spooled()? {
            // The claim, if one is needed, is held until the file is gone.
            let _claim = match spooled {
                Spooled::Put(_) => None,
                Spooled::Fill(digest) => match self.claims.try_claim(&digest) {
                    Some(claim) if self.folder.age(&key)? >= Some(max_age) => Some(claim),
                    _ => continue,
                },
            };
            swept += u64::from(self.folder.delete(&key)?);
        }
        Ok(swept)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// A quarter of what the process may open: connections need the rest.
fn open_file_capacity() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    let capacity = limit.map_or(MAX_OPEN_FILES, |limit| {
        (limit / 4).clamp(16, MAX_OPEN_FILES)
    });
    usize::try_from(capacity).expect("at most 1024")
}

/// Runs a step on a blocking thread. It reaches its end even if the future is dropped.
pub(super) async fn blocking<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(step)
        .await
        // Never cancelled but by the end of the runtime, which polls nobody any more.
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
