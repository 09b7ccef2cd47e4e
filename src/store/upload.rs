//! The growing file of an upload session: bytes whose digest is only told at the end.
//!
//! ```text
//! upload(id) ──append*──► rest           file stays, durable, as long as it is; `upload` goes on at its end
//!                    └──► commit(digest) ──► Blob in place
//!                              └ mismatch: file is deleted
//! ```
//!
//! With object storage the file holds what comes in one request, to be sent on; a session goes on without it.
//!
//! The length of the file says what has come. After a crash that is not to be believed beyond what was last synced: the
//! next process cuts the rest off (`upload_cut`). The hash of it is kept in memory from one request to the next; what
//! another process wrote is hashed anew, as a spool is (docs/adr/0002). A step whose future is dropped still reaches its
//! end on its blocking thread; until then nobody else opens the file.

use std::{fmt, fs, io, ops::Range, os::unix::fs::FileExt, sync::Arc, time::Duration};

use bytes::Bytes;
use moka::future::Cache;
use uuid::Uuid;

use super::{
    Blob, Placed, Store, StoreError,
    appender::Appender,
    claims::{Claim, Claims},
    local::blocking,
    paths::{self, Spooled},
    seal::Condition,
    writer::{hash, length, rehash},
};
use crate::oci::{Algorithm, Digest, Hasher};

/// How long one waits for another who writes to the same session.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(20);
/// Hashes of sessions that are kept; each is some 300 bytes.
const HASHES: u64 = 10_000;

/// What is kept in memory of upload sessions.
pub(super) struct Uploads {
    claims: Arc<Claims<Uuid>>,
    /// How far a session was hashed.
    hashed: Cache<Uuid, (u64, Hasher)>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            claims: Arc::default(),
            hashed: Cache::new(HASHES),
        }
    }
}

impl Uploads {
    /// The claim, if nobody writes to this session.
    pub(super) fn try_claim(&self, id: Uuid) -> Option<Claim<Uuid>> {
        self.claims.try_claim(&id)
    }
}

/// What has come of a blob that is being pushed. Dropped, its file stays.
pub struct UploadFile {
    store: Store,
    id: Uuid,
    claim: Claim<Uuid>,
    appender: Appender,
    hasher: Hasher,
    /// Bytes of the blob that came before those in the file.
    base: u64,
    written: u64,
}

impl Store {
    /// Opens the file of a session, making it if need be, and hashes of it what was not hashed yet. Waits for who writes
    /// to it now, for a while: then [`io::ErrorKind::ResourceBusy`].
    pub async fn upload(&self, id: Uuid, algorithm: Algorithm) -> Result<UploadFile, StoreError> {
        let claim = self.upload_claim(id).await?;
        let key = paths::upload(id);
        let known = self.uploads.hashed.remove(&id).await;
        let known = known.filter(|(_, hasher)| hasher.algorithm() == algorithm);
        let store = self.clone();
        blocking(move || {
            let file = store.folder.open_growing(&key)?;
            let path = store.folder.path(&key);
            let length = file
                .metadata()
                .map_err(|e| StoreError::io("look at", &path, e))?
                .len();
            let (written, hasher) = match known {
                Some((so_far, hasher)) if so_far == length => (length, hasher),
                _ => {
                    let mut anew = algorithm.hasher();
                    let written =
                        rehash(&file, &mut anew).map_err(|e| StoreError::io("read", &path, e))?;
                    (written, anew)
                }
            };
            Ok(UploadFile {
                appender: Appender::new(file, path),
                store,
                id,
                claim,
                hasher,
                base: 0,
                written,
            })
        })
        .await
    }

    /// A new file for one step of a session: of a blob of which `base` bytes are elsewhere, it begins with `tail`;
    /// `hasher` has taken in both.
    pub async fn upload_step(
        &self,
        id: Uuid,
        hasher: Hasher,
        base: u64,
        tail: Bytes,
    ) -> Result<UploadFile, StoreError> {
        let claim = self.upload_claim(id).await?;
        let (store, key) = (self.clone(), paths::upload(id));
        blocking(move || {
            store.folder.delete(&key)?;
            let file = store.folder.open_growing(&key)?;
            let path = store.folder.path(&key);
            file.write_all_at(&tail, 0)
                .map_err(|e| StoreError::io("write", &path, e))?;
            Ok(UploadFile {
                appender: Appender::new(file, path),
                store,
                id,
                claim,
                hasher,
                base,
                written: tail.len() as u64,
            })
        })
        .await
    }

    async fn upload_claim(&self, id: Uuid) -> Result<Claim<Uuid>, StoreError> {
        let claim = tokio::time::timeout(CLAIM_TIMEOUT, self.uploads.claims.claim(&id));
        claim.await.map_err(|_elapsed| StoreError::Io {
            action: "claim",
            path: self.folder.path(&paths::upload(id)),
            source: io::ErrorKind::ResourceBusy.into(),
        })
    }

    /// How many bytes of a session have come; also while somebody writes to it.
    pub async fn upload_length(&self, id: Uuid) -> Result<u64, StoreError> {
        let path = self.folder.path(&paths::upload(id));
        blocking(move || match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(StoreError::io("look at", &path, error)),
        })
        .await
    }

    /// The sessions that have files.
    pub async fn uploads(&self) -> Result<Vec<Uuid>, StoreError> {
        let store = self.clone();
        let found = blocking(move || store.folder.spooled()).await?;
        let session = |(_, spooled)| match spooled {
            Spooled::Upload(id) => Some(id),
            Spooled::Fill(_) | Spooled::Put(_) | Spooled::Placed(_) => None,
        };
        Ok(found.into_iter().filter_map(session).collect())
    }

    /// Cuts off what the file of a session has beyond `length`. Nobody writes to it.
    pub async fn upload_cut(&self, id: Uuid, length: u64) -> Result<(), StoreError> {
        let (store, key) = (self.clone(), paths::upload(id));
        blocking(move || {
            let file = store.folder.open_growing(&key)?;
            let path = store.folder.path(&key);
            let found = file
                .metadata()
                .map_err(|e| StoreError::io("look at", &path, e))?;
            if found.len() > length {
                file.set_len(length)
                    .map_err(|e| StoreError::io("cut", &path, e))?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes the files of sessions that nobody wrote to for `max_age`; how many.
    pub async fn uploads_sweep(&self, max_age: Duration) -> Result<u64, StoreError> {
        let store = self.clone();
        blocking(move || {
            let mut swept = 0;
            for (key, spooled) in store.folder.spooled()? {
                let Spooled::Upload(id) = spooled else {
                    continue;
                };
                // Held until the file is gone.
                let Some(_claim) = store.uploads.try_claim(id) else {
                    continue;
                };
                if store.folder.age(&key)? >= Some(max_age) {
                    swept += u64::from(store.folder.delete(&key)?);
                }
            }
            Ok(swept)
        })
        .await
    }

    /// Deletes the file of a session. Who writes to it now does so in vain.
    pub async fn upload_delete(&self, id: Uuid) -> Result<(), StoreError> {
        self.uploads.hashed.invalidate(&id).await;
        let store = self.clone();
        blocking(move || store.folder.delete(&paths::upload(id)).map(drop)).await
    }
}

impl UploadFile {
    /// Bytes of the blob that have come.
    pub fn received(&self) -> u64 {
        self.base + self.written
    }

    /// Over all that was received.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Bytes of the blob that are in the file.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (file, begin) = (Arc::clone(self.appender.file()), range.start - self.base);
        let path = self.store.folder.path(&paths::upload(self.id));
        let length = usize::try_from(range.end - range.start).expect("a part fits into memory");
        blocking(move || {
            let mut bytes = vec![0; length];
            match file.read_exact_at(&mut bytes, begin) {
                Ok(()) => Ok(bytes.into()),
                Err(error) => Err(StoreError::io("read", &path, error)),
            }
        })
        .await
    }

    /// Appends and hashes, side by side on blocking threads. If the future is dropped all of it is still written; after
    /// an error some of it may be.
    pub async fn append(self, chunks: Vec<Bytes>) -> Result<Self, StoreError> {
        let Self {
            store,
            id,
            claim,
            mut appender,
            hasher,
            base,
            written,
        } = self;
        let path = store.folder.path(&paths::upload(id));
        let more = length(&chunks);
        let hashing = hash(hasher, chunks.clone());
        let writing = blocking(move || {
            let outcome = appender.append(&chunks, written, |_reached| {});
            (claim, appender, outcome)
        });
        let (hasher, (claim, appender, outcome)) = tokio::join!(hashing, writing);
        outcome.map_err(|e| StoreError::io("write", &path, e))?;
        Ok(Self {
            store,
            id,
            claim,
            appender,
            hasher,
            base,
            written: written + more,
        })
    }

    /// Ends a step of the session: all that has come is durable when this returns, and the next step goes on from here
    /// without reading anything.
    pub async fn rest(self) -> Result<(), StoreError> {
        let Self {
            store,
            id,
            claim,
            appender,
            hasher,
            written,
            ..
        } = self;
        let (folder, file) = (Arc::clone(&store.folder), Arc::clone(appender.file()));
        blocking(move || folder.sync_growing(&file, &paths::upload(id))).await?;
        store.uploads.hashed.insert(id, (written, hasher)).await;
        // The next one finds the hash.
        drop(claim);
        Ok(())
    }

    /// Deletes the file.
    pub async fn discard(self) -> Result<(), StoreError> {
        blocking(move || self.store.folder.delete(&paths::upload(self.id)).map(drop)).await
    }

    /// Compares the hash of all bytes with the digest, which is of the same algorithm, and puts them in place: when this returns they are durable, and
    /// their rows are to be written. A mismatch deletes the file. If the future is dropped while it works on a blocking
    /// thread all of it still happens.
    pub async fn commit(self, digest: &Digest) -> Result<Placed, StoreError> {
        let actual = self.hasher.clone().finish();
        if actual != *digest {
            let expected = digest.clone();
            self.discard().await?;
            return Err(StoreError::Mismatch { expected, actual });
        }
        let claim = self.store.claim(digest).await?;
        blocking(move || self.place(claim)).await
    }

    fn place(self, claim: Claim) -> Result<Placed, StoreError> {
        let Self {
            store,
            id,
            claim: _until_the_file_is_gone,
            appender,
            written,
            ..
        } = self;
        let (digest, key) = (claim.digest().clone(), paths::upload(id));
        let present = store.folder.open_blob(&digest)?;
        if let Some(blob) = present.filter(|blob| blob.condition() == Condition::Sealed) {
            store.folder.mark(&digest)?;
            store.folder.delete(&key)?;
            return Ok(Placed::new(store, claim, blob));
        }
        let epoch = store.open_files.epoch();
        let seal = store.folder.seal(&digest, written);
        let blob = Blob::new(Arc::clone(appender.file()), seal);
        store.folder.place(&blob, &key, &digest)?;
        store.open_files.placed(epoch, &digest, &blob);
        Ok(Placed::new(store, claim, blob))
    }
}

impl fmt::Debug for UploadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadFile")
            .field("id", &self.id)
            .field("received", &self.received())
            .finish_non_exhaustive()
    }
}
