//! Who may go next: so many at once over all, so many of one client, and the clients that wait take turns.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::access::Source;

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Requests in progress at once, and of one client. The second is smaller: whoever comes next finds a place.
    pub(super) running: usize,
    pub(super) running_of_client: usize,
    /// Requests that wait for their turn, and of one client.
    pub(super) waiting: usize,
    pub(super) waiting_of_client: usize,
    /// The longest wait.
    pub(super) patience: Duration,
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// All places are taken by all clients together.
    Busy,
    /// This client has what one client may have.
    TooMany,
}

/// The queue; cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Numbers those who wait.
    last_id: u64,
    clients: HashMap<Source, Share>,
    /// Clients that have somebody waiting and may have more in progress; the first is next. Each is in it once.
    order: VecDeque<Source>,
}

/// What one client has.
#[derive(Default)]
struct Share {
    running: usize,
    /// In the order in which they came, so by ascending id.
    queue: VecDeque<(u64, oneshot::Sender<()>)>,
    in_order: bool,
}

/// One request in progress; its place is free again when this is dropped.
pub(super) struct Turn {
    turns: Turns,
    client: Source,
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { limits, state }))
    }

    /// Waits for a turn. Dropping the future gives up the place in the queue.
    pub(super) async fn take(&self, client: Source) -> Result<Turn, NoTurn> {
        let mut waiting = match self.enter(client)? {
            Entered::Running(turn) => return Ok(turn),
            Entered::Waiting(waiting) => waiting,
        };
        let granted = tokio::time::timeout(self.0.limits.patience, &mut waiting.granted).await;
        match granted {
            Ok(Ok(())) => Ok(waiting.start()),
            Ok(Err(_)) | Err(_) => Err(waiting.give_up()),
        }
    }

    fn enter(&self, client: Source) -> Result<Entered, NoTurn> {
        let limits = &self.0.limits;
        let state = &mut *self.lock();
        let share = state.clients.entry(client).or_default();
        // Nobody waits while there is room: `grant` sees to it.
        if state.running < limits.running && share.running < limits.running_of_client {
            state.running += 1;
            share.running += 1;
            return Ok(Entered::Running(self.turn(client)));
        }
        if share.queue.len() >= limits.waiting_of_client {
            return Err(NoTurn::TooMany);
        }
        if state.waiting >= limits.waiting {
            state.forget(client);
            return Err(NoTurn::Busy);
        }
        let (grant, granted) = oneshot::channel();
        state.last_id += 1;
        state.waiting += 1;
        share.queue.push_back((state.last_id, grant));
        let id = state.last_id;
        state.line_up(client, limits);
        Ok(Entered::Waiting(Waiting {
            turns: self.clone(),
            client,
            id,
            granted,
            over: false,
        }))
    }

    fn turn(&self, client: Source) -> Turn {
        Turn {
            turns: self.clone(),
            client,
        }
    }

    fn finish(&self, client: Source) {
        let state = &mut *self.lock();
        state.running -= 1;
        if let Some(share) = state.clients.get_mut(&client) {
            share.running -= 1;
        }
        state.line_up(client, &self.0.limits);
        state.forget(client);
        state.grant(&self.0.limits);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the counts half changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a client at the end of the order, if it waits and may have more.
    fn line_up(&mut self, client: Source, limits: &Limits) {
        let Some(share) = self.clients.get_mut(&client) else {
            return;
        };
        let may_go = !share.queue.is_empty() && share.running < limits.running_of_client;
        if may_go && !share.in_order {
            share.in_order = true;
            self.order.push_back(client);
        }
    }

    /// Lets those go for whom there is room, one of each client at a time.
    fn grant(&mut self, limits: &Limits) {
        while self.running < limits.running {
            let Some(client) = self.order.pop_front() else {
                return;
            };
            let Some(share) = self.clients.get_mut(&client) else {
                continue;
            };
            share.in_order = false;
            if share.running >= limits.running_of_client {
                continue;
            }
            let Some((_, grant)) = share.queue.pop_front() else {
                self.forget(client);
                continue;
            };
            self.waiting -= 1;
            // Who left is gone from the queue, or takes what it was given back.
            if grant.send(()).is_ok() {
                self.running += 1;
                share.running += 1;
            }
            self.line_up(client, limits);
            self.forget(client);
        }
    }

    /// Removes a client that has nothing.
    fn forget(&mut self, client: Source) {
        let has_nothing =
            |share: &Share| share.running == 0 && share.queue.is_empty() && !share.in_order;
        if self.clients.get(&client).is_some_and(has_nothing) {
            self.clients.remove(&client);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.finish(self.client);
    }
}

enum Entered {
    Running(Turn),
    Waiting(Waiting),
}

/// A place in the queue.
struct Waiting {
    turns: Turns,
    client: Source,
    id: u64,
    granted: oneshot::Receiver<()>,
    over: bool,
}

impl Waiting {
    fn start(mut self) -> Turn {
        self.over = true;
        self.turns.turn(self.client)
    }

    /// The wait was too long: whose fault was it?
    fn give_up(self) -> NoTurn {
        let state = self.turns.lock();
        let own = state
            .clients
            .get(&self.client)
            .map_or(0, |share| share.running);
        if own >= self.turns.0.limits.running_of_client {
            NoTurn::TooMany
        } else {
            NoTurn::Busy
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.granted.close();
        if self.granted.try_recv().is_ok() {
            return self.turns.finish(self.client);
        }
        let state = &mut *self.turns.lock();
        if let Some(share) = state.clients.get_mut(&self.client)
            && let Ok(place) = share.queue.binary_search_by_key(&self.id, |(id, _)| *id)
        {
            share.queue.remove(place);
            state.waiting -= 1;
        }
        state.forget(self.client);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
