//! One task: the tags of a repository at one remote, one after the other; deletes after what is sent.

use std::sync::Arc;

use super::{
    Mode, Rule,
    ask::{decide, there},
    engine::read,
    log::Log,
    trouble::{Ended, Fault, Trouble},
    warm::NO_RULE,
    work::Inner,
};
use crate::{
    client::{ErrorKind, Made},
    meta::{Action, DeliveryKey, HeldTask, Meta, TaskItem},
    oci::{Digest, Reference, Tag},
    transfer::send::{
        Destination, Existing, Order, Outcome, Platforms, Progress, Referrers, RemoteSource,
        SendError, Sender, Sent, Source, SourceError,
    },
};

/// What a task is carried out with.
pub(super) struct Run<'a> {
    pub(super) inner: &'a Inner,
    pub(super) held: &'a HeldTask,
    pub(super) rule: Rule,
    pub(super) source: Arc<dyn Source>,
    pub(super) destination: Destination,
    sender: Sender,
    progress: &'a Progress,
    pub(super) log: &'a Log,
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
    let source = match rule.mode {
        Mode::Push => Arc::clone(&inner.parts.source),
        Mode::Pull => match inner.replication.pulled_from(remote) {
            Ok(client) => RemoteSource::of(client),
            Err(error) => return Ended::Failed(error),
        },
    };
    let run = Run {
        inner,
        held,
        rule,
        source,
        destination,
        sender,
        progress,
        log,
    };
    run.all().await
}

impl Run<'_> {
    async fn all(&self) -> Ended {
        let items = &self.held.task.items;
        let is_delete = |item: &&TaskItem| item.action == Action::Delete;
        let sent = items.iter().filter(|item| !is_delete(item));
        if items.iter().any(|item| is_delete(&item)) {
            match self
                .meta()
                .task_is_behind(&self.held.task, self.held.rule_id)
                .await
            {
                Ok(false) => {}
                Ok(true) => return Ended::Behind,
                Err(error) => {
                    return Ended::Retry {
                        error: error.to_string(),
                        after: None,
                        fault: Fault::Ours,
                    };
                }
            }
        }
        let unsure = match self.make_project().await {
            Ok(unsure) => unsure,
            Err(ended) => return ended,
        };
        let (mut failed, mut left) = (Vec::new(), Vec::new());
        for item in sent.chain(items.iter().filter(is_delete)) {
            match self.one(item).await {
                Ok(None) => {}
                Ok(Some(note)) => left.push(note),
                Err(Trouble::Tag(error)) => {
                    self.log.line(error.clone());
                    failed.push(error);
                }
                Err(trouble) => return self.broken_off(trouble, unsure),
            }
        }
        if !failed.is_empty() {
            return Ended::Failed(summary(&failed));
        }
        let message = (!left.is_empty()).then(|| summary(&left));
        Ended::Succeeded { message }
    }

    /// Makes the project that the repository needs there, if anything is to be sent. `Some`: it may be missing, and why we
    /// do not make it.
    async fn make_project(&self) -> Result<Option<String>, Ended> {
        let mut items = self.held.task.items.iter();
        if !items.any(|item| item.action == Action::Copy) {
            return Ok(None);
        }
        let made = self.destination.make_project(&self.held.task.destination);
        match made.await {
            Ok(Made::There) => Ok(None),
            Ok(Made::Unsure(why)) => Ok(Some(why)),
            Ok(Made::Refused(why)) => Err(Ended::Failed(why)),
            Err(error) => Err(Trouble::from(error).into()),
        }
    }

    /// Ends what cannot go on. `unsure`: why the project may be missing.
    fn broken_off(&self, trouble: Trouble, unsure: Option<String>) -> Ended {
        let trouble = match (trouble, unsure) {
            (Trouble::Repository(error), Some(why)) => {
                Trouble::Repository(format!("{why}; {error}"))
            }
            (trouble, _) => trouble,
        };
        if matches!(trouble, Trouble::Repository(_)) {
            self.destination.forget_project(&self.held.task.destination);
        }
        trouble.into()
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

    async fn copy(&self, item: &TaskItem) -> Result<Option<String>, Trouble> {
        let Some(digest) = self.current(item).await? else {
            return self.gone(item);
        };
        let key = self.key(item);
        let ours = self.meta().delivery(&key).await?;
        if let Some((_, other)) = &ours
            && *other != self.held.task.repository
            && self.rule.mode == Mode::Push
            && self.meta().tag(other, &item.tag).await?.is_some()
        {
            return Err(Trouble::Tag(format!(
                "`{}` is not sent: `{other}` goes to the same place",
                item.tag
            )));
        }
        let ours = ours.map(|(digest, _)| digest);
        let there = there(&self.destination, &key).await?;
        let decided = decide(
            Action::Copy,
            there.as_ref(),
            &digest,
            ours.as_ref(),
            self.inner
                .replication
                .may_overwrite(&self.rule, &key.destination),
        );
        let selection = self.selection(&digest).await?;
        let mut existing = Existing::Overwrite;
        if decided == Action::Conflict {
            if !matches!(selection.platforms, Platforms::Rewrite(_)) {
                return Ok(Some(self.conflict(item)));
            }
            // It may be what an attempt before this one has made of it.
            existing = Existing::OverwriteOnly(Vec::new());
        }
        if decided == Action::Skip {
            self.adopt(&key, &digest).await?;
            if self.lacks(&selection).await? {
                existing = Existing::Renew;
            } else if !self.has_referrers(&digest).await? {
                self.log.line(format!("`{}` is there already", item.tag));
                return Ok(None);
            }
        }
        let order = self.order(item, &digest, existing);
        let sent = self.send(order, selection.platforms).await?;
        match sent.outcome {
            Outcome::Sent => {
                self.log
                    .line(format!("`{}` is sent: {}", item.tag, sent.digest));
                self.note(key, sent.digest).await?;
                Ok(None)
            }
            Outcome::Unchanged => {
                self.adopt(&key, &sent.digest).await?;
                let referrers = sent.referrers;
                self.log.line(format!(
                    "`{}` is there already; {referrers} referrers are sent",
                    item.tag
                ));
                Ok(None)
            }
            Outcome::Kept { .. } => Ok(Some(self.conflict(item))),
            Outcome::NoPlatform => Ok(Some(self.noted(format!(
                "`{}`: nothing of it is for the platforms of the rule",
                item.tag
            )))),
        }
    }

    /// A rule's tag was there when it was planned; one to be warmed has only been asked for.
    fn gone(&self, item: &TaskItem) -> Result<Option<String>, Trouble> {
        if self.held.rule_id == NO_RULE {
            let error = format!("`{}` is not at its remote", item.tag);
            return Err(Trouble::Tag(error));
        }
        self.log
            .line(format!("`{}` is at its source no longer", item.tag));
        Ok(None)
    }

    /// Notes what is there as put there by the rule, if an attempt before this one may have ended between the tag and the
    /// note of it.
    async fn adopt(&self, key: &DeliveryKey, digest: &Digest) -> Result<(), Trouble> {
        if self.held.task.attempts > 1 {
            self.note(key.clone(), digest.clone()).await?;
        }
        Ok(())
    }

    /// Notes what the rule has put there.
    async fn note(&self, key: DeliveryKey, digest: Digest) -> Result<(), Trouble> {
        if self.held.rule_id != NO_RULE {
            let repository = self.held.task.repository.clone();
            self.meta().delivery_put(key, digest, repository).await?;
        }
        Ok(())
    }

    fn order(&self, item: &TaskItem, digest: &Digest, existing: Existing) -> Order {
        Order {
            from: self.held.task.repository.clone(),
            reference: Reference::Digest(digest.clone()),
            to: self.held.task.destination.clone(),
            tags: vec![item.tag.clone()],
            existing,
            platforms: Platforms::All,
            referrers: match self.rule.referrers {
                true => Referrers::All,
                false => Referrers::No,
            },
            mount_from: None,
        }
    }

    async fn send(&self, order: Order, platforms: Platforms) -> Result<Sent, SendError> {
        let is_part = matches!(platforms, Platforms::Keep(_));
        let part = Order {
            platforms,
            ..order.clone()
        };
        match self.send_once(&part).await {
            // It does not take an index whose manifests are not all there.
            Err(SendError::Destination(error))
                if is_part
                    && error.kind == ErrorKind::Invalid
                    && !self.rule.filters.choose_platforms() =>
            {
                self.log.line(format!("{error}; all of it is sent"));
                self.send_once(&order).await
            }
            sent => sent,
        }
    }

    async fn send_once(&self, order: &Order) -> Result<Sent, SendError> {
        self.sender
            .send(&self.source, &self.destination, order, self.progress)
            .await
    }

    /// What the tag points to now; of a plan that was looked at, what it pointed to then.
    async fn current(&self, item: &TaskItem) -> Result<Option<Digest>, Trouble> {
        if self.held.is_as_planned {
            return Ok(Some(item.digest.clone()));
        }
        self.at_source(&item.tag).await
    }

    /// What a tag points to at its source.
    pub(super) async fn at_source(&self, tag: &Tag) -> Result<Option<Digest>, Trouble> {
        let name = &self.held.task.repository;
        if self.rule.mode == Mode::Push {
            let row = self.meta().tag(name, tag).await?;
            return Ok(row.map(|row| row.target.digest));
        }
        let reference = Reference::Tag(tag.clone());
        match self.source.digest(name, &reference).await {
            Ok(digest) => Ok(Some(digest)),
            Err(SourceError::Remote(error)) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SendError::from(error).into()),
        }
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

/// The first few, and how many more.
fn summary(notes: &[String]) -> String {
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
