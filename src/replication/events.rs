//! What event rules make of the changes since they last looked: tasks with the final state of each tag.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use super::{
    Replication, ReplicationError,
    engine::{Cause, KnownRule, Run},
    rule::Trigger,
};
use crate::{
    meta::{
        Action, DeliveryKey, EventKind, EventPlan, EventRow, RuleDue, RuleFired, RuleRow, TaskItem,
        TaskWrite,
    },
    oci::{Digest, Name, Tag},
};

/// Events that are looked at together.
const PAGE: u32 = 1000;

/// Tags of images that others are about: cosign's, and the fallback of the referrers API.
const SIDE_TAG: &str = "sha256-";

/// What changed in a repository.
#[derive(Default)]
struct Changed {
    tags: BTreeSet<Tag>,
    /// Those that were deleted, and what they pointed to.
    deleted: BTreeMap<Tag, Digest>,
}

impl Replication {
    /// Lets every rule act on what happened since it last looked, and on its time.
    pub async fn look_once(&self) -> Result<(), ReplicationError> {
        for row in self.inner.parts.meta.rules().await? {
            if !row.enabled {
                continue;
            }
            let name = row.name.clone();
            if let Err(error) = self.look(row).await {
                warn!(rule = name, %error, "rule `{name}` cannot look for what is to be done: {error}");
            }
        }
        Ok(())
    }

    async fn look(&self, row: RuleRow) -> Result<(), ReplicationError> {
        let (due_at, passed) = (row.due_at, row.passed_event);
        let known = KnownRule::of(row)?;
        if let Some(due_at) = due_at.filter(|due_at| *due_at <= SystemTime::now()) {
            self.come_due(&known, due_at).await?;
        }
        if let Some(passed) = passed {
            self.see(&known, passed).await?;
        }
        Ok(())
    }

    /// Begins an execution of everything, and says when the next is due. What waits, or is under way to a remote that is
    /// slow, keeps nothing from the others: the plan leaves that out.
    async fn come_due(&self, known: &KnownRule, at: SystemTime) -> Result<(), ReplicationError> {
        let now = SystemTime::now();
        let rule = &known.rule;
        let (next, cause) = match &rule.trigger {
            Trigger::Manual => return Ok(()),
            Trigger::Cron(schedule) => (schedule.after(now), Cause::Cron),
            Trigger::Event => (Some(now + self.inner.parts.reconcile), Cause::Event),
        };
        let execution = Self::execution_of(known.id, rule, cause, Run::Now);
        let due = RuleDue {
            at,
            next,
            execution,
        };
        match self.inner.parts.meta.rule_fire(due).await? {
            RuleFired::Begun => self.inner.to_plan.notify_one(),
            RuleFired::BeingPlanned => {
                let name = &rule.name;
                info!(
                    rule = name,
                    "rule `{name}` begins nothing now: an execution of it is still being planned"
                );
            }
            RuleFired::Passed => {}
        }
        Ok(())
    }

    /// Acts on all events after this one.
    async fn see(&self, known: &KnownRule, passed: i64) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        let mut passed = passed;
        loop {
            let events = meta.events_after(passed, PAGE).await?;
            let Some(last) = events.last().map(|event| event.id) else {
                return Ok(());
            };
            let is_last = events.len() < PAGE as usize;
            let tasks = self.tasks_of(known, events).await?;
            let plan = EventPlan {
                execution: Self::execution_of(known.id, &known.rule, Cause::Event, Run::Now),
                tasks,
                passed: (passed, last),
            };
            if !meta.events_planned(plan).await? {
                return Ok(());
            }
            self.inner.to_work.notify_one();
            passed = last;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn tasks_of(
        &self,
        known: &KnownRule,
        events: Vec<EventRow>,
    ) -> Result<Vec<TaskWrite>, ReplicationError> {
        let mut changed: BTreeMap<Name, Changed> = BTreeMap::new();
        for event in events {
            if !known.rule.takes_repository(&event.repository) {
                continue;
            }
            self.note(&mut changed, event).await?;
        }
        let mut tasks = Vec::new();
        for (repository, changed) in changed {
            tasks.extend(self.tasks_for(known, &repository, changed).await?);
        }
        self.unasked(known.id, &known.rule, tasks).await
    }

    /// What an event is about: its tag, or those of the image that it is about itself.
    async fn note(
        &self,
        changed: &mut BTreeMap<Name, Changed>,
        event: EventRow,
    ) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        let subject = match (&event.tag, event.kind) {
            (Some(tag), _) => subject_of(tag),
            (None, _) => None,
        };
        let mut tags: BTreeSet<Tag> = match (&event.tag, subject) {
            (_, Some(subject)) => meta.tags_of(&event.repository, &subject).await?,
            (None, None) => meta.subject_tags(&event.repository, &event.digest).await?,
            (Some(_), None) => Vec::new(),
        }
        .into_iter()
        .collect();
        let of = changed.entry(event.repository).or_default();
        match event.tag {
            Some(tag) if event.kind == EventKind::Deleted => {
                of.deleted.insert(tag, event.digest);
            }
            Some(tag) => {
                tags.insert(tag);
            }
            None => {}
        }
        of.tags.extend(tags);
        Ok(())
    }

    /// A task for each remote, with what is true now of each tag that changed.
    async fn tasks_for(
        &self,
        known: &KnownRule,
        repository: &Name,
        changed: Changed,
    ) -> Result<Vec<TaskWrite>, ReplicationError> {
        let rule = &known.rule;
        let mut wanted = changed.tags;
        wanted.extend(changed.deleted.keys().cloned());
        let mut taken = self.selected_of(rule, repository, &wanted).await?;
        taken.retain(|tag, _| wanted.contains(tag));
        let destination = match self.destination(rule, repository) {
            Ok(destination) => destination,
            Err(message) => {
                warn!(rule = rule.name, "rule `{}`: {message}", rule.name);
                return Ok(Vec::new());
            }
        };
        let items: Vec<_> = taken
            .iter()
            .map(|(tag, digest)| item(tag, digest, Action::Copy))
            .collect();
        let mut tasks = Vec::new();
        for remote in &rule.remotes {
            let task = |items, delay| TaskWrite {
                remote: remote.clone(),
                repository: repository.clone(),
                destination: destination.clone(),
                items,
                delay,
            };
            if !items.is_empty() {
                tasks.push(task(items.clone(), Duration::ZERO));
            }
            let gone = changed
                .deleted
                .iter()
                .filter(|(tag, _)| !taken.contains_key(tag));
            let place = (remote.as_str(), repository, &destination);
            let deletes = self.deletes(known, place, gone).await?;
            if !deletes.is_empty() {
                tasks.push(task(deletes, rule.delete_grace));
            }
        }
        Ok(tasks)
    }

    /// Of tags that were deleted those that the rule put at a remote. Where the remote may know of each tag which write it is
    /// of, all that the rule would take: they may be there by another way, and the task asks.
    async fn deletes(
        &self,
        known: &KnownRule,
        (remote, repository, destination): (&str, &Name, &Name),
        gone: impl Iterator<Item = (&Tag, &Digest)>,
    ) -> Result<Vec<TaskItem>, ReplicationError> {
        if !known.rule.propagate_delete {
            return Ok(Vec::new());
        }
        let mut items = Vec::new();
        let filters = &known.rule.filters;
        let client = self.inner.parts.remotes.get(remote);
        let may_keep = client.is_some_and(|client| client.may_keep_versions());
        let any = may_keep && filters.ask_tags_alone();
        for (tag, digest) in gone {
            let key = DeliveryKey {
                rule: known.id,
                remote: remote.to_owned(),
                destination: destination.clone(),
                tag: tag.clone(),
            };
            match self.inner.parts.meta.delivery(&key).await? {
                // What came from another repository goes with that one.
                Some((_, other)) if other != *repository => {}
                Some((claim, _)) => items.push(item(tag, claim.digest(), Action::Delete)),
                None if any && filters.take_tag(tag) => {
                    items.push(item(tag, digest, Action::Delete));
                }
                None => {}
            }
        }
        Ok(items)
    }
}

fn item(tag: &Tag, digest: &Digest, action: Action) -> TaskItem {
    TaskItem {
        tag: tag.clone(),
        digest: digest.clone(),
        action,
        bytes: None,
        message: None,
    }
}

/// What a tag such as `sha256-….sig` is about.
fn subject_of(tag: &Tag) -> Option<Digest> {
    let hex = tag.as_str().strip_prefix(SIDE_TAG)?;
    let hex = hex.split('.').next()?;
    format!("sha256:{hex}").parse().ok()
}
