//! A source whose blobs are read from it once, however many registries they go to.
//!
//! ```text
//! source ──► a file without a name, that grows ──► reader of registry A, at its own speed
//!                                             └──► reader of registry B
//! ```
//!
//! A file goes when all registries have read it to its end; of those that somebody has no need to read, the oldest go when
//! there are too many. Where a file cannot be kept, the source is read by each for itself.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, poll_fn},
    stream,
};
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    oci::{Descriptor, Digest, Hasher, Name, Reference},
    store::PageReader,
    transfer::send::{Source, SourceBlob, SourceError, SourceManifest},
};

/// Of the files that nobody reads at the moment.
const MAX_IDLE_BYTES: u64 = 4 << 30;
/// Each is an open file.
const MAX_IDLE_FILES: usize = 200;
/// Where other container tools keep what is large and soon gone; `/tmp` is often memory.
const FOLDER: &str = "/var/tmp";

/// Clones are one.
#[derive(Clone)]
pub(super) struct SharedSource(Arc<Shared>);

struct Shared {
    source: Arc<dyn Source>,
    /// How many registries may want each blob.
    readers: usize,
    folder: PathBuf,
    /// The oldest first.
    blobs: Mutex<Vec<Arc<Blob>>>,
}

/// A blob whose file grows, or is whole.
struct Blob {
    digest: Digest,
    /// None: there is no room for one.
    file: Option<Arc<File>>,
    /// Over what is in the file; used by who fetches it.
    hasher: Mutex<Hasher>,
    news: watch::Sender<News>,
    /// How many have read it to its end.
    done: Mutex<usize>,
}

#[derive(Clone, Default)]
struct News {
    /// The source has answered.
    is_begun: bool,
    total_bytes: Option<u64>,
    written: u64,
    end: Option<End>,
}

#[derive(Clone)]
enum End {
    Whole,
    Broken(SourceError),
    /// It is not what its digest says.
    Wrong,
    /// It cannot be kept: everybody reads at the source.
    NoRoom,
}

/// One registry's.
struct Reader {
    shared: Arc<Shared>,
    blob: Arc<Blob>,
    news: watch::Receiver<News>,
    pages: PageReader,
}

impl SharedSource {
    /// For so many registries.
    pub(super) fn of(source: Arc<dyn Source>, readers: usize) -> Arc<dyn Source> {
        let folder = Path::new(FOLDER);
        Arc::new(Self(Arc::new(Shared {
            source,
            readers,
            folder: match folder.is_dir() {
                true => folder.to_owned(),
                false => std::env::temp_dir(),
            },
            blobs: Mutex::default(),
        })))
    }
}

impl Source for SharedSource {
    fn digest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Digest, SourceError>> {
        self.0.source.digest(name, reference)
    }

    fn manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<SourceManifest, SourceError>> {
        self.0.source.manifest(name, reference)
    }

    fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        offset: u64,
    ) -> BoxFuture<'static, Result<SourceBlob, SourceError>> {
        let (shared, name, digest) = (Arc::clone(&self.0), name.clone(), digest.clone());
        async move { shared.open(name, digest, offset).await }.boxed()
    }

    fn referrers<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>, SourceError>> {
        self.0.source.referrers(name, digest)
    }
}

impl Shared {
    async fn open(
        self: Arc<Self>,
        name: Name,
        digest: Digest,
        offset: u64,
    ) -> Result<SourceBlob, SourceError> {
        let blob = self.fetched(&name, &digest);
        let Some(file) = blob.file.clone() else {
            return self.source.blob(&name, &digest, offset).await;
        };
        let mut news = blob.news.subscribe();
        let begun = news.wait_for(|news| news.is_begun || news.end.is_some());
        let now = begun.await.expect("the blob is held").clone();
        match now.end {
            Some(End::NoRoom) => return self.source.blob(&name, &digest, offset).await,
            Some(End::Broken(error)) if now.written <= offset => return Err(error),
            _ => {}
        }
        let reader = Reader {
            shared: self,
            blob,
            news,
            pages: PageReader::new(file, offset),
        };
        Ok(SourceBlob {
            offset,
            total_bytes: now.total_bytes,
            body: stream::unfold(reader, Reader::next).boxed(),
        })
    }

    /// The blob, which is being fetched, or was.
    fn fetched(self: &Arc<Self>, name: &Name, digest: &Digest) -> Arc<Blob> {
        let mut blobs = locked(&self.blobs);
        let known = blobs.iter().find(|blob| blob.digest == *digest);
        let blob = match known {
            Some(blob) if !blob.is_broken() => return Arc::clone(blob),
            Some(blob) => {
                // It goes on where it broke.
                blob.news.send_modify(|news| news.end = None);
                Arc::clone(blob)
            }
            None => {
                let blob = Arc::new(Blob::new(&self.folder, digest));
                blobs.push(Arc::clone(&blob));
                blob
            }
        };
        drop(blobs);
        if blob.file.is_none() {
            return blob;
        }
        let (shared, name, fetched) = (Arc::clone(self), name.clone(), Arc::clone(&blob));
        tokio::spawn(async move {
            let end = shared.fetch(&name, &fetched).await;
            shared.ended(&fetched, end);
        });
        blob
    }

    /// Fills the file from where it is.
    async fn fetch(&self, name: &Name, blob: &Arc<Blob>) -> End {
        let from = blob.news.borrow().written;
        let opened = self.source.blob(name, &blob.digest, from).await;
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(error) => return End::Broken(error),
        };
        blob.news.send_modify(|news| {
            news.is_begun = true;
            news.total_bytes = opened.total_bytes;
        });
        let mut position = opened.offset;
        while let Some(chunk) = opened.body.next().await {
            let mut chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return End::Broken(error),
            };
            // A source that knows no ranges begins at the first byte.
            let known = from.saturating_sub(position).min(chunk.len() as u64);
            position += chunk.len() as u64;
            let _ = chunk.split_to(usize::try_from(known).expect("it is of a chunk"));
            let at = position - chunk.len() as u64;
            let growing = Arc::clone(blob);
            let written = spawn_blocking(move || growing.append(&chunk, at));
            if !written.await.expect("writing does not panic") {
                return End::NoRoom;
            }
            blob.news
                .send_modify(|news| news.written = news.written.max(position));
        }
        match locked(&blob.hasher).clone().finish() == blob.digest {
            true => End::Whole,
            false => End::Wrong,
        }
    }

    fn ended(&self, blob: &Arc<Blob>, end: End) {
        match (&end, &blob.file) {
            (End::Wrong, _) => self.forget(blob),
            // Who reads it is cut, and goes on at the source.
            (End::NoRoom, Some(file)) => drop(file.set_len(0)),
            _ => {}
        }
        blob.news.send_modify(|news| news.end = Some(end));
        self.tidy();
    }

    fn forget(&self, blob: &Arc<Blob>) {
        locked(&self.blobs).retain(|other| !Arc::ptr_eq(other, blob));
    }

    /// A reader is at the end.
    fn read(&self, blob: &Arc<Blob>) {
        let done = {
            let mut done = locked(&blob.done);
            *done += 1;
            *done
        };
        if done >= self.readers {
            self.forget(blob);
        }
        self.tidy();
    }

    /// Lets go of the oldest files that nobody reads.
    fn tidy(&self) {
        let mut blobs = locked(&self.blobs);
        let is_idle = |blob: &Arc<Blob>| Arc::strong_count(blob) == 1;
        let idle = blobs.iter().filter(|blob| is_idle(blob));
        let (mut files, mut bytes) = idle.fold((0, 0), |(files, bytes), blob| {
            (files + 1, bytes + blob.news.borrow().written)
        });
        blobs.retain(|blob| {
            let goes = (files > MAX_IDLE_FILES || bytes > MAX_IDLE_BYTES) && is_idle(blob);
            if goes {
                files -= 1;
                bytes -= blob.news.borrow().written;
            }
            !goes
        });
    }
}

impl Blob {
    fn new(folder: &Path, digest: &Digest) -> Self {
        Self {
            digest: digest.clone(),
            file: tempfile::tempfile_in(folder).ok().map(Arc::new),
            hasher: Mutex::new(digest.algorithm().hasher()),
            news: watch::Sender::default(),
            done: Mutex::default(),
        }
    }

    /// Writes what comes next, and hashes it; whether there was room. Blocks.
    fn append(&self, chunk: &[u8], at: u64) -> bool {
        locked(&self.hasher).update(chunk);
        let file = self.file.as_ref();
        file.is_some_and(|file| file.write_all_at(chunk, at).is_ok())
    }

    fn is_broken(&self) -> bool {
        matches!(self.news.borrow().end, Some(End::Broken(_)))
    }
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Bytes, SourceError>, Self)> {
        let position = self.pages.position();
        let moved = |news: &News| news.written > position || news.end.is_some();
        let now = self.news.wait_for(moved).await;
        let now = now.expect("the blob is held").clone();
        let is_left = now.written > position;
        let gone = match now.end {
            Some(End::NoRoom) => "there is no room to keep it".to_owned(),
            Some(End::Wrong) => format!("the source does not give {}", self.blob.digest),
            Some(End::Broken(error)) if !is_left => return Some((Err(error), self)),
            Some(End::Whole) if !is_left => {
                self.shared.read(&self.blob);
                return None;
            }
            _ => match poll_fn(|cx| self.pages.poll_read(cx, now.written)).await {
                Ok(bytes) => return Some((Ok(bytes), self)),
                Err(error) => error.to_string(),
            },
        };
        Some((Err(SourceError::Unavailable(gone)), self))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
