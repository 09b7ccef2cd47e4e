//! Blobs kept open, so that a hit costs no `open` and no `fstat`: a bounded map, least recently used out first.
//!
//! Not `moka`: an entry removed there closes its file some time later, and a deleted blob must free its disk space at
//! once. All is synchronous, so each change is made in the same blocking step as the change on disk.
//!
//! A file is opened, then noted here; a delete in between must not be forgotten. So whoever notes a file brings the
//! [`Epoch`] from before it touched the disk, and a note from before the last change is not kept.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Blob;
use crate::oci::Digest;

pub(super) struct OpenFiles {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Digest, Entry>,
    /// Counts lookups; an entry's stamp says when it was last wanted.
    clock: u64,
    /// Counts blobs replaced and deleted.
    changes: u64,
}

struct Entry {
    blob: Blob,
    last_use: u64,
}

/// A point in the order of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl OpenFiles {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
        }
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Blob> {
        let state = &mut *self.state();
        state.clock += 1;
        let entry = state.entries.get_mut(digest)?;
        entry.last_use = state.clock;
        Some(entry.blob.clone())
    }

    /// To be asked for before the disk is looked at or changed.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.state().changes)
    }

    /// Notes a file that was found in place.
    pub(super) fn opened(&self, since: Epoch, digest: &Digest, blob: &Blob) {
        let mut state = self.state();
        if since == Epoch(state.changes) {
            state.insert(self.capacity, digest, blob);
        }
    }

    /// Notes a file that was put in place of whatever was there.
    pub(super) fn placed(&self, since: Epoch, digest: &Digest, blob: &Blob) {
        let mut state = self.state();
        let unchanged = since == Epoch(state.changes);
        state.remove(digest);
        if unchanged {
            state.insert(self.capacity, digest, blob);
        }
    }

    /// Forgets a file, after it was deleted.
    pub(super) fn deleted(&self, digest: &Digest) {
        self.state().remove(digest);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, capacity: usize, digest: &Digest, blob: &Blob) {
        if self.entries.len() >= capacity && !self.entries.contains_key(digest) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            if let Some(digest) = oldest.map(|(digest, _)| digest.clone()) {
                self.entries.remove(&digest);
            }
        }
        self.clock += 1;
        let entry = Entry {
            blob: blob.clone(),
            last_use: self.clock,
        };
        self.entries.insert(digest.clone(), entry);
    }

    fn remove(&mut self, digest: &Digest) {
        self.changes += 1;
        self.entries.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

    use super::*;
    use crate::store::seal::Seal;

    fn blob() -> (Blob, std::sync::Weak<File>) {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let weak = Arc::downgrade(&file);
        (Blob::new(file, Seal::new(&Digest::sha256(b""), 0)), weak)
    }

    #[test]
    fn the_least_recently_used_file_is_closed_first() {
        let files = OpenFiles::new(2);
        let digests = [b"a", b"b", b"c"].map(|text| Digest::sha256(text));
        let mut weaks = Vec::new();
        for digest in &digests[..2] {
            let (blob, weak) = blob();
            files.opened(files.epoch(), digest, &blob);
            weaks.push(weak);
        }
        assert!(files.get(&digests[0]).is_some());
        files.opened(files.epoch(), &digests[2], &blob().0);
        assert!(files.get(&digests[0]).is_some());
        assert!(files.get(&digests[1]).is_none());
        assert!(weaks[1].upgrade().is_none(), "still open");
    }

    #[test]
    fn a_deleted_file_is_closed_at_once() {
        let files = OpenFiles::new(2);
        let digest = Digest::sha256(b"a");
        let (blob, weak) = blob();
        files.opened(files.epoch(), &digest, &blob);
        drop(blob);
        files.deleted(&digest);
        assert!(files.get(&digest).is_none());
        assert!(weak.upgrade().is_none(), "still open");
    }

    #[test]
    fn a_file_opened_before_a_delete_is_not_kept_after_it() {
        let files = OpenFiles::new(2);
        let digest = Digest::sha256(b"a");
        let before = files.epoch();
        files.deleted(&digest);
        files.opened(before, &digest, &blob().0);
        assert!(files.get(&digest).is_none());
        files.placed(before, &digest, &blob().0);
        assert!(files.get(&digest).is_none());
        files.placed(files.epoch(), &digest, &blob().0);
        assert!(files.get(&digest).is_some());
    }
}
