//! The folder on disk. Everything here blocks, and is called on blocking threads only.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use object_store::path::Path as Key;
use rustix::{fs::FlockOperation, io::Errno};
use uuid::Uuid;

use super::{
    Blob, StoreError,
    paths::{self, Spooled},
    seal::{Condition, Seal},
};
use crate::oci::{Algorithm, Digest};

/// Enough to write the rows of many evictions.
const RESERVE_BYTES: u64 = 2 * 1024 * 1024;

pub(super) struct Folder {
    root: PathBuf,
    /// Tells files of this opening from those of earlier ones.
    opening: Uuid,
    puts: AtomicU64,
    /// Folders whose own entry is known to be on disk.
    durable: Mutex<HashSet<PathBuf>>,
    /// The file system keeps the times that it is given.
    seals_count: bool,
    /// Its lock lives as long as this.
    _lock: File,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        make_root(root)?;
        let lock = lock(root)?;
        let folder = Self {
            root: root.to_owned(),
            opening: Uuid::now_v7(),
            puts: AtomicU64::new(0),
            durable: Mutex::new(HashSet::from([root.to_owned()])),
            seals_count: keeps_times(&lock),
            _lock: lock,
        };
        folder.make_durable(&folder.path(&paths::spools()))?;
        Ok(folder)
    }

    pub(super) fn path(&self, key: &Key) -> PathBuf {
        paths::on_disk(&self.root, key)
    }

    /// The blob, opened, if it is in place.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let path = self.path(&paths::blob(digest));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| StoreError::io("open", &path, e))?,
        };
        let metadata = file
            .metadata()
            .map_err(|e| StoreError::io("look at", &path, e))?;
        let seal = self.seal(digest, metadata.len());
        Ok(Some(Blob::new(Arc::new(file), seal)))
    }

    /// How the file of a blob of this length is sealed.
    pub(super) fn seal(&self, digest: &Digest, len: u64) -> Seal {
        Seal::new(digest, len).counting(self.seals_count)
    }

    /// Opens a file that is to grow, making it if need be; readers share it.
    pub(super) fn open_growing(&self, key: &Key) -> Result<File, StoreError> {
        let path = self.path(key);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))
    }

    /// What a growing file has, and that it is there, is on disk when this returns.
    pub(super) fn sync_growing(&self, file: &File, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key);
        file.sync_data()
            .map_err(|e| StoreError::io("sync", &path, e))?;
        sync_folder(parent(&path))
    }

    /// Writes verified bytes into a file of their own and moves it into place.
    pub(super) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<Blob, StoreError> {
        let key = paths::put(self.opening, self.puts.fetch_add(1, Ordering::Relaxed));
        let path = self.path(&key);
        let put = self.put_by_way_of(&key, &path, digest, bytes);
        if put.is_err() {
            // The first error is the one to tell; the file may not even exist.
            let _ = fs::remove_file(&path);
        }
        put
    }

    fn put_by_way_of(
        &self,
        key: &Key,
        path: &Path,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<Blob, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|e| StoreError::io("create", path, e))?;
        file.write_all_at(bytes, 0)
            .map_err(|e| StoreError::io("write", path, e))?;
        let seal = self.seal(digest, bytes.len() as u64);
        let blob = Blob::new(Arc::new(file), seal);
        self.place(&blob, key, digest)?;
        Ok(blob)
    }

    /// Makes a complete and verified file the blob: content, name and folder are on disk when this returns. It is marked
    /// as placed before.
    pub(super) fn place(&self, blob: &Blob, from: &Key, digest: &Digest) -> Result<(), StoreError> {
        let (from, to) = (self.path(from), self.path(&paths::blob(digest)));
        self.mark(digest)?;
        if let Err(error) = blob.file().sync_data() {
            // The kernel may now call pages clean that never reached the disk: what can be read back proves nothing.
            let _ = fs::remove_file(&from);
            return Err(StoreError::io("sync", &from, error));
        }
        let parent = parent(&to);
        self.make_durable(parent)?;
        fs::rename(&from, &to).map_err(|e| StoreError::io("rename", &from, e))?;
        // Last, so that a file in the spool folder never looks old. Without its seal it would be hashed once more.
        if let Err(error) = blob.seal() {
            tracing::warn!(path = %to.display(), %error, "cannot seal a blob");
        }
        sync_folder(parent)
    }

    /// Notes that a blob is in place, or about to be, whose rows may not be written yet. A process that ends in between
    /// leaves the mark. (It reaches the disk with the blob's name at the latest.)
    pub(super) fn mark(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(&paths::placed(digest));
        File::create(&path)
            .map(drop)
            .map_err(|e| StoreError::io("create", &path, e))
    }

    /// Deletes a file; `false` if there was none.
    pub(super) fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("delete", &path, error)),
        }
    }

    /// What lies in the spool folder, except for content that is being put right now.
    pub(super) fn spooled(&self) -> Result<Vec<(Key, Spooled)>, StoreError> {
        let spools = paths::spools();
        let path = self.path(&spools);
        let failed = |e| StoreError::io("list", &path, e);
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            match Spooled::parse(name) {
                Some(Spooled::Put(opening)) if opening == self.opening => {}
                Some(spooled) => found.push((spools.clone().join(name), spooled)),
                None => {}
            }
        }
        Ok(found)
    }

    /// From now on the file is not believed before it was hashed.
    pub(super) fn break_seal(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(&paths::blob(digest));
        let broken = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        match broken {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            broken => broken.map_err(|e| StoreError::io("unseal", &path, e)),
        }
    }

    /// What a file takes of the disk in bytes; 0 if it is gone.
    pub(super) fn allocated(&self, key: &Key) -> Result<u64, StoreError> {
        let path = self.path(key);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.blocks() * 512),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(StoreError::io("look at", &path, error)),
        }
    }

    /// Bytes that the file system has left for content: what is to be set aside, and is not, is not for content.
    pub(super) fn free(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|e| StoreError::io("look at", &self.root, e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let set_aside = self.allocated(&paths::reserve())?;
        Ok(free.saturating_sub(RESERVE_BYTES.saturating_sub(set_aside)))
    }

    /// Sets room aside, if it is not already.
    pub(super) fn keep_reserve(&self) -> Result<(), StoreError> {
        // One that is smaller was left by a process that was killed while it wrote.
        if self.allocated(&paths::reserve())? >= RESERVE_BYTES {
            return Ok(());
        }
        let path = self.path(&paths::reserve());
        let file = File::create(&path).map_err(|e| StoreError::io("create", &path, e))?;
        let zeros = vec![0; usize::try_from(RESERVE_BYTES).expect("two MiB")];
        file.write_all_at(&zeros, 0).map_err(|error| {
            // Half of it is of no use.
            let _ = fs::remove_file(&path);
            StoreError::io("write", &path, error)
        })
    }

    /// The blobs in place of an algorithm whose hex begins with this byte.
    pub(super) fn blobs(&self, algorithm: Algorithm, first: u8) -> Result<Vec<Digest>, StoreError> {
        let path = self.path(&paths::blobs(algorithm, first));
        let failed = |e| StoreError::io("list", &path, e);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let digest = name
                .to_str()
                .map(|hex| format!("{}:{hex}", algorithm.as_str()));
            // What else may lie there is not ours.
            found.extend(digest.and_then(|digest| digest.parse().ok()));
        }
        Ok(found)
    }

    /// How long ago a file was written to; `None` if it is gone.
    pub(super) fn age(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        let path = self.path(key);
        let modified = match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            modified => modified.map_err(|e| StoreError::io("look at", &path, e))?,
        };
        // A time to come (the clock was set back) is as young as can be.
        let age = SystemTime::now().duration_since(modified);
        Ok(Some(age.unwrap_or_default()))
    }

    /// Makes a folder below the root, and its parents, such that a power loss does not take them away.
    fn make_durable(&self, folder: &Path) -> Result<(), StoreError> {
        // Held while syncing: who finds the folder made must not go on before it is durable, too.
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        make_durable(&mut durable, folder)
    }
}

/// Makes the root, and what is missing above it, such that a power loss does not take it away.
fn make_root(root: &Path) -> Result<(), StoreError> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let made: Vec<&Path> = root.ancestors().take_while(missing).collect();
    fs::create_dir_all(root).map_err(|e| StoreError::io("create", root, e))?;
    for folder in made {
        match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent)?,
            // A relative path begins in the folder where the process is.
            _ => sync_folder(Path::new("."))?,
        }
    }
    Ok(())
}

fn make_durable(durable: &mut HashSet<PathBuf>, folder: &Path) -> Result<(), StoreError> {
    if durable.contains(folder) {
        return Ok(());
    }
    let parent = parent(folder);
    make_durable(durable, parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StoreError::io("create", folder, error));
        }
        _ => sync_folder(parent)?,
    }
    durable.insert(folder.to_owned());
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("every key is below the root")
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| StoreError::io("sync", path, e))
}

/// Tries it on the lock file.
fn keeps_times(file: &File) -> bool {
    let seal = Seal::new(&Digest::sha256(b""), 0);
    let kept = seal.put(file).is_ok() && matches!(seal.look(file), Ok(Condition::Sealed));
    if !kept {
        tracing::warn!(
            "the file system of the store keeps no times that it is given: a file that somebody else changes is noticed only by its length, or by a scrub"
        );
    }
    kept
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = paths::on_disk(root, &paths::lock());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| StoreError::io("open", &path, e))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(StoreError::Locked {
            path: root.to_owned(),
        }),
        Err(error) => Err(StoreError::io("lock", &path, error.into())),
    }
}

/// Writes all slices one after the other from `position` on; `reached` is told how far the file has come.
pub(super) fn write_slices(
    file: &File,
    mut slices: &mut [IoSlice<'_>],
    mut position: u64,
    mut reached: impl FnMut(u64),
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0); // Skips empty ones: a write of nothing is taken for a full disk.
    while !slices.is_empty() {
        // At most IOV_MAX slices at a time: rustix leaves the others for the next round.
        let written = rustix::io::retry_on_intr(|| rustix::io::pwritev(file, slices, position))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        position += written as u64;
        IoSlice::advance_slices(&mut slices, written);
        reached(position);
    }
    Ok(())
}
