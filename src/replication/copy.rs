//! What a task sends: one tag, as far as what is at the destination lets it.

use std::{collections::BTreeSet, time::UNIX_EPOCH};

use super::{
    Mode,
    selection::Selection,
    task::Run,
    trouble::Trouble,
    versions::{Leave, Verdict, to_send},
    warm::NO_RULE,
};
use crate::{
    client::ErrorKind,
    meta::{Claim, DeliveryKey, TaskItem},
    oci::{Digest, Reference, TagState, TagVersion},
    transfer::send::{
        Existing, Found, Notes, Order, Outcome, Platforms, Referrers, SendError, Sender, Sent,
    },
};

impl Run<'_> {
    /// `Some`: the tag was left alone, and why.
    pub(super) async fn copy(&self, item: &TaskItem) -> Result<Option<String>, Trouble> {
        let here = self.at_source(&item.tag).await?;
        let digest = match self.held.is_as_planned {
            true => Some(item.digest.clone()),
            false => here.digest.clone(),
        };
        let Some(digest) = digest else {
            return self.gone(item);
        };
        if !self.is_taken(item, &digest).await? {
            return Ok(Some(self.not_taken(item)));
        }
        let key = self.key(item);
        let ours = self.ours(item, &key, &digest).await?;
        let there = self.at_destination(&item.tag).await?;
        let mut state = written(&digest, here, &there);
        let Some(selection) = self.selection(&digest).await? else {
            return Ok(Some(self.no_platform(item)));
        };
        let leave = self.leave(&key, &selection);
        let mut existing = Existing::Overwrite;
        match to_send(&digest, state.as_ref(), &there, ours.as_ref(), leave) {
            Verdict::Newer => return Ok(Some(self.newer(item))),
            // It may be the same as what is made of it on the way.
            Verdict::Conflict if leave.rewrites => existing = Existing::OverwriteOnly(Vec::new()),
            Verdict::Conflict => return Ok(Some(self.conflict(item))),
            Verdict::Again(deleted) => state = self.raised(item, &digest, deleted.version).await?,
            Verdict::Renew => existing = Existing::Renew,
            Verdict::Copy | Verdict::Delete => {}
            verdict @ (Verdict::Same | Verdict::SameButNewer(_)) => {
                if let Verdict::SameButNewer(newer) = verdict {
                    self.seen(item, newer).await?;
                }
                let found = there.digest.as_ref().unwrap_or(&digest);
                let claim = ours.as_ref().filter(|claim| claim.covers(found));
                // Somebody was cut after the tag was put, and before all that belongs to it was.
                let is_cut = matches!(claim, Some(Claim::Begun { .. }));
                if !is_cut && (claim.is_some() || state.is_some() && there.state.is_some()) {
                    self.adopt(&key, found, ours.as_ref()).await?;
                }
                if self.lacks(&selection).await? {
                    existing = Existing::Renew;
                } else if !is_cut && !self.has_referrers(&digest).await? {
                    self.log.line(format!("`{}` is there already", item.tag));
                    return Ok(None);
                }
            }
        }
        let order = Order {
            version: state.map(|state| state.version),
            ..self.order(item, &digest, existing)
        };
        let over = there
            .digest
            .filter(|found| ours.as_ref().is_some_and(|claim| claim.covers(found)));
        let sender = self.sender_for(&key, over);
        let sent = self.send(&sender, order, selection).await?;
        self.note(item, &key, ours.as_ref(), sent).await
    }

    async fn note(
        &self,
        item: &TaskItem,
        key: &DeliveryKey,
        ours: Option<&Claim>,
        sent: Sent,
    ) -> Result<Option<String>, Trouble> {
        let tag = &item.tag;
        match sent.outcome {
            Outcome::Sent => {
                self.log.line(format!("`{tag}` is sent: {}", sent.digest));
                self.adopt(key, &sent.digest, None).await?;
                Ok(self.missed(item, &sent))
            }
            Outcome::Unchanged => {
                if ours.is_some_and(|claim| claim.covers(&sent.digest)) {
                    self.adopt(key, &sent.digest, ours).await?;
                }
                let referrers = sent.referrers;
                self.log.line(format!(
                    "`{tag}` is there already; {referrers} referrers are sent"
                ));
                Ok(self.missed(item, &sent))
            }
            Outcome::Kept { is_newer: true, .. } => Ok(Some(self.newer(item))),
            Outcome::Kept { .. } => Ok(Some(self.conflict(item))),
            Outcome::NoPlatform => Ok(Some(self.no_platform(item))),
        }
    }

    fn no_platform(&self, item: &TaskItem) -> String {
        self.noted(format!(
            "`{}`: nothing of it that is here is for the platforms of the rule",
            item.tag
        ))
    }

    /// `Some`: what refers to the tag could not all be asked for, and why.
    fn missed(&self, item: &TaskItem, sent: &Sent) -> Option<String> {
        let missed = sent.missed.as_ref()?;
        Some(self.noted(format!(
            "`{}`: not all that refers to it can be had now: {missed}",
            item.tag
        )))
    }

    /// Does the rule take what a tag is by now? Of what it was when the task was made, that is known.
    async fn is_taken(&self, item: &TaskItem, digest: &Digest) -> Result<bool, Trouble> {
        if self.held.is_as_planned || self.rule.mode == Mode::Pull || *digest == item.digest {
            return Ok(true);
        }
        let (name, tags) = (
            &self.held.task.repository,
            BTreeSet::from([item.tag.clone()]),
        );
        let replication = &self.inner.replication;
        let taken = replication.selected_of(&self.rule, name, &tags).await?;
        Ok(taken.get(&item.tag) == Some(digest))
    }

    fn not_taken(&self, item: &TaskItem) -> String {
        self.noted(format!(
            "`{}` is left alone: the rule does not take what it is by now",
            item.tag
        ))
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

    /// What is the rule's there. Another repository may go there as long as it has the same.
    async fn ours(
        &self,
        item: &TaskItem,
        key: &DeliveryKey,
        digest: &Digest,
    ) -> Result<Option<Claim>, Trouble> {
        let ours = self.meta().delivery(key).await?;
        if let Some((_, other)) = &ours
            && *other != self.held.task.repository
            && self.rule.mode == Mode::Push
            && let Some(row) = self.meta().tag(other, &item.tag).await?
            && row.target.digest != *digest
        {
            return Err(Trouble::Tag(format!(
                "`{}` is not sent: `{other}` goes to the same place",
                item.tag
            )));
        }
        Ok(ours.map(|(claim, _)| claim))
    }

    fn leave(&self, key: &DeliveryKey, selection: &Selection) -> Leave {
        let replication = &self.inner.replication;
        Leave {
            overwrite: replication.may_overwrite(&self.rule, &key.destination),
            respect_deletes: self.rule.propagate_delete,
            rewrites: matches!(selection.platforms, Platforms::Only(_)),
        }
    }

    /// The tag's own version goes beyond that of its delete elsewhere, which is not to stand.
    async fn raised(
        &self,
        item: &TaskItem,
        digest: &Digest,
        above: TagVersion,
    ) -> Result<Option<TagState>, Trouble> {
        if self.rule.mode == Mode::Pull {
            return Ok(None);
        }
        let (name, tag) = (&self.held.task.repository, &item.tag);
        let raised = self.meta().tag_version_raise(name, tag, digest, above);
        Ok(raised.await?)
    }

    /// The destination has the same by a newer write.
    async fn seen(&self, item: &TaskItem, newer: TagState) -> Result<(), Trouble> {
        if self.rule.mode == Mode::Push {
            let (name, tag) = (&self.held.task.repository, &item.tag);
            self.meta().tag_version_seen(name, tag, newer).await?;
        }
        Ok(())
    }

    /// Notes what is there as the rule's: it put it there, or both sides know that it is of the same write.
    async fn adopt(
        &self,
        key: &DeliveryKey,
        digest: &Digest,
        noted: Option<&Claim>,
    ) -> Result<(), Trouble> {
        let claim = Claim::Put(digest.clone());
        if noted != Some(&claim) && self.held.rule_id != NO_RULE {
            let repository = &self.held.task.repository;
            self.meta().delivery_put(key, &claim, repository).await?;
        }
        Ok(())
    }

    /// Notes what it sends: the tag as the rule's.
    fn sender_for(&self, key: &DeliveryKey, over: Option<Digest>) -> Sender {
        let notes = Notes::new(self.meta(), self.held.task.id);
        let notes = match self.held.rule_id {
            NO_RULE => notes,
            _ => notes.claiming(key.clone(), self.held.task.repository.clone(), over),
        };
        self.sender.clone().noting(notes)
    }

    fn order(&self, item: &TaskItem, digest: &Digest, existing: Existing) -> Order {
        Order {
            from: self.held.task.repository.clone(),
            reference: Reference::Digest(digest.clone()),
            to: self.held.task.destination.clone(),
            tags: vec![item.tag.clone()],
            existing,
            version: None,
            platforms: Platforms::All,
            referrers: match self.rule.referrers {
                true if self.is_from_mirror() => Referrers::Reachable,
                true => Referrers::All,
                false => Referrers::No,
            },
            mount_from: None,
        }
    }

    async fn send(
        &self,
        sender: &Sender,
        order: Order,
        selection: Selection,
    ) -> Result<Sent, SendError> {
        let part = Order {
            platforms: selection.platforms,
            ..order.clone()
        };
        match self.send_once(sender, &part).await {
            // It does not take an index whose manifests are not all there.
            Err(SendError::Destination(error))
                if selection.or_all && error.kind == ErrorKind::Invalid =>
            {
                self.log.line(format!("{error}; all of it is sent"));
                self.send_once(sender, &order).await
            }
            sent => sent,
        }
    }

    async fn send_once(&self, sender: &Sender, order: &Order) -> Result<Sent, SendError> {
        sender
            .send(&self.source, &self.destination, order, self.progress)
            .await
    }
}

/// Which write this digest is of. What a plan has and the tag no longer is comes just after what is there now, so that what
/// the tag is by now is newer.
fn written(digest: &Digest, here: Found, there: &Found) -> Option<TagState> {
    let state = here.state?;
    if state.digest == *digest && !state.is_deleted {
        return Some(state);
    }
    let last = there.state.as_ref().map(|state| state.version);
    Some(TagState {
        version: TagVersion::after(last, UNIX_EPOCH, 0),
        digest: digest.clone(),
        is_deleted: false,
    })
}
