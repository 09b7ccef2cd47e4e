//! What only one member does at a time: a row that is this member's as long as it is renewed.
//!
//! ```text
//! take ──► Lease ── every beat renews all rows of this member ──► dropped: the row goes
//!    │        └──── a beat finds the row gone, or with somebody else: lost
//!    └───► Other: who has it, and where that is
//! ```
//! A row that this process does not know of (who took it went away meanwhile, or its release failed) goes with the next
//! beat.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use super::{Cluster, EXPIRY, MemberId};
use crate::meta::{HeldLease, LeaseRequest, LeaseTaken, MetaError};

/// A lease of this member, until the last clone is dropped.
#[derive(Clone)]
pub struct Lease(Arc<Held>);

struct Held {
    key: String,
    token: i64,
    lost: AtomicBool,
    table: Table,
}

/// Who has a lease.
pub enum Claim {
    Mine(Lease),
    Other {
        member: MemberId,
        /// Where it is reached; none when it has left.
        advertise_url: Option<Url>,
    },
}

/// The leases of this process; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Table(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to be released.
    released: Notify,
}

#[derive(Default)]
struct State {
    held: HashMap<String, Entry>,
    /// Being taken, and how often at once: their rows may be there already.
    taking: HashMap<String, usize>,
    released: Vec<HeldLease>,
}

struct Entry {
    token: i64,
    held: Weak<Held>,
}

impl Lease {
    /// Somebody else has it by now, or may have it: it could not be renewed in time.
    pub fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Cluster {
    /// Takes a lease, or tells who has it. `suspect` is a member of whom there is reason to think
    /// that it is gone. An error: nobody knows. May be dropped at any point.
    pub async fn claim(&self, key: &str, suspect: Option<&MemberId>) -> Result<Claim, MetaError> {
        let table = &self.inner.leases;
        if let Some(lease) = table.find(key) {
            return Ok(Claim::Mine(lease));
        }
        let taking = table.begin(key);
        let request = LeaseRequest {
            key: key.to_owned(),
            member: self.inner.me.as_str().to_owned(),
            expiry: EXPIRY,
            suspect: suspect.map(|member| member.as_str().to_owned()),
        };
        Ok(match self.inner.meta.lease_take(request).await? {
            LeaseTaken::Mine { token } => Claim::Mine(taking.end(token)),
            LeaseTaken::Other {
                member,
                advertise_url,
            } => Claim::Other {
                member: member.as_str().into(),
                advertise_url: advertise_url.and_then(|url| url.parse().ok()),
            },
        })
    }

    /// Gives back what was dropped. What cannot be given back now goes with a later beat.
    pub(super) async fn keep_releasing(&self, shutdown: CancellationToken) {
        let table = &self.inner.leases;
        while shutdown
            .run_until_cancelled(table.0.released.notified())
            .await
            .is_some()
        {
            let released = std::mem::take(&mut table.lock().released);
            let me = self.inner.me.as_str();
            if let Err(error) = self.inner.meta.lease_release(me, released).await {
                debug!(%error, "leases cannot be given back yet: {error}");
            }
        }
    }
}

impl Table {
    fn find(&self, key: &str) -> Option<Lease> {
        let lease = Lease(self.lock().held.get(key)?.held.upgrade()?);
        (!lease.is_lost()).then_some(lease)
    }

    fn begin(&self, key: &str) -> Taking<'_> {
        *self.lock().taking.entry(key.to_owned()).or_default() += 1;
        Taking {
            table: self,
            key: key.to_owned(),
        }
    }

    /// What this process has now.
    pub(super) fn held(&self) -> Vec<HeldLease> {
        let state = self.lock();
        let row = |(key, entry): (&String, &Entry)| HeldLease {
            key: key.clone(),
            token: entry.token,
        };
        state.held.iter().map(row).collect()
    }

    /// Holds what this process had before a beat against the rows that the beat found.
    pub(super) fn compare(&self, before: &[HeldLease], rows: Vec<HeldLease>) {
        let mut state = self.lock();
        let gone = before.iter().filter(|lease| !rows.contains(lease));
        // What is upgraded here is dropped after the lock, which its end takes too.
        let lost: Vec<_> = gone
            .filter_map(|lease| state.find(lease)?.held.upgrade())
            .collect();
        let unknown = rows
            .into_iter()
            .filter(|row| !state.taking.contains_key(&row.key) && state.find(row).is_none());
        let unknown: Vec<_> = unknown.collect();
        state.released.extend(unknown);
        let is_some_released = !state.released.is_empty();
        drop(state);
        if is_some_released {
            self.0.released.notify_one();
        }
        for held in lost {
            warn!(
                lease = held.key,
                "a lease was lost: another replica took this one for gone"
            );
            held.lost.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that is being taken.
struct Taking<'t> {
    table: &'t Table,
    key: String,
}

impl Taking<'_> {
    /// It is this member's.
    fn end(self, token: i64) -> Lease {
        let held = Arc::new(Held {
            key: self.key.clone(),
            token,
            lost: AtomicBool::new(false),
            table: self.table.clone(),
        });
        let entry = Entry {
            token,
            held: Arc::downgrade(&held),
        };
        self.table.lock().held.insert(self.key.clone(), entry);
        Lease(held)
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        if let Some(count) = state.taking.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.taking.remove(&self.key);
            }
        }
    }
}

impl State {
    fn find(&self, lease: &HeldLease) -> Option<&Entry> {
        self.held
            .get(&lease.key)
            .filter(|entry| entry.token == lease.token)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let lease = HeldLease {
            key: std::mem::take(&mut self.key),
            token: self.token,
        };
        let mut state = self.table.lock();
        // Another one of the same key may be there by now.
        if state.find(&lease).is_some() {
            state.held.remove(&lease.key);
        }
        state.released.push(lease);
        drop(state);
        self.table.0.released.notify_one();
    }
}
