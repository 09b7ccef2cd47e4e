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

/// Places (at one remote) that were looked at already.
type Known = BTreeSet<(Name, Tag)>;

impl Replication {
    /// Asks for each tag with a delete that waits, but for those that were noted, which are asked for anyway. What has been
    /// seen of the events is in tasks: first events are looked at, so that nothing goes by in between.
    pub(super) async fn compare_deletes(
        &self,
        known: &KnownRule,
        remote: &str,
        noted: &Noted,
        asking: &mut Asking,
    ) -> Result<(), ReplicationError> {
        let mut places = noted.keys().cloned().collect();
        self.ask_for_events(known, remote, &mut places, asking)
            .await?;
        self.ask_for_tasks(known, remote, &mut places, asking).await
    }

    async fn ask_for_events(
        &self,
        known: &KnownRule,
        remote: &str,
        places: &mut Known,
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
                wanted.extend(self.gone(known, remote, place, places).await?);
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
        places: &mut Known,
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
                    wanted.extend(self.gone(known, remote, place, places).await?);
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
        places: &mut Known,
    ) -> Result<Option<Wanted>, ReplicationError> {
        if !places.insert((destination.clone(), tag.clone())) {
            return Ok(None);
        }
        let is_here = self.inner.parts.meta.tag(&repository, &tag).await?;
        Ok(is_here.is_none().then(|| Wanted {
            key: key(known, remote, &destination, tag),
            repository,
            digest: None,
            noted: None,
            since: known.created_at,
        }))
    }
}
