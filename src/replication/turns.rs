//! Whose turn it is: remotes take turns, and so do the rules at a remote. No remote takes the places of the others, so that
//! one that is slow or away keeps nobody waiting.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use uuid::Uuid;

/// Tasks at a remote at once, where it does not say how many.
const AT_REMOTE: usize = 8;

/// A remote, and a rule that has tasks for it.
pub(super) type Queue = (String, Uuid);

/// How many tasks run where, here.
pub(super) struct Turns {
    concurrency: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which queue was served last.
    last: Queue,
    at_remote: HashMap<String, usize>,
    of_rule: HashMap<Uuid, usize>,
    /// Remotes that could not be reached, until when they are left alone.
    resting: HashMap<String, Instant>,
    /// Remotes that could not be reached and have not answered since.
    away: HashSet<String>,
}

impl Turns {
    /// About so many tasks run at once; each remote always has a place. One that is away has no more than that, and takes it
    /// from nobody.
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of these queues, which are sorted and have something due, those that may be served now, in their turn. `limit` tells
    /// how many tasks a remote takes at once.
    pub(super) fn order(
        &self,
        queues: &[Queue],
        limit: impl Fn(&str) -> Option<usize>,
    ) -> Vec<Queue> {
        let now = Instant::now();
        let mut state = self.state();
        state.resting.retain(|_, until| *until > now);
        let mut remotes: BTreeSet<_> = queues.iter().map(|(remote, _)| remote.as_str()).collect();
        remotes.retain(|remote| !state.resting.contains_key(*remote));
        let running = state.at_remote.keys().map(String::as_str);
        let mut sharing: BTreeSet<_> = remotes.iter().copied().chain(running).collect();
        sharing.retain(|remote| !state.away.contains(*remote) && limit(remote) != Some(0));
        let share = (self.concurrency / sharing.len().max(1)).max(1);
        let has_room = |remote: &str| {
            let share = if state.away.contains(remote) {
                1
            } else {
                share
            };
            let limit = limit(remote).unwrap_or(AT_REMOTE).min(share);
            state.at_remote.get(remote).copied().unwrap_or_default() < limit
        };
        remotes.retain(|remote| has_room(remote));
        let mut queues: Vec<_> = queues
            .iter()
            .filter(|(remote, _)| remotes.contains(remote.as_str()))
            .cloned()
            .collect();
        // After the one that was served last, round and round.
        let begin = queues.partition_point(|queue| *queue <= state.last);
        queues.rotate_left(begin);
        queues
    }

    /// How many tasks of a rule run here.
    pub(super) fn of_rule(&self, rule: Uuid) -> usize {
        let state = self.state();
        state.of_rule.get(&rule).copied().unwrap_or_default()
    }

    pub(super) fn begin(&self, remote: &str, rule: Uuid) {
        let mut state = self.state();
        state.last = (remote.to_owned(), rule);
        *state.at_remote.entry(remote.to_owned()).or_default() += 1;
        *state.of_rule.entry(rule).or_default() += 1;
    }

    pub(super) fn end(&self, remote: &str, rule: Uuid) {
        let mut state = self.state();
        less(&mut state.at_remote, remote);
        less(&mut state.of_rule, &rule);
    }

    /// This remote could not be reached: nothing begins there for a while, and then one task at a time until it answers.
    pub(super) fn rest(&self, remote: &str, until: Instant) {
        let mut state = self.state();
        state.resting.insert(remote.to_owned(), until);
        state.away.insert(remote.to_owned());
    }

    /// This remote is not away.
    pub(super) fn answered(&self, remote: &str) {
        self.state().away.remove(remote);
    }
}

fn less<K, Q>(counts: &mut HashMap<K, usize>, key: &Q)
where
    K: std::borrow::Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queues(names: &[(&str, u128)]) -> Vec<Queue> {
        let queue = |(remote, rule): &(&str, u128)| ((*remote).to_owned(), Uuid::from_u128(*rule));
        names.iter().map(queue).collect()
    }

    fn order(turns: &Turns, names: &[(&str, u128)]) -> Vec<Queue> {
        turns.order(&queues(names), |_| None)
    }

    /// Serves whoever is next; the remote.
    fn serve(turns: &Turns, names: &[(&str, u128)]) -> Option<String> {
        let (remote, rule) = order(turns, names).into_iter().next()?;
        turns.begin(&remote, rule);
        Some(remote)
    }

    #[test]
    fn remotes_take_turns_and_so_do_the_rules_at_one() {
        let turns = Turns::new(100);
        let all = [("a", 1), ("a", 2), ("b", 1)];
        assert_eq!(order(&turns, &all), queues(&all));
        turns.begin("a", Uuid::from_u128(1));
        let next = queues(&[("a", 2), ("b", 1), ("a", 1)]);
        assert_eq!(order(&turns, &all), next);
        turns.begin("b", Uuid::from_u128(1));
        assert_eq!(order(&turns, &all), queues(&all));
    }

    #[test]
    fn a_remote_whose_tasks_do_not_end_leaves_the_others_their_places() {
        let turns = Turns::new(4);
        let both = [("away", 1), ("well", 1)];
        let served: Vec<_> = std::iter::from_fn(|| serve(&turns, &both)).collect();
        let away = served.iter().filter(|remote| *remote == "away").count();
        assert_eq!((away, served.len()), (2, 4));
        turns.end("well", Uuid::from_u128(1));
        assert_eq!(serve(&turns, &both).as_deref(), Some("well"));
        // However many there are, each has a place.
        let many = [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1)];
        let turns = Turns::new(2);
        let served: Vec<_> = std::iter::from_fn(|| serve(&turns, &many)).collect();
        assert_eq!(served, ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_remote_takes_no_more_at_once_than_it_says() {
        let turns = Turns::new(100);
        let one = [("a", 1)];
        assert_eq!(
            std::iter::from_fn(|| serve(&turns, &one)).count(),
            AT_REMOTE
        );
        assert_eq!(turns.order(&queues(&one), |_| Some(9)).len(), 1);
        turns.end("a", Uuid::from_u128(1));
        assert!(turns.order(&queues(&one), |_| Some(3)).is_empty());
        assert_eq!(turns.of_rule(Uuid::from_u128(1)), AT_REMOTE - 1);
    }

    #[test]
    fn a_remote_that_rests_takes_no_place() {
        let turns = Turns::new(2);
        let both = [("away", 1), ("well", 1)];
        turns.rest("away", Instant::now() + Duration::from_secs(60));
        assert_eq!(serve(&turns, &both).as_deref(), Some("well"));
        assert_eq!(serve(&turns, &both).as_deref(), Some("well"));
        assert_eq!(serve(&turns, &both), None);
        turns.rest("away", Instant::now());
        assert_eq!(serve(&turns, &both).as_deref(), Some("away"));
    }

    #[test]
    fn a_remote_that_is_away_has_one_place_that_is_nobody_elses() {
        let turns = Turns::new(4);
        let both = [("away", 1), ("well", 1)];
        turns.rest("away", Instant::now());
        let served: Vec<_> = std::iter::from_fn(|| serve(&turns, &both)).collect();
        let away = served.iter().filter(|remote| *remote == "away").count();
        assert_eq!((away, served.len()), (1, 5));
        turns.end("away", Uuid::from_u128(1));
        turns.answered("away");
        assert_eq!(serve(&turns, &both).as_deref(), Some("away"));
        assert_eq!(serve(&turns, &both).as_deref(), Some("away"));
        assert_eq!(serve(&turns, &both), None);
    }

    #[test]
    fn a_remote_that_may_not_be_used_now_takes_no_place() {
        let turns = Turns::new(2);
        let both = queues(&[("closed", 1), ("open", 1)]);
        let limit = |remote: &str| (remote == "closed").then_some(0);
        turns.begin("open", Uuid::from_u128(1));
        assert_eq!(turns.order(&both, limit), queues(&[("open", 1)]));
    }

    #[test]
    fn a_remote_where_something_runs_keeps_its_place() {
        let turns = Turns::new(2);
        turns.begin("busy", Uuid::from_u128(1));
        turns.begin("other", Uuid::from_u128(1));
        assert!(order(&turns, &[("other", 1)]).is_empty());
        turns.end("busy", Uuid::from_u128(1));
        assert_eq!(order(&turns, &[("other", 1)]), queues(&[("other", 1)]));
    }
}
