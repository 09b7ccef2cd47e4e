//! How much room is wanted, where, and what was done about it.

use crate::meta::Removed;

/// What one run has evicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    pub images: u64,
    pub blobs: u64,
    pub bytes: u64,
    /// Something is still exceeded, and nothing more may go.
    pub in_vain: bool,
    /// A file could not be deleted yet, since its fill is not quite over; or another replica evicts.
    pub unfinished: bool,
}

/// Where room is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'p> {
    Disk,
    All,
    Project(&'p str),
}

/// How much room one scope still wants.
pub(super) struct Demand<'p> {
    scope: Scope<'p>,
    pub(super) bytes: u64,
    pub(super) evicted: Evicted,
    /// Images whose files are still there.
    pub(super) undeleted: usize,
}

impl<'p> Demand<'p> {
    pub(super) fn new(scope: Scope<'p>, bytes: u64) -> Self {
        Self {
            scope,
            bytes,
            evicted: Evicted::default(),
            undeleted: 0,
        }
    }

    /// Counts what went.
    pub(super) fn note(&mut self, removed: &Removed) {
        let freed = match self.scope {
            Scope::Project(_) => removed.project_bytes,
            Scope::All | Scope::Disk => removed.bytes,
        };
        self.bytes = self.bytes.saturating_sub(freed);
        self.evicted.blobs += removed.gone.len() as u64;
        self.evicted.bytes += removed.bytes;
        self.undeleted += 1;
    }

    pub(super) fn project(&self) -> Option<&'p str> {
        match self.scope {
            Scope::Project(project) => Some(project),
            Scope::All | Scope::Disk => None,
        }
    }
}

impl Evicted {
    pub(super) fn add(&mut self, other: Self) {
        self.images += other.images;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.in_vain |= other.in_vain;
        self.unfinished |= other.unfinished;
    }
}
