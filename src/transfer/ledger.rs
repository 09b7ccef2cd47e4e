//! The figures of [`Space`](super::Space): budgets, and what is about to be on the disk.

use std::collections::HashMap;

/// All budgets, and the disk.
pub(super) struct State {
    pub(super) all: Budget,
    pub(super) projects: HashMap<String, Budget>,
    /// Announced by running fills and not yet on disk.
    pub(super) outstanding: u64,
    /// Spools that nobody writes to.
    pub(super) left: u64,
    /// What was missing on the disk for the largest reservation that was refused since eviction last made room.
    pub(super) wanted: u64,
}

/// One budget and what counts in it, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    limit: u64,
    pub(super) cached: u64,
    /// Kept since the last sum over all rows was begun: it may be in that sum, or not.
    pub(super) since: u64,
    pub(super) reserved: u64,
    /// Eviction found nothing more that may go.
    pub(super) stuck: bool,
}

/// How one budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Bytes; `u64::MAX` is unlimited.
    pub limit: u64,
    /// Bytes that are cached: never less than the truth.
    pub cached: u64,
    /// Bytes of spools that nobody writes to.
    pub left: u64,
    /// Bytes that running fills have announced.
    pub reserved: u64,
}

impl Standing {
    /// Bytes that are here or on their way.
    pub fn used(self) -> u64 {
        self.cached
            .saturating_add(self.left)
            .saturating_add(self.reserved)
    }

    /// By what is here. What is on its way counts once it is: eviction makes room behind it.
    pub fn is_exceeded(self) -> bool {
        self.cached.saturating_add(self.left) > self.limit
    }
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            cached: 0,
            since: 0,
            reserved: 0,
            stuck: false,
        }
    }

    /// Of a project that had none until now. Until it is measured it may hold anything.
    pub(super) fn unmeasured() -> Self {
        Self {
            cached: u64::MAX,
            ..Self::new(0)
        }
    }

    /// True: there is less room now.
    pub(super) fn set_limit(&mut self, limit: u64) -> bool {
        let is_less = limit < self.limit;
        self.limit = limit;
        is_less
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.cached = self.cached.saturating_add(bytes);
        self.since = self.since.saturating_add(bytes);
    }

    fn used(&self, left: u64) -> u64 {
        self.cached
            .saturating_add(self.reserved)
            .saturating_add(left)
    }

    /// Room for so many more bytes, now or once eviction has made it?
    pub(super) fn admits(&self, left: u64, more: u64, whole: u64) -> bool {
        let fits_now = self.used(left).saturating_add(more) <= self.limit;
        whole <= self.limit && (fits_now || !self.stuck)
    }
}

impl Budget {
    /// `left`: spools that count in it.
    pub(super) fn standing(&self, left: u64) -> Standing {
        Standing {
            limit: self.limit,
            cached: self.cached,
            left,
            reserved: self.reserved,
        }
    }
}

impl State {
    pub(super) fn budget(&mut self, project: Option<&str>) -> Option<&mut Budget> {
        match project {
            None => Some(&mut self.all),
            Some(project) => self.projects.get_mut(project),
        }
    }

    pub(super) fn for_each(&mut self, project: &str, change: impl Fn(&mut Budget)) {
        change(&mut self.all);
        if let Some(budget) = self.projects.get_mut(project) {
            change(budget);
        }
    }
}
