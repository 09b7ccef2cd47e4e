//! What a task deletes: only what its rule put there, and only while it is gone here; and how much without asking.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};

use super::{
    Mode, Rule,
    naming::Flatten,
    task::Run,
    trouble::Trouble,
    versions::{Verdict, to_delete},
};
use crate::{
    client::{Patience, RegistryClient},
    meta::TaskItem,
    oci::{Digest, Name, TagState},
    transfer::send::{Found, SendError},
};

/// Tags that a rule may put nowhere any more are deleted without asking, up to the larger of this and a fifth of all.
const DELETE_CAP: usize = 100;
const DELETE_PART: usize = 5;

impl Run<'_> {
    /// `Some`: the tag was left alone, and why.
    pub(super) async fn delete(&self, item: &TaskItem) -> Result<Option<String>, Trouble> {
        let here = self.at_source(&item.tag).await?;
        if here.digest.is_some() {
            self.log
                .line(format!("`{}` is at its source again", item.tag));
            return Ok(None);
        }
        let key = self.key(item);
        let ours = match self.meta().delivery(&key).await? {
            Some((_, other)) if other != self.held.task.repository => {
                return Ok(Some(self.shared(item, &other)));
            }
            ours => ours.map(|(claim, _)| claim),
        };
        if let Some(other) = self.other_source(item).await? {
            // From now on it goes with that one.
            if let Some(claim) = &ours {
                self.meta().delivery_put(&key, claim, &other).await?;
            }
            return Ok(Some(self.shared(item, &other)));
        }
        let there = self.at_destination(&item.tag).await?;
        let (state, keeps_versions) = (here.state.as_ref(), self.destination.keeps_versions());
        match to_delete(state, &there, ours.as_ref(), keeps_versions) {
            Verdict::Delete => match self.delete_there(item, &there, state).await? {
                None => self.log.line(format!("`{}` is deleted", item.tag)),
                Some(note) => return Ok(Some(note)),
            },
            Verdict::Newer => return Ok(Some(self.newer(item))),
            Verdict::Conflict if ours.is_some() => return Ok(Some(self.conflict(item))),
            Verdict::Conflict => drop(self.conflict(item)),
            _ => {}
        }
        self.meta().delivery_delete(key).await?;
        Ok(None)
    }

    fn shared(&self, item: &TaskItem, other: &Name) -> String {
        let destination = &self.held.task.destination;
        self.noted(format!(
            "`{destination}:{}` is left alone: `{other}` goes there, too",
            item.tag
        ))
    }

    /// Another repository of ours whose tag goes to the same place.
    async fn other_source(&self, item: &TaskItem) -> Result<Option<Name>, Trouble> {
        let replication = &self.inner.replication;
        let tags = BTreeSet::from([item.tag.clone()]);
        let sharing = self.sharing.get_or_try_init(|| self.find_sharing()).await?;
        for other in sharing {
            let taken = replication.selected_of(&self.rule, other, &tags).await?;
            if taken.contains_key(&item.tag) {
                return Ok(Some(other.clone()));
            }
        }
        Ok(None)
    }

    /// The rule's other repositories that have the same name there.
    async fn find_sharing(&self) -> Result<Vec<Name>, Trouble> {
        let (replication, rule) = (&self.inner.replication, &self.rule);
        let (mut sharing, mut after) = (Vec::new(), None::<Name>);
        if rule.mode == Mode::Pull || keeps_apart(rule) {
            return Ok(sharing);
        }
        loop {
            let page = replication.repositories(rule, after.as_ref()).await?;
            let Some(last) = page.last() else {
                return Ok(sharing);
            };
            after = Some(last.clone());
            let task = &self.held.task;
            sharing.extend(page.into_iter().filter(|name| {
                let there = rule.naming.name(name);
                *name != task.repository && there.as_ref() == Ok(&task.destination)
            }));
        }
    }

    /// By its tag; where that cannot be, by its digest if no other tag there has it. `Some`: it stays, and why.
    async fn delete_there(
        &self,
        item: &TaskItem,
        there: &Found,
        state: Option<&TagState>,
    ) -> Result<Option<String>, Trouble> {
        let name = &self.held.task.destination;
        match self.destination.tag_delete(name, &item.tag, state).await {
            Ok(None) => return Ok(None),
            Ok(Some(_)) => return Ok(Some(self.newer(item))),
            Err(SendError::Destination(error)) if matches!(error.status, Some(400 | 405)) => {}
            Err(error) => return Err(error.into()),
        }
        let (Some(client), Some(digest)) = (self.destination.client(), &there.digest) else {
            let note = format!("`{}` stays: tags are not deleted there", item.tag);
            return Ok(Some(self.noted(note)));
        };
        if let Some(other) = self.other_tag(client, name, item, digest).await? {
            let note = format!(
                "`{}` stays: the registry there deletes no tags, and `{other}` has the same digest",
                item.tag
            );
            return Ok(Some(self.noted(note)));
        }
        client.manifest_delete(name, digest).await?;
        Ok(None)
    }

    /// Another tag there that points to this digest.
    async fn other_tag(
        &self,
        client: &RegistryClient,
        name: &Name,
        item: &TaskItem,
        digest: &Digest,
    ) -> Result<Option<String>, Trouble> {
        const AT_ONCE: usize = 8;
        let tags = client.tag_list(name, Patience::Full).await?;
        let others = tags.into_iter().filter(|tag| *tag != item.tag);
        let asked = others.map(|tag| async {
            let there = self.destination.tag(name, &tag).await;
            there.map(|there| (tag, there.digest))
        });
        let mut found = stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some(answer) = found.next().await {
            let (tag, there) = answer?;
            if there.as_ref() == Some(digest) {
                return Ok(Some(tag.to_string()));
            }
        }
        Ok(None)
    }
}

/// Has each repository of a rule that pushes a name there that no other one of it has?
fn keeps_apart(rule: &Rule) -> bool {
    let common = match rule.is_for_every_project() {
        true => 0,
        false => rule.project.split('/').count(),
    };
    let flatten = rule.naming.flatten;
    rule.naming.project.is_none()
        || matches!(flatten, Flatten::Leading(count) if count as usize <= common)
}

/// How many tags may be deleted without asking, of so many that the rule put somewhere.
pub(super) fn delete_cap(rule: &Rule, delivered: usize) -> usize {
    rule.delete_cap.map_or_else(
        || DELETE_CAP.max(delivered / DELETE_PART),
        |cap| usize::try_from(cap).unwrap_or(usize::MAX),
    )
}
