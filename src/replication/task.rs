//! One task: the tags of a repository at one remote, one after the other; deletes after what is sent.

use std::time::Duration;

use super::{
    Rule,
    ask::{decide, there},
    engine::read,
    rule::{Fill, PlatformMode},
    work::{Inner, Log},
};
use crate::{
    client::{ClientError, ErrorKind, RegistryClient},
    meta::{Action, DeliveryKey, HeldTask, Meta, MetaError, TaskItem},
    oci::{Digest, Manifest, ManifestKind, Platform, PlatformPattern, Reference},
    transfer::send::{
        Destination, Existing, Order, Outcome, Platforms, Progress, Referrers, SendError, Sender,
        SourceError,
    },
};

/// How a task came to an end.
pub(super) enum Ended {
    Succeeded {
        /// What was left alone, if anything was.
        message: Option<String>,
    },
    Failed(String),
    Stopped,
    /// The server goes.
    Interrupted,
    Retry {
        error: String,
        /// As long as the remote asks for.
        after: Option<Duration>,
    },
}

/// Why a tag was not dealt with.
pub(super) enum Trouble {
    /// It may go better later.
    Retry {
        error: String,
        after: Option<Duration>,
    },
    /// Neither this one nor any other tag of the repository can be.
    Repository(String),
    /// This one cannot be.
    Tag(String),
}

/// What a task is carried out with.
pub(super) struct Run<'a> {
    inner: &'a Inner,
    pub(super) held: &'a HeldTask,
    rule: Rule,
    destination: Destination,
    sender: Sender,
    progress: &'a Progress,
    pub(super) log: &'a Log,
}

/// Deals with all tags of a task. May be dropped at any time.
pub(super) async fn run(inner: &Inner, held: &HeldTask, progress: &Progress, log: &Log) -> Ended {
    let remote = &held.task.remote;
    let Some(rule) = read(&held.members) else {
        return Ended::Failed("the rule cannot be read any more".to_owned());
    };
    let Some(destination) = inner.destination(remote) else {
        return Ended::Failed(format!("there is no remote `{remote}` any more"));
    };
    let run = Run {
        sender: inner.sender(&rule, held.rule_id),
        inner,
        held,
        rule,
        destination,
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
        let (mut failed, mut left) = (Vec::new(), Vec::new());
        for item in sent.chain(items.iter().filter(is_delete)) {
            match self.one(item).await {
                Ok(None) => {}
                Ok(Some(note)) => left.push(note),
                Err(Trouble::Tag(error)) => {
                    self.log.line(error.clone());
                    failed.push(error);
                }
                Err(Trouble::Repository(error)) => return Ended::Failed(error),
                Err(Trouble::Retry { error, after }) => return Ended::Retry { error, after },
            }
        }
        if !failed.is_empty() {
            return Ended::Failed(summary(&failed));
        }
        let message = (!left.is_empty()).then(|| summary(&left));
        Ended::Succeeded { message }
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
            self.log.line(format!("`{}` is here no longer", item.tag));
            return Ok(None);
        };
        let key = self.key(item);
        let ours = self.meta().delivery(&key).await?;
        if let Some((_, other)) = &ours
            && *other != self.held.task.repository
            && self.meta().tag(other, &item.tag).await?.is_some()
        {
            return Err(Trouble::Tag(format!(
                "`{}` is not sent: `{other}` goes to the same place",
                item.tag
            )));
        }
        let ours = ours.map(|(digest, _)| digest);
        let there = there(self.client(), &key).await?;
        match decide(
            Action::Copy,
            &there,
            &digest,
            ours.as_ref(),
            self.rule.overwrite,
        ) {
            Action::Skip => {
                self.log.line(format!("`{}` is there already", item.tag));
                return Ok(None);
            }
            Action::Conflict => return Ok(Some(self.conflict(item))),
            _ => {}
        }
        let platforms = self.platforms(&digest).await?;
        let sent = match self.send(item, &digest, platforms.clone()).await {
            // It does not take an index whose manifests are not all there.
            Err(SendError::Destination(error))
                if matches!(platforms, Platforms::Keep(_))
                    && error.kind == ErrorKind::Invalid
                    && !self.rule.filters.choose_platforms() =>
            {
                self.log
                    .line(format!("{error}; all of `{}` is sent", item.tag));
                self.send(item, &digest, Platforms::All).await
            }
            sent => sent,
        }?;
        match sent.0 {
            Outcome::Sent | Outcome::Unchanged => {
                self.log.line(format!("`{}` is sent: {}", item.tag, sent.1));
                let repository = self.held.task.repository.clone();
                self.meta().delivery_put(key, sent.1, repository).await?;
                Ok(None)
            }
            Outcome::Kept { .. } => Ok(Some(self.conflict(item))),
            Outcome::NoPlatform => {
                let note = format!(
                    "`{}`: nothing of it is for the platforms of the rule",
                    item.tag
                );
                self.log.line(note.clone());
                Ok(Some(note))
            }
        }
    }

    async fn send(
        &self,
        item: &TaskItem,
        digest: &Digest,
        platforms: Platforms,
    ) -> Result<(Outcome, Digest), SendError> {
        let referrers = if self.rule.referrers {
            Referrers::All
        } else {
            Referrers::No
        };
        let order = Order {
            from: self.held.task.repository.clone(),
            reference: Reference::Digest(digest.clone()),
            to: self.held.task.destination.clone(),
            tags: vec![item.tag.clone()],
            existing: Existing::Overwrite,
            platforms,
            referrers,
            mount_from: None,
        };
        let source = &self.inner.parts.source;
        let sent = self
            .sender
            .send(source, &self.destination, &order, self.progress)
            .await?;
        Ok((sent.outcome, sent.digest))
    }

    /// What the tag points to now; of a plan that was looked at, what it pointed to then.
    async fn current(&self, item: &TaskItem) -> Result<Option<Digest>, Trouble> {
        if self.held.is_as_planned {
            return Ok(Some(item.digest.clone()));
        }
        let row = self
            .meta()
            .tag(&self.held.task.repository, &item.tag)
            .await?;
        Ok(row.map(|row| row.target.digest))
    }

    /// Which manifests of an index are sent: those of the rule's platforms, and of a mirror those that are here.
    async fn platforms(&self, digest: &Digest) -> Result<Platforms, Trouble> {
        let (name, parts) = (
            &self.held.task.repository,
            &self.inner.replication.inner.parts,
        );
        let only_present =
            self.rule.fill == Fill::Present && parts.projects.now().is_mirror(name.first());
        if !only_present && !self.rule.filters.choose_platforms() {
            return Ok(Platforms::All);
        }
        let reference = Reference::Digest(digest.clone());
        let manifest = self.inner.parts.source.manifest(name, &reference).await;
        let manifest = Manifest::parse(&manifest.map_err(SendError::Source)?.bytes);
        if manifest.kind != ManifestKind::Index {
            return Ok(Platforms::All);
        }
        let (mut chosen, mut left_out) = (Vec::new(), false);
        for child in &manifest.manifests {
            let platform = Platform::of(child);
            let is_chosen = platform
                .as_ref()
                .is_none_or(|platform| self.rule.filters.take_platform(platform));
            let is_taken = is_chosen
                && (!only_present
                    || self.meta().manifest_present(name, &child.digest).await?
                        && self.meta().manifest(name, &child.digest).await?.is_some());
            match platform {
                Some(platform) if is_taken => chosen.push(exactly(platform)),
                _ => left_out |= !is_taken,
            }
        }
        Ok(match (left_out, self.rule.platform_mode) {
            (false, _) => Platforms::All,
            (true, PlatformMode::RewriteIndex) if !only_present => Platforms::Rewrite(chosen),
            (true, _) => Platforms::Keep(chosen),
        })
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

    pub(super) fn client(&self) -> &RegistryClient {
        self.destination.client()
    }

    pub(super) fn meta(&self) -> &Meta {
        &self.inner.replication.inner.parts.meta
    }
}

fn exactly(platform: Platform) -> PlatformPattern {
    PlatformPattern {
        os: Some(platform.os),
        os_version: platform.os_version,
        architecture: Some(platform.architecture),
        variant: platform.variant,
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

impl From<MetaError> for Trouble {
    fn from(error: MetaError) -> Self {
        Self::Retry {
            error: error.to_string(),
            after: None,
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        let told = error.to_string();
        match error.kind {
            ErrorKind::Denied | ErrorKind::Credentials => Self::Repository(format!(
                "{told}; the credentials of the remote need the right to push, and to delete if the rule propagates deletes"
            )),
            ErrorKind::NotFound => Self::Repository(format!(
                "{told}; the project may have to be made there first"
            )),
            ErrorKind::Invalid => Self::Tag(told),
            ErrorKind::RateLimited | ErrorKind::Unreachable | ErrorKind::TimedOut => Self::Retry {
                error: told,
                after: error.retry_after,
            },
        }
    }
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Destination(error) => error.into(),
            SendError::Source(SourceError::Remote(error)) => error.into(),
            other if other.is_terminal() => Self::Tag(other.to_string()),
            other => Self::Retry {
                error: other.to_string(),
                after: None,
            },
        }
    }
}
