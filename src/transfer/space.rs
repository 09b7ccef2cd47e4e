//! How much may still be kept: the budgets of cached content, and the free space of the disk.
//!
//! ```text
//!   budget (all, and each project that has one)          disk
//!   ├─ cached      rows say so                           ├─ free         the file system says so
//!   ├─ left        spools that nobody writes to          ├─ outstanding  announced by running fills, not yet written
//!   └─ reserved    announced by running fills            └─ floor
//! ```
//!
//! A fill reserves what its remote announced before the first byte, and more as it comes when nothing was announced.
//! What never fits, or does not fit on the disk now, is passed through instead. A budget may be exceeded by what runs at
//! a time, because eviction is woken and makes room behind it; once eviction has found nothing more that may go, what
//! does not fit is passed through until something changes.
//!
//! `cached` is a sum over all rows that was true once, and what was added since: never less than the truth, so it tells
//! when a budget may be exceeded, and only then is it worth to read all rows again (`upkeep/evict.rs`). Nothing has to be
//! kept in step with the rows, by this process or another one, or survive a crash.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::store::{Store, StoreError};

/// What may be kept.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Bytes of cached content of all projects; `None` is unlimited.
    pub max_bytes: Option<u64>,
    /// Of each project that has a budget of its own.
    pub projects: HashMap<String, u64>,
    /// Bytes of the disk that stay free.
    pub free_floor_bytes: u64,
}

/// The ledger of what is kept and what is about to be; cheap to clone.
#[derive(Clone)]
pub struct Space {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    free_floor_bytes: u64,
    state: Mutex<State>,
    pressure: Notify,
}

struct State {
    all: Budget,
    projects: HashMap<String, Budget>,
    /// Announced by running fills and not yet on disk.
    outstanding: u64,
    /// Spools that nobody writes to.
    left: u64,
    /// What was missing on the disk for the largest reservation that was refused since eviction last asked.
    wanted: u64,
}

/// One budget and what counts in it, in bytes.
#[derive(Debug, Clone, Copy)]
struct Budget {
    limit: u64,
    cached: u64,
    reserved: u64,
    /// Eviction found nothing more that may go.
    stuck: bool,
}

/// How one budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Bytes; `u64::MAX` is unlimited.
    pub limit: u64,
    /// Bytes that count in it: never less than the truth.
    pub used: u64,
}

impl Standing {
    pub fn is_exceeded(self) -> bool {
        self.used > self.limit
    }
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            cached: 0,
            reserved: 0,
            stuck: false,
        }
    }

    fn used(&self, left: u64) -> u64 {
        self.cached
            .saturating_add(self.reserved)
            .saturating_add(left)
    }

    /// Room for so many more bytes, now or once eviction has made it?
    fn admits(&self, left: u64, more: u64, whole: u64) -> bool {
        let fits_now = self.used(left).saturating_add(more) <= self.limit;
        whole <= self.limit && (fits_now || !self.stuck)
    }
}

impl Space {
    pub fn new(store: Store, limits: Limits) -> Self {
        let projects = limits.projects.into_iter();
        let state = State {
            all: Budget::new(limits.max_bytes.unwrap_or(u64::MAX)),
            projects: projects
                .map(|(name, limit)| (name, Budget::new(limit)))
                .collect(),
            outstanding: 0,
            left: 0,
            wanted: 0,
        };
        Self {
            inner: Arc::new(Inner {
                store,
                free_floor_bytes: limits.free_floor_bytes,
                state: Mutex::new(state),
                pressure: Notify::new(),
            }),
        }
    }

    /// Room for content of this size, of which `here` bytes are on disk already. `None`: it is not to be kept.
    pub async fn reserve(
        &self,
        project: &str,
        bytes: u64,
        here: u64,
    ) -> Result<Option<Reservation>, StoreError> {
        let mut reservation = Reservation {
            space: self.clone(),
            project: project.to_owned(),
            bytes: 0,
            written: 0,
        };
        let admitted = reservation.take(bytes, here).await?;
        Ok(admitted.then_some(reservation))
    }

    /// Waits until eviction is wanted.
    pub async fn pressed(&self) {
        self.inner.pressure.notified().await;
    }

    /// Wakes eviction.
    pub fn press(&self) {
        self.inner.pressure.notify_one();
    }

    /// The budget of all projects together.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        state.all.standing(state.left)
    }

    /// The budgets that projects have of their own. (Spools that were left count in none of them.)
    pub fn project_standings(&self) -> Vec<(String, Standing)> {
        let state = self.lock();
        let standing = |(name, budget): (&String, &Budget)| (name.clone(), budget.standing(0));
        state.projects.iter().map(standing).collect()
    }

    /// Bytes that are missing on the disk: to its floor, or for what was refused since the last call, if that is no more
    /// than half of what is cached. One blob is not worth everything else.
    pub async fn missing_on_disk(&self) -> Result<u64, StoreError> {
        let free = self.inner.store.free_bytes().await?;
        let floor = self.inner.free_floor_bytes;
        // A little more, so that the next fill does not come to the same point.
        let to_floor = match floor.saturating_sub(free) {
            0 => 0,
            missing => missing + floor / 20,
        };
        let mut state = self.lock();
        let wanted = std::mem::take(&mut state.wanted);
        let for_fill = if wanted <= state.all.cached / 2 {
            wanted
        } else {
            0
        };
        Ok(to_floor.max(for_fill))
    }

    /// Notes a sum over all rows. What was reserved when it was begun may be counted twice, until the next one.
    pub fn measured(&self, project: Option<&str>, cached_bytes: u64) {
        let mut state = self.lock();
        if let Some(budget) = state.budget(project) {
            budget.cached = cached_bytes;
        }
    }

    /// Notes what the spools that nobody writes to take.
    pub fn measured_left(&self, bytes: u64) {
        self.lock().left = bytes;
    }

    /// Eviction has freed so many bytes of a budget.
    pub fn freed(&self, project: Option<&str>, bytes: u64) {
        let mut state = self.lock();
        if let Some(budget) = state.budget(project) {
            budget.cached = budget.cached.saturating_sub(bytes);
        }
    }

    /// Whether eviction has found nothing more that may go, although this budget needs it.
    pub fn set_stuck(&self, project: Option<&str>, stuck: bool) {
        let mut state = self.lock();
        if let Some(budget) = state.budget(project) {
            budget.stuck = stuck;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the ledger half changed.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    /// `left`: spools that count in it.
    fn standing(&self, left: u64) -> Standing {
        Standing {
            limit: self.limit,
            used: self.used(left),
        }
    }
}

impl State {
    fn budget(&mut self, project: Option<&str>) -> Option<&mut Budget> {
        match project {
            None => Some(&mut self.all),
            Some(project) => self.projects.get_mut(project),
        }
    }

    fn for_each(&mut self, project: &str, change: impl Fn(&mut Budget)) {
        change(&mut self.all);
        if let Some(budget) = self.projects.get_mut(project) {
            change(budget);
        }
    }
}

/// Room for one blob. Dropped, the room is free again; what is on disk by then counts as left.
#[must_use = "room that is not held is not reserved"]
pub struct Reservation {
    space: Space,
    project: String,
    bytes: u64,
    /// How many of `bytes` are on disk.
    written: u64,
}

impl Reservation {
    /// Makes it one of `bytes`, of which `here` are on disk. `false`: there is no room, and nothing is changed.
    pub async fn take(&mut self, bytes: u64, here: u64) -> Result<bool, StoreError> {
        let free = self.space.inner.store.free_bytes().await?;
        let more = bytes.saturating_sub(self.bytes);
        let unwritten = bytes.saturating_sub(here);
        let mut state = self.space.lock();
        let state = &mut *state;
        let outstanding = state.outstanding - self.outstanding();
        let usable = free
            .saturating_sub(self.space.inner.free_floor_bytes)
            .saturating_sub(outstanding);
        let left = state.left;
        let project = state.projects.get(&self.project);
        let admitted = unwritten <= usable
            && state.all.admits(left, more, bytes)
            && project.is_none_or(|budget| budget.admits(0, more, bytes));
        if admitted {
            state.for_each(&self.project, |budget| budget.reserved += more);
            state.outstanding = outstanding + unwritten;
            self.bytes = bytes.max(self.bytes);
            self.written = here;
        }
        if unwritten > usable {
            state.wanted = state.wanted.max(unwritten - usable);
        }
        let pressed = unwritten > usable
            || state.all.standing(left).is_exceeded()
            || state
                .projects
                .get(&self.project)
                .is_some_and(|budget| budget.standing(0).is_exceeded());
        if pressed {
            self.space.press();
        }
        Ok(admitted)
    }

    /// Room in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many bytes are on disk by now.
    pub fn wrote(&mut self, written: u64) {
        let before = self.outstanding();
        self.written = written;
        let after = self.outstanding();
        let mut state = self.space.lock();
        state.outstanding = state.outstanding - before + after;
    }

    /// The blob is in place, with this size, and its rows are written.
    pub fn keep(mut self, bytes: u64) {
        self.release(|budget| budget.cached += bytes);
        self.bytes = 0;
        self.written = 0;
    }

    /// Nothing of it is on disk any more.
    pub fn discard(mut self) {
        self.release(|_| ());
        self.bytes = 0;
        self.written = 0;
    }

    /// The disk was full before all was written: somebody else took the room.
    pub fn ran_out(&self) {
        let missing = self.outstanding();
        let mut state = self.space.lock();
        state.wanted = state.wanted.max(missing);
        drop(state);
        self.space.press();
    }

    fn release(&self, change: impl Fn(&mut Budget)) {
        let mut state = self.space.lock();
        state.outstanding -= self.outstanding();
        state.for_each(&self.project, |budget| {
            budget.reserved -= self.bytes;
            change(budget);
        });
    }

    fn outstanding(&self) -> u64 {
        self.bytes.saturating_sub(self.written)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(|_| ());
        self.space.lock().left += self.written;
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
