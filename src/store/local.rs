//! The store on local files.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use rustix::process::Resource;

use super::{
    Blob, Placed, Spool, StoreError,
    claims::{Claim, Claims},
    folder::Folder,
    hot::Hot,
    open_files::OpenFiles,
    paths::{self, Spooled},
    seal::Condition,
    upload::Uploads,
    writer::rehash,
};
use crate::oci::{Algorithm, Digest, Manifest};

/// Blobs kept open, at most.
const MAX_OPEN_FILES: u64 = 1024;
/// How long one waits for another's last step with the same digest.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);

/// Content under one folder; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) folder: Arc<Folder>,
    pub(super) open_files: Arc<OpenFiles>,
    /// Who changes rows and file of a digest.
    claims: Arc<Claims<Digest>>,
    /// Who writes to the spool of a digest: for as long as its fill takes, while others may push it.
    spools: Arc<Claims<Digest>>,
    pub(super) uploads: Arc<Uploads>,
    hot: Arc<Hot>,
    pub(super) notes_uses: bool,
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
            spools: Arc::default(),
            uploads: Arc::default(),
            hot: Arc::new(Hot::new()),
            notes_uses: false,
        })
    }

    /// The blob, opened, if it is here. Open files are kept in a bounded cache. A file that somebody else changed is
    /// hashed first, and deleted if it is not right.
    pub async fn get(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let found = self.find(digest).await?;
        if let Some(blob) = found.as_ref().filter(|_| self.notes_uses) {
            blob.note_use();
        }
        Ok(found)
    }

    async fn find(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        if let Some(blob) = self.open_files.get(digest) {
            if blob.condition() == Condition::Sealed {
                return Ok(Some(blob));
            }
            self.open_files.deleted(digest);
        }
        let (store, wanted) = (self.clone(), digest.clone());
        match blocking(move || store.get_from_disk(&wanted)).await? {
            Some(blob) if blob.condition() == Condition::Open => self.recheck(digest).await,
            found => Ok(found),
        }
    }

    fn get_from_disk(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        // One of many that asked at once may have opened it by now.
        if let Some(blob) = self.open_files.get(digest) {
            return Ok(Some(blob));
        }
        let epoch = self.open_files.epoch();
        let found = self.folder.open_blob(digest)?;
        if let Some(blob) = &found
            && blob.condition() == Condition::Sealed
        {
            self.open_files.opened(epoch, digest, blob);
        }
        Ok(found)
    }

    /// Opens a blob that is in place, sealed or not, and does not keep it open.
    pub async fn peek(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || store.folder.open_blob(&digest)).await
    }

    /// Hashes a blob although it has its seal, for whoever has read something else; gives it back if it is right, and
    /// deletes it if it is not.
    pub async fn distrust(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let (store, wanted) = (self.clone(), digest.clone());
        blocking(move || store.folder.break_seal(&wanted)).await?;
        self.recheck(digest).await
    }

    /// Hashes a blob that lost its seal; gives it back if it is right, and deletes it if it is not.
    async fn recheck(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        // Somebody may just be putting it in place.
        let claim = self.claim(digest).await?;
        let store = self.clone();
        let found = blocking(move || store.recheck_on_disk(&claim)).await?;
        if found.is_none() {
            self.hot.remove(digest).await;
        }
        Ok(found)
    }

    fn recheck_on_disk(&self, claim: &Claim) -> Result<Option<Blob>, StoreError> {
        let digest = claim.digest();
        let Some(blob) = self.folder.open_blob(digest)? else {
            return Ok(None);
        };
        if blob.condition() == Condition::Sealed {
            // It was just being put in place, or somebody else has rechecked it.
            return Ok(Some(blob));
        }
        let path = self.folder.path(&paths::blob(digest));
        let mut hasher = digest.algorithm().hasher();
        // A file that cannot be read is as good as none.
        let read = rehash(blob.file(), &mut hasher);
        if read.is_ok() && hasher.finish() == *digest {
            tracing::info!(%digest, "a file that somebody touched is right");
            blob.seal().map_err(|e| StoreError::io("seal", &path, e))?;
            return Ok(Some(blob));
        }
        tracing::warn!(%digest, path = %path.display(), "a blob's file is damaged; it is deleted, and fetched anew when it is wanted");
        self.delete_from_disk(digest)?;
        Ok(None)
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
        let bytes = match blob.read_all().await {
            Ok(bytes) => bytes,
            // Changed just now, or the disk gives it back no more.
            Err(_) => match self.recheck(digest).await? {
                None => return Ok(None),
                Some(blob) => blob.read_all().await.map_err(|source| StoreError::Io {
                    action: "read",
                    path: self.folder.path(&paths::blob(digest)),
                    source,
                })?,
            },
        };
        self.hot.put(digest, bytes.clone()).await;
        Ok(Some(bytes))
    }

    /// Puts small content (a manifest) in one go: verified, synced, renamed into place. Present already: nothing is
    /// written. If the future is dropped after the first wait all of it still happens.
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<Placed, StoreError> {
        let claim = self.claim(digest).await?;
        let store = self.clone();
        blocking(move || store.put_on_disk(claim, &bytes)).await
    }

    fn put_on_disk(&self, claim: Claim, bytes: &[u8]) -> Result<Placed, StoreError> {
        let digest = claim.digest();
        let actual = digest.algorithm().digest(bytes);
        if actual != *digest {
            let expected = digest.clone();
            return Err(StoreError::Mismatch { expected, actual });
        }
        let present = self.folder.open_blob(digest)?;
        if let Some(blob) = present
            && blob.condition() == Condition::Sealed
        {
            self.folder.mark(digest)?;
            return Ok(Placed::new(self.clone(), claim, blob));
        }
        let epoch = self.open_files.epoch();
        let blob = self.folder.put(digest, bytes)?;
        self.open_files.placed(epoch, digest, &blob);
        Ok(Placed::new(self.clone(), claim, blob))
    }

    /// Opens the spool of a digest, with what an earlier fill left of it: that is read and hashed anew, at the speed of
    /// the hash. One at a time per digest, and the caller sees to that; here one waits for the other, for a while.
    pub async fn spool(&self, digest: &Digest) -> Result<Spool, StoreError> {
        let claim = self.wait_for(&self.spools, digest).await?;
        let store = self.clone();
        blocking(move || Spool::open(store, claim)).await
    }

    /// Does somebody fill this digest?
    pub fn is_filling(&self, digest: &Digest) -> bool {
        self.spools.is_claimed(digest)
    }

    /// Waits until nobody else puts, adopts or deletes this digest, or ends its fill, and keeps them away. Whoever writes
    /// rows that say that content is here, or deletes a file because no row says so, does it under the claim. A fill
    /// takes it at its end.
    pub async fn claim(&self, digest: &Digest) -> Result<Claim, StoreError> {
        self.wait_for(&self.claims, digest).await
    }

    async fn wait_for(
        &self,
        claims: &Arc<Claims<Digest>>,
        digest: &Digest,
    ) -> Result<Claim, StoreError> {
        let claim = tokio::time::timeout(CLAIM_TIMEOUT, claims.claim(digest));
        claim.await.map_err(|_elapsed| StoreError::Io {
            action: "claim",
            path: self.folder.path(&paths::spool(digest)),
            source: io::ErrorKind::ResourceBusy.into(),
        })
    }

    /// As `claim`, without waiting.
    pub fn try_claim(&self, digest: &Digest) -> Option<Claim> {
        self.claims.try_claim(digest)
    }

    /// Deletes a blob. Readers that have it open go on. Absent: nothing happens. If the future is dropped the blob is
    /// still deleted.
    pub async fn delete(&self, claim: &Claim) -> Result<(), StoreError> {
        let digest = claim.digest().clone();
        self.hot.remove(&digest).await;
        let store = self.clone();
        blocking(move || store.delete_from_disk(&digest)).await
    }

    fn delete_from_disk(&self, digest: &Digest) -> Result<(), StoreError> {
        let deleted = self.folder.delete(&paths::blob(digest));
        self.open_files.deleted(digest);
        deleted.map(drop)
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
            let is_old = || Ok::<_, StoreError>(self.folder.age(&key)? >= Some(max_age));
            // The claim, if one is needed, is held until the file is gone.
            let deleted = match spooled {
                Spooled::Put(_) => self.folder.delete(&key)?,
                // The last ones are `uploads_sweep`'s: a client may go on with one.
                Spooled::Placed(_) | Spooled::Upload(_) => false,
                Spooled::Fill(digest) => match self.spools.try_claim(&digest) {
                    Some(_claim) if is_old()? => self.folder.delete(&key)?,
                    _ => false,
                },
            };
            swept += u64::from(deleted);
        }
        Ok(swept)
    }

    /// The blobs in place of an algorithm whose hex begins with this byte, in no order.
    pub async fn blobs_in(
        &self,
        algorithm: Algorithm,
        first: u8,
    ) -> Result<Vec<Digest>, StoreError> {
        let store = self.clone();
        blocking(move || store.folder.blobs(algorithm, first)).await
    }

    /// Bytes that the file system has left for content.
    pub async fn free_bytes(&self) -> Result<u64, StoreError> {
        let store = self.clone();
        blocking(move || store.folder.free()).await
    }

    /// Sets room aside for a time when there is none to write the rows of an eviction, if it is not already.
    pub async fn keep_reserve(&self) -> Result<(), StoreError> {
        let store = self.clone();
        blocking(move || store.folder.keep_reserve()).await
    }

    /// Gives that room up; `false` if it was given up before.
    pub async fn spend_reserve(&self) -> Result<bool, StoreError> {
        let store = self.clone();
        blocking(move || store.folder.delete(&paths::reserve())).await
    }

    /// What the spools that nobody writes to take of the disk, in bytes.
    pub async fn left_bytes(&self) -> Result<u64, StoreError> {
        let store = self.clone();
        blocking(move || store.left_on_disk()).await
    }

    fn left_on_disk(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for (key, spooled) in self.folder.spooled()? {
            let is_left = match spooled {
                Spooled::Fill(digest) => !self.is_filling(&digest),
                Spooled::Put(_) | Spooled::Placed(_) => true,
                // What is pushed is no part of the cache.
                Spooled::Upload(_) => false,
            };
            if is_left {
                bytes += self.folder.allocated(&key)?;
            }
        }
        Ok(bytes)
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
pub(super) async fn blocking<T: Send + 'static>(step: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(step)
        .await
        // Never cancelled but by the end of the runtime, which polls nobody any more.
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
