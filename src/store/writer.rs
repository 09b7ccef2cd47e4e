//! The growing file of a fill.
//!
//! ```text
//! spool(digest) ──append*──► verify ──► commit ──► Blob in place
//!       │                      │
//!       └ dropped: file stays, └ mismatch: file is deleted
//!         a later spool resumes
//! ```
//!
//! Each step takes the spool and gives it back, so steps never overlap. A step whose future is dropped still reaches
//! its end on its blocking thread; until then a new spool of the same digest waits.

use std::{fmt, fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    Blob, Placed, Store, StoreError, appender::Appender, claims::Claim, local::blocking, paths,
    seal::Condition,
};
use crate::oci::Hasher;

/// What one read takes when what an earlier fill left is hashed again.
const REHASH_BYTES: usize = 1024 * 1024;

/// Less than this is hashed sooner than a thread is woken.
const HASH_HERE_BYTES: usize = 64 * 1024;

/// An incomplete blob. Dropped, its file stays to be resumed.
pub struct Spool {
    store: Store,
    /// To the spool; the blob may be pushed meanwhile.
    claim: Claim,
    appender: Appender,
    hasher: Hasher,
    /// Bytes that were hashed: more than are in the file only after a failed write.
    received: u64,
    written: watch::Sender<u64>,
}

impl Spool {
    /// Opens the spool and hashes what is in it. Blocks.
    pub(super) fn open(store: Store, claim: Claim) -> Result<Self, StoreError> {
        let digest = claim.digest();
        let file = store.folder.open_growing(&paths::spool(digest))?;
        let path = store.folder.path(&paths::spool(digest));
        let mut hasher = digest.algorithm().hasher();
        let written = rehash(&file, &mut hasher).map_err(|e| StoreError::io("read", &path, e))?;
        Ok(Self {
            store,
            claim,
            appender: Appender::new(file, path),
            hasher,
            received: written,
            written: watch::Sender::new(written),
        })
    }

    /// Bytes that are in the file (hashed, too, when no `append` runs).
    pub fn written(&self) -> u64 {
        *self.written.borrow()
    }

    /// Follows `written`; it moves as soon as bytes are in the file, before they are hashed. Closed once the spool is
    /// verified or dropped.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Bytes that came, in the file or not.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Over all `received` bytes.
    pub fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Is the digest that of all `received` bytes?
    pub fn is_whole(&self) -> bool {
        self.hasher().finish() == *self.claim.digest()
    }

    /// The file itself, for readers that follow it; after `commit` it is the blob's.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(self.appender.file())
    }

    /// Appends and hashes, side by side on blocking threads. If the future is dropped all of it is still written; after
    /// an error some of it may be. Either way the file stays, and the next spool of the digest begins with what is in it.
    pub async fn append(self, chunks: Vec<Bytes>) -> Result<Self, AppendError> {
        let Self {
            store,
            claim,
            mut appender,
            hasher,
            received,
            written,
        } = self;
        let received = received + length(&chunks);
        let hashing = hash(hasher, chunks.clone());
        let writing = blocking(move || {
            let position = *written.borrow();
            let reached = |position| {
                written.send_replace(position);
            };
            let outcome = appender.append(&chunks, position, reached).map_err(|e| {
                let key = paths::spool(claim.digest());
                StoreError::io("write", &store.folder.path(&key), e)
            });
            (store, claim, appender, written, outcome)
        });
        let (hasher, written_to) = tokio::join!(hashing, writing);
        let (store, claim, appender, written, outcome) = written_to;
        let spool = Self {
            store,
            claim,
            appender,
            hasher,
            received,
            written,
        };
        match outcome {
            Ok(()) => Ok(spool),
            Err(error) => Err(AppendError {
                error,
                spool: Box::new(spool),
            }),
        }
    }

    /// Hashes what will not be written: for those who go on without the file.
    pub async fn take_in(mut self, chunks: Vec<Bytes>) -> Self {
        self.received += length(&chunks);
        self.hasher = hash(self.hasher, chunks).await;
        self
    }

    /// Deletes the file, after a wrong start: the next spool of the digest begins at 0, in a new file. Readers of this
    /// one keep what they hold.
    pub async fn discard(self) -> Result<(), StoreError> {
        blocking(move || self.store.folder.delete(&self.key()).map(drop)).await
    }

    /// Compares the hash of all bytes with the digest. A mismatch deletes the file.
    pub async fn verify(self) -> Result<Verified, StoreError> {
        debug_assert_eq!(self.received, self.written(), "not after a failed write");
        let actual = self.hasher.clone().finish();
        if actual != *self.claim.digest() {
            let expected = self.claim.digest().clone();
            self.discard().await?;
            return Err(StoreError::Mismatch { expected, actual });
        }
        let seal = self.store.folder.seal(self.claim.digest(), self.written());
        Ok(Verified {
            blob: Blob::new(self.file(), seal),
            store: self.store,
            spool_claim: self.claim,
        })
    }

    fn key(&self) -> object_store::path::Path {
        paths::spool(self.claim.digest())
    }
}

/// Bytes that could not be written. The spool has hashed them; some may be in its file.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct AppendError {
    #[source]
    pub error: StoreError,
    pub spool: Box<Spool>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("digest", self.claim.digest())
            .field("written", &self.written())
            .finish_non_exhaustive()
    }
}

pub(super) fn length(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// A little is hashed here; more on a blocking thread.
pub(super) async fn hash(mut hasher: Hasher, chunks: Vec<Bytes>) -> Hasher {
    let bytes: usize = chunks.iter().map(Bytes::len).sum();
    let update = move || {
        for chunk in &chunks {
            hasher.update(chunk);
        }
        hasher
    };
    if bytes < HASH_HERE_BYTES {
        return update();
    }
    tokio::task::spawn_blocking(update)
        .await
        .expect("hashing does not panic, and is not aborted")
}

/// Hashes a file from its beginning; how many bytes there were.
pub(super) fn rehash(file: &File, hasher: &mut Hasher) -> io::Result<u64> {
    let left = file.metadata()?.len();
    if left == 0 {
        return Ok(0);
    }
    let mut buffer = vec![0; REHASH_BYTES];
    let mut position = 0;
    while position < left {
        let wanted = usize::try_from(left - position).map_or(REHASH_BYTES, |n| n.min(REHASH_BYTES));
        match file.read_at(&mut buffer[..wanted], position) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                position += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(position)
}

/// A spool whose bytes are right, not yet durable. Dropped, its file stays in the spool; until then, or until it is
/// committed, no new spool of the digest begins.
pub struct Verified {
    store: Store,
    spool_claim: Claim,
    blob: Blob,
}

impl Verified {
    /// Bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks whether content is empty"
    )]
    pub fn len(&self) -> u64 {
        self.blob.len()
    }

    /// Syncs the file, renames it into place, syncs the folder. If somebody has pushed it meanwhile, what is in place
    /// stays. If the future is dropped after the first wait all of it still happens.
    pub async fn commit(self) -> Result<Placed, StoreError> {
        let claim = self.store.claim(self.spool_claim.digest()).await?;
        blocking(move || self.place(claim)).await
    }

    fn place(self, claim: Claim) -> Result<Placed, StoreError> {
        let Self {
            store,
            spool_claim: _until_the_spool_is_gone,
            blob,
        } = self;
        let (digest, key) = (claim.digest(), paths::spool(claim.digest()));
        let present = store.folder.open_blob(digest)?;
        if let Some(present) = present.filter(|blob| blob.condition() == Condition::Sealed) {
            store.folder.mark(digest)?;
            store.folder.delete(&key)?;
            return Ok(Placed::new(store, claim, present));
        }
        let epoch = store.open_files.epoch();
        store.folder.place(&blob, &key, digest)?;
        store.open_files.placed(epoch, digest, &blob);
        Ok(Placed::new(store, claim, blob))
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("digest", self.spool_claim.digest())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
