//! One task: the tags of a repository at one remote, one after the other; deletes after what is sent.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{
    Mode, Rule,
    engine::read,
    log::Log,
    there::items_there,
    trouble::{Ended, Later, Trouble},
    work::Inner,
};
use crate::{
    client::RegistryClient,
    meta::{Action, DeliveryKey, HeldTask, Meta, TaskItem},
    oci::{Name, Tag},
    transfer::send::{Destination, Found, Progress, RemoteSource, SendError, Sender, Source},
};

/// What a task is carried out with.
pub(super) struct Run<'a> {
    pub(super) inner: &'a Inner,
    pub(super) held: &'a HeldTask,
    pub(super) rule: Rule,
    pub(super) source: Arc<dyn Source>,
    /// The source, if it is a remote.
    pulled: Option<RegistryClient>,
    pub(super) destination: Destination,
    pub(super) sender: Sender,
    pub(super) progress: &'a Progress,
    pub(super) log: &'a Log,
    /// The rule's other repositories that go to the same place, once somebody has asked.
    pub(super) sharing: OnceCell<Vec<Name>>,
}

/// What came of the tags so far.
#[derive(Default)]
struct Done {
    failed: Vec<String>,
    left: Vec<String>,
    /// What is tried again.
    later: Vec<String>,
    /// The first of that.
    first: Option<Later>,
}

/// Deals with all tags of a task. May be dropped at any time.
pub(super) async fn run(
    inner: &Inner,
    held: &HeldTask,
    sender: Sender,
    progress: &Progress,
    log: &Log,
) -> Ended {
    let remote = &held.task.remote;
    let Some(rule) = read(&held.members) else {
        return Ended::Failed("the rule cannot be read any more".to_owned());
    };
    let destination = match rule.mode {
        Mode::Push => inner.destination(remote),
        Mode::Pull => Some(inner.replication.inner.home.clone()),
    };
    let Some(destination) = destination else {
        return Ended::Failed(format!("there is no remote `{remote}` any more"));
    };
    let pulled = match rule.mode {
        Mode::Push => None,
        Mode::Pull => match inner.replication.pulled_from(remote) {
            Ok(client) => Some(client),
            Err(error) => return Ended::Failed(error),
        },
    };
    let asked;
    let held = match &pulled {
        Some(client) if held.task.items.is_empty() => {
            let items = items_there(&rule, client, &held.task.repository).await;
            match items.map_err(|error| Trouble::from(SendError::Source(error.into()))) {
                Ok(items) => asked = with_items(held, items),
                Err(trouble) => return trouble.into(),
            }
            &asked
        }
        _ => held,
    };
    let source = match &pulled {
        None => Arc::clone(&inner.parts.source),
        Some(client) => RemoteSource::of(client.clone()),
    };
    let run = Run {
        inner,
        held,
        rule,
        source,
        pulled,
        destination,
        sender,
        progress,
        log,
        sharing: OnceCell::new(),
    };
    run.all().await
}

/// The same task, now that it is known what it has to do.
fn with_items(held: &HeldTask, items: Vec<TaskItem>) -> HeldTask {
    let mut held = held.clone();
    held.task.items = items;
    held
}

impl Run<'_> {
    async fn all(&self) -> Ended {
        let items = self.held.task.items.iter();
        let (deletes, sent): (Vec<_>, Vec<_>) =
            items.partition(|item| item.action == Action::Delete);
        if !deletes.is_empty() {
            match self
                .meta()
                .task_is_behind(&self.held.task, self.held.rule_id)
                .await
            {
                Ok(false) => {}
                Ok(true) => return Ended::Behind,
                Err(error) => return Trouble::from(error).into(),
            }
        }
        let unsure = match self.make_project().await {
            Ok(unsure) => unsure,
            Err(ended) => return ended,
        };
        let mut done = Done::default();
        if let Err(trouble) = self.each(&sent, &mut done).await {
            return self.broken_off(trouble, unsure);
        }
        // What is to be sent goes before.
        if done.first.is_none()
            && let Err(trouble) = self.each(&deletes, &mut done).await
        {
            return self.broken_off(trouble, unsure);
        }
        done.ended()
    }

    /// Deals with each of these; one that does not go now keeps no other waiting. An error: none goes any more.
    async fn each(&self, items: &[&TaskItem], done: &mut Done) -> Result<(), Trouble> {
        for item in items {
            match Box::pin(self.one(item)).await {
                Ok(None) => {}
                Ok(Some(note)) => done.left.push(note),
                Err(Trouble::Tag(error)) => {
                    self.log.line(error.clone());
                    done.failed.push(error);
                }
                Err(Trouble::Retry(later)) => {
                    let error = format!("`{}`: {}", item.tag, later.error);
                    self.log.line(format!("{error}; it is tried again later"));
                    done.later.push(error);
                    done.first.get_or_insert(later);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// `Some`: the tag was left alone, and why.
    async fn one(&self, item: &TaskItem) -> Result<Option<String>, Trouble> {
        let tag = &item.tag;
        match item.action {
            Action::Collision => Err(Trouble::Tag(format!(
                "`{tag}`: another repository would go to `{}`, too",
                self.held.task.destination
            ))),
            Action::Skip => Ok(None),
            Action::Conflict => Ok(Some(self.conflict(item))),
            Action::Copy => self.copy(item).await,
            Action::Delete => self.delete(item).await,
        }
    }

    /// What a tag is at its source; how it was deleted there, if that is known.
    pub(super) async fn at_source(&self, tag: &Tag) -> Result<Found, Trouble> {
        let name = &self.held.task.repository;
        let Some(client) = &self.pulled else {
            if let Some(state) = self.meta().tag_state(name, tag).await? {
                return Ok(Found {
                    digest: Some(state.digest.clone()).filter(|_| !state.is_deleted),
                    state: Some(state),
                });
            }
            let row = self.meta().tag(name, tag).await?;
            return Ok(Found {
                digest: row.map(|row| row.target.digest),
                state: None,
            });
        };
        let found = Found::at(client, name, tag).await;
        found.map_err(|error| Trouble::of_question(SendError::Source(error.into())))
    }

    /// What a tag is at its destination.
    pub(super) async fn at_destination(&self, tag: &Tag) -> Result<Found, Trouble> {
        let found = self.destination.tag(&self.held.task.destination, tag).await;
        found.map_err(Trouble::of_question)
    }

    /// What is newer at the destination stays.
    pub(super) fn newer(&self, item: &TaskItem) -> String {
        let destination = &self.held.task.destination;
        self.noted(format!(
            "`{destination}:{}` is left alone: it is newer there",
            item.tag
        ))
    }

    pub(super) fn conflict(&self, item: &TaskItem) -> String {
        let destination = &self.held.task.destination;
        self.noted(format!(
            "`{destination}:{}` is left alone: it is something that this rule did not put there",
            item.tag
        ))
    }

    pub(super) fn noted(&self, note: String) -> String {
        self.log.line(note.clone());
        note
    }

    pub(super) fn key(&self, item: &TaskItem) -> DeliveryKey {
        DeliveryKey {
            rule: self.held.rule_id,
            remote: self.held.task.remote.clone(),
            destination: self.held.task.destination.clone(),
            tag: item.tag.clone(),
        }
    }

    pub(super) fn meta(&self) -> &Meta {
        &self.inner.replication.inner.parts.meta
    }
}

impl Done {
    fn ended(self) -> Ended {
        if let Some(first) = self.first {
            let error = summary(&[self.later, self.failed].concat());
            return Later { error, ..first }.into();
        }
        if !self.failed.is_empty() {
            return Ended::Failed(summary(&self.failed));
        }
        let message = (!self.left.is_empty()).then(|| summary(&self.left));
        Ended::Succeeded { message }
    }
}

/// The first few, and how many more.
pub(super) fn summary(notes: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = notes
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match notes.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
