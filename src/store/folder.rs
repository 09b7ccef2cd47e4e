//! The folder on disk. Everything here blocks, and is called on blocking threads only.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::FileExt,
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
};
use crate::oci::Digest;

pub(super) struct Folder {
    root: PathBuf,
    /// Tells files of this opening from those of earlier ones.
    opening: Uuid,
    puts: AtomicU64,
    /// Folders whose own entry is known to be on disk.
    durable: Mutex<HashSet<PathBuf>>,
    /// Its lock lives as long as this.
    _lock: File,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(|e| StoreError::io("create", root, e))?;
        let folder = Self {
            root: root.to_owned(),
            opening: Uuid::now_v7(),
            puts: AtomicU64::new(0),
            durable: Mutex::new(HashSet::from([root.to_owned()])),
            _lock: lock(root)?,
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
        Ok(Some(Blob::new(Arc::new(file), metadata.len())))
    }

    /// Opens a spool, making it if need be; readers share the file.
    pub(super) fn open_spool(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path(&paths::spool(digest));
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))
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
        self.place(&file, key, digest)?;
        Ok(Blob::new(Arc::new(file), bytes.len() as u64))
    }

    /// Makes a complete and verified file the blob: content, name and folder are on disk when this returns.
    pub(super) fn place(&self, file: &File, from: &Key, digest: &Digest) -> Result<(), StoreError> {
        let (from, to) = (self.path(from), self.path(&paths::blob(digest)));
        if let Err(error) = file.sync_data() {
            // The kernel may now call pages clean that never reached the disk: what can be read back proves nothing.
            let _ = fs::remove_file(&from);
            return Err(StoreError::io("sync", &from, error));
        }
        let parent = parent(&to);
        self.make_durable(parent)?;
        fs::rename(&from, &to).map_err(|e| StoreError::io("rename", &from, e))?;
        sync_folder(parent)
    }

    /// Waits until the name of a blob that somebody else put in place is on disk.
    pub(super) fn sync_name(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(&paths::blob(digest));
        self.make_durable(parent(&path))?;
        sync_folder(parent(&path))
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
