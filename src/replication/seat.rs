//! Which tasks are taken next: as many as there are seats for, at once, so that one commit takes them all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};

use futures_util::future::join_all;
use tracing::warn;
use uuid::Uuid;

use super::{
    engine::read,
    turns::Queue,
    work::{HOLD, Inner, locked},
};
use crate::meta::{HeldTask, MetaError};

/// Tasks that are taken at once, at most.
const AT_ONCE: usize = 16;

/// A task's place among those of its remote and of its rule, until it is dropped.
pub(super) struct Seat {
    pub(super) inner: Arc<Inner>,
    remote: String,
    rule: Uuid,
}

impl Seat {
    fn new(inner: &Arc<Inner>, (remote, rule): &Queue) -> Self {
        inner.turns.begin(remote, *rule);
        Self {
            inner: Arc::clone(inner),
            remote: remote.clone(),
            rule: *rule,
        }
    }
}

/// Takes the tasks that have been due for longest, unless somebody else has them: one for each seat at most.
async fn fill((remote, rule): Queue, seats: Vec<Seat>) -> Vec<(Seat, HeldTask)> {
    let Some(seat) = seats.first() else {
        return Vec::new();
    };
    let meta = seat.inner.replication.inner.parts.meta.clone();
    let held = meta.task_hold(&remote, rule, seats.len(), HOLD).await;
    let held = held.unwrap_or_else(|error| {
        warn!(remote, %error, "cannot take tasks: {error}");
        Vec::new()
    });
    seats.into_iter().zip(held).collect()
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.inner.turns.end(&self.remote, self.rule);
        if self.inner.turns.of_rule(self.rule) == 0 {
            locked(&self.inner.budgets).remove(&self.rule);
        }
    }
}

impl Inner {
    /// Takes tasks that are due, in their turn, so many at most. None: nobody waits whom somebody may serve.
    pub(super) async fn take(
        self: &Arc<Self>,
        most: usize,
    ) -> Result<Vec<(Seat, HeldTask)>, MetaError> {
        let mut due = self.due().await?;
        loop {
            let seats = self.seats(&due, most.min(AT_ONCE));
            if seats.is_empty() {
                return Ok(Vec::new());
            }
            due.retain(|queue, _| !seats.contains_key(queue));
            let filled = seats.into_iter().map(|(queue, seats)| fill(queue, seats));
            let held: Vec<_> = join_all(filled).await.into_iter().flatten().collect();
            if !held.is_empty() {
                return Ok(held);
            }
        }
    }

    /// Those that have a task which is due, and how many tasks their rule runs at once.
    async fn due(&self) -> Result<BTreeMap<Queue, usize>, MetaError> {
        let meta = &self.replication.inner.parts.meta;
        let mut limits: HashMap<Uuid, usize> = HashMap::new();
        let mut found = BTreeMap::new();
        for (remote, rule) in meta.task_queues().await? {
            let due = meta.task_due(&remote, rule).await?;
            if due.is_none_or(|due| due > SystemTime::now()) {
                continue;
            }
            let limit = if let Some(limit) = limits.get(&rule) {
                *limit
            } else {
                let row = meta.rule_by_id(rule).await?;
                let limit = row.and_then(|row| read(&row.members)?.concurrency);
                limit.map_or(usize::MAX, |limit| limit as usize)
            };
            limits.insert(rule, limit);
            if self.turns.of_rule(rule) < limit {
                found.insert((remote, rule), limit);
            }
        }
        Ok(found)
    }

    /// Seats for those that are due, in turn, as long as there is room.
    fn seats(
        self: &Arc<Self>,
        due: &BTreeMap<Queue, usize>,
        most: usize,
    ) -> HashMap<Queue, Vec<Seat>> {
        let may_begin = |queue: &Queue| {
            let limit = due.get(queue);
            limit.is_some_and(|limit| self.turns.of_rule(queue.1) < *limit)
        };
        let queues: Vec<_> = due.keys().cloned().collect();
        let mut seats: HashMap<Queue, Vec<Seat>> = HashMap::new();
        for _ in 0..most {
            let order = self.turns.order(&queues, |remote| self.limit(remote));
            let Some(queue) = order.into_iter().find(may_begin) else {
                break;
            };
            let seat = Seat::new(self, &queue);
            seats.entry(queue).or_default().push(seat);
        }
        seats
    }
}
