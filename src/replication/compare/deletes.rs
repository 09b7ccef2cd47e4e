//! Deletes that a rule has still to carry out. Between Entrepots they may be of tags that the rule put nowhere: of these only
//! what waits tells.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{Asking, Noted, Wanted, key};
use crate::{
    meta::{Action, EventKind},
    oci::{Name, Tag},
    replication::{KnownRule, Replication, ReplicationError},
};

/// Events and tasks that are looked at together.
const PAGE: u32 = 200;

/// What was looked at already, at one remote.
struct Looked<'n> {
    /// What the rule put there and was not looked at.
    noted: &'n mut Noted,
    places: BTreeSet<(Name, Tag)>,
}

impl Replication {
    /// Asks for each tag with a delete that waits. What has been seen of the events is in tasks: first events are looked at,
    /// so that nothing goes by in between.
    pub(super) async fn compare_deletes(
        &self,
        known: &KnownRule,
        remote: &str,
        noted: &mut Noted,
        asking: &mut Asking,
    ) -> Result<(), ReplicationError> {
        let mut looked = Looked {
            noted,
            places: BTreeSet::new(),
        };
        self.ask_for_events(known, remote, &mut looked, asking)
            .await?;
        self.ask_for_tasks(known, remote, &mut looked, asking).await
    }

    async fn ask_for_events(
        &self,
        known: &KnownRule,
        remote: &str,
        looked: &mut Looked<'_>,
        asking: &mut Asking,
    ) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        let rule = &known.rule;
        let row = meta.rule_by_id(known.id).await?;
        let mut seen = row.and_then(|row| row.passed_event);
        while let Some(passed) = seen {
            let events = meta.events_after(passed, PAGE).await?;
            let last = events.last().map(|event| event.id);
            seen = last.filter(|_| events.len() == PAGE as usize);
            let mut wanted = Vec::new();
            for event in events {
                let is_delete = event.kind == EventKind::Deleted;
                let Some(tag) = event.tag.filter(|_| is_delete) else {
                    continue;
                };
                if !rule.takes_repository(&event.repository) || !rule.filters.take_tag(&tag) {
                    continue;
                }
                let Ok(destination) = self.destination(rule, &event.repository) else {
                    continue;
                };
                let place = (event.repository, destination, tag);
                wanted.extend(self.gone(known, remote, place, looked).await?);
            }
            asking.ask(wanted).await?;
            if seen.is_some() && Instant::now() >= asking.until {
                asking.give_up("there was no time to look at everything that happened");
                return Ok(());
            }
        }
        Ok(())
    }

    async fn ask_for_tasks(
        &self,
        known: &KnownRule,
        remote: &str,
        looked: &mut Looked<'_>,
        asking: &mut Asking,
    ) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        let mut last = None;
        loop {
            let page = meta.tasks_that_delete(known.id, remote, last.as_ref(), PAGE);
            let tasks = page.await?;
            let mut wanted = Vec::new();
            for task in &tasks {
                let deletes = task.items.iter();
                for item in deletes.filter(|item| item.action == Action::Delete) {
                    let (repository, destination) = (&task.repository, &task.destination);
                    let place = (repository.clone(), destination.clone(), item.tag.clone());
                    wanted.extend(self.gone(known, remote, place, looked).await?);
                }
            }
            asking.ask(wanted).await?;
            last = tasks.into_iter().next_back();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// A tag that is at its source no longer, and is looked at for the first time.
    async fn gone(
        &self,
        known: &KnownRule,
        remote: &str,
        (repository, destination, tag): (Name, Name, Tag),
        looked: &mut Looked<'_>,
    ) -> Result<Option<Wanted>, ReplicationError> {
        let place = (destination, tag);
        let is_new = looked.places.insert(place.clone());
        let meta = &self.inner.parts.meta;
        if !is_new || meta.tag(&repository, &place.1).await?.is_some() {
            return Ok(None);
        }
        let noted = looked.noted.remove(&place).map(|row| row.claim);
        let (destination, tag) = place;
        Ok(Some(Wanted {
            key: key(known, remote, &destination, tag),
            repository,
            digest: None,
            noted,
            is_doomed: true,
            since: known.created_at,
        }))
    }
}
