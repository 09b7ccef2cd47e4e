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

use super::ledger::{Budget, Standing, State};
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
            written: self.resume(here),
        };
        // Dropped, what is here is left as before.
        let admitted = reservation.take(bytes, here).await?;
        Ok(admitted.then_some(reservation))
    }

    /// Would this much more fit on the disk? For what counts in no budget. Wakes eviction if it would not.
    pub async fn has_room(&self, bytes: u64) -> Result<bool, StoreError> {
        let free = self.inner.store.free_bytes().await?;
        let mut state = self.lock();
        let usable = free
            .saturating_sub(self.inner.free_floor_bytes)
            .saturating_sub(state.outstanding);
        if bytes <= usable {
            return Ok(true);
        }
        state.wanted = state.wanted.max(bytes - usable);
        drop(state);
        self.press();
        Ok(false)
    }

    /// From now on these projects have budgets of their own. How much a new one holds is not known until it is measured.
    pub fn set_project_limits(&self, limits: &HashMap<String, u64>) {
        let mut state = self.lock();
        state
            .projects
            .retain(|project, _| limits.contains_key(project));
        let mut has_new = false;
        for (project, limit) in limits {
            let budget = state.projects.entry(project.clone());
            let budget = budget.or_insert_with(|| {
                has_new = true;
                Budget::unmeasured()
            });
            has_new |= budget.set_limit(*limit);
        }
        drop(state);
        if has_new {
            self.press();
        }
    }

    /// A spool of so many bytes is written to again. How many of them were counted as left.
    fn resume(&self, here: u64) -> u64 {
        let mut state = self.lock();
        let counted = here.min(state.left);
        state.left -= counted;
        counted
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

    /// Bytes that are missing on the disk: to its floor, or for what was refused, if that is no more than half of what is
    /// cached. One blob is not worth everything else.
    pub async fn missing_on_disk(&self) -> Result<u64, StoreError> {
        let free = self.inner.store.free_bytes().await?;
        let floor = self.inner.free_floor_bytes;
        // A little more, so that the next fill does not come to the same point.
        let to_floor = match floor.saturating_sub(free) {
            0 => 0,
            missing => missing + floor / 20,
        };
        let state = self.lock();
        let wanted = state.wanted;
        let for_fill = if wanted <= state.all.cached / 2 {
            wanted
        } else {
            0
        };
        Ok(to_floor.max(for_fill))
    }

    /// What was refused until now has its room, or will not get it.
    pub fn forget_wanted(&self) {
        self.lock().wanted = 0;
    }

    /// Sets room aside, so that eviction can write when nobody else can.
    pub async fn keep_reserve(&self) -> Result<(), StoreError> {
        self.inner.store.keep_reserve().await
    }

    /// Gives it up; `false` if there is none.
    pub async fn spend_reserve(&self) -> Result<bool, StoreError> {
        self.inner.store.spend_reserve().await
    }

    /// To be told before the rows are summed: what comes from now on is added to the sum.
    pub fn measuring(&self, project: Option<&str>) {
        let mut state = self.lock();
        if let Some(budget) = state.budget(project) {
            budget.since = 0;
        }
    }

    /// Notes a sum over all rows. What came while they were read may be counted twice, until the next sum.
    pub fn measured(&self, project: Option<&str>, cached_bytes: u64) {
        let mut state = self.lock();
        if let Some(budget) = state.budget(project) {
            budget.cached = cached_bytes.saturating_add(budget.since);
        }
    }

    /// Notes what the spools that nobody writes to take.
    pub fn measured_left(&self, bytes: u64) {
        self.lock().left = bytes;
    }

    /// So many bytes count in a budget that were not reserved there.
    pub fn came(&self, project: Option<&str>, bytes: u64) {
        let mut state = self.lock();
        let left = if project.is_none() { state.left } else { 0 };
        if let Some(budget) = state.budget(project) {
            budget.add(bytes);
            if budget.standing(left).is_exceeded() {
                self.press();
            }
        }
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
        if !admitted {
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
        self.release();
        self.space.came(None, bytes);
        self.space.came(Some(&self.project), bytes);
        self.bytes = 0;
        self.written = 0;
    }

    /// Nothing of it is on disk any more.
    pub fn discard(mut self) {
        self.release();
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

    fn release(&self) {
        let mut state = self.space.lock();
        state.outstanding -= self.outstanding();
        state.for_each(&self.project, |budget| {
            // A budget that came after the reservation does not know of it.
            budget.reserved = budget.reserved.saturating_sub(self.bytes);
        });
    }

    fn outstanding(&self) -> u64 {
        self.bytes.saturating_sub(self.written)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
        self.space.lock().left += self.written;
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
