//! Which tags of our repositories a rule takes now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use super::{
    Replication, ReplicationError, Rule,
    filter::{Candidate, Resource},
    rule::Fill,
};
use crate::{
    meta::TagCandidate,
    oci::{Digest, ManifestKind, Name, Tag},
};

/// How many rows are read at once.
const PAGE: u32 = 1000;

impl Replication {
    /// The repositories that a push rule takes something of, in the order of their names, a page of them at a time.
    pub(super) async fn repositories(
        &self,
        rule: &Rule,
        after: Option<&Name>,
    ) -> Result<Vec<Name>, ReplicationError> {
        let parts = &self.inner.parts;
        if let Some(names) = rule.literal_repositories() {
            let names: BTreeSet<_> = names.into_iter().collect();
            let names = names.into_iter().filter(|name| Some(name) > after);
            return Ok(names.take(PAGE as usize).collect());
        }
        let projects = if rule.is_for_every_project() {
            let projects = parts.projects.now();
            projects
                .iter()
                .map(|project| project.name.clone())
                .collect()
        } else {
            vec![rule.project.clone()]
        };
        let after = after.map(Name::as_str);
        Ok(parts.meta.repositories(&projects, after, PAGE).await?)
    }

    /// The tags of a repository that a push rule takes, with what they point to.
    pub(super) async fn selected(
        &self,
        rule: &Rule,
        repository: &Name,
    ) -> Result<BTreeMap<Tag, Digest>, ReplicationError> {
        let taken = self.taken(rule, repository).await?;
        Ok(taken.into_iter().map(|one| (one.tag, one.digest)).collect())
    }

    /// As [`selected`](Self::selected), with what the filters have asked of each.
    pub(super) async fn taken(
        &self,
        rule: &Rule,
        repository: &Name,
    ) -> Result<Vec<Candidate>, ReplicationError> {
        if !rule.takes_repository(repository) {
            return Ok(Vec::new());
        }
        let meta = &self.inner.parts.meta;
        let mut candidates = Vec::new();
        let mut after: Option<Tag> = None;
        loop {
            let page = meta
                .tag_candidates(repository, after.as_ref(), PAGE)
                .await?;
            after = page.last().map(|last| last.tag.clone());
            let is_last = page.len() < PAGE as usize;
            for found in page {
                if rule.filters.take_tag(&found.tag) {
                    candidates.extend(self.candidate(rule, repository, found).await?);
                }
            }
            if is_last {
                break;
            }
        }
        Ok(rule.filters.select(candidates, SystemTime::now()))
    }

    /// As [`selected`](Self::selected), of these tags; all others only count where one decides about the other.
    pub(super) async fn selected_of(
        &self,
        rule: &Rule,
        repository: &Name,
        tags: &BTreeSet<Tag>,
    ) -> Result<BTreeMap<Tag, Digest>, ReplicationError> {
        if rule.filters.compare_tags() {
            return self.selected(rule, repository).await;
        }
        let meta = &self.inner.parts.meta;
        let mut candidates = Vec::new();
        for tag in tags.iter().filter(|tag| rule.filters.take_tag(tag)) {
            if let Some(found) = meta.tag_candidate(repository, tag).await? {
                candidates.extend(self.candidate(rule, repository, found).await?);
            }
        }
        let taken = rule.filters.select(candidates, SystemTime::now());
        Ok(taken.into_iter().map(|one| (one.tag, one.digest)).collect())
    }

    /// What the filters ask of a tag; `None`: it is not to be replicated yet.
    async fn candidate(
        &self,
        rule: &Rule,
        repository: &Name,
        found: TagCandidate,
    ) -> Result<Option<Candidate>, ReplicationError> {
        let parts = &self.inner.parts;
        let is_mirror = parts.projects.now().is_mirror(repository.first());
        if is_mirror
            && rule.fill == Fill::Present
            && !parts
                .meta
                .manifest_present(repository, &found.digest)
                .await?
        {
            return Ok(None);
        }
        let labels = if rule.filters.ask_labels() {
            parts.meta.labels(repository, &found.digest).await?
        } else {
            Vec::new()
        };
        let kind = ManifestKind::of(&found.media_type);
        Ok(Some(Candidate {
            resource: Resource::told(kind, found.artifact_type.as_deref()),
            tag: found.tag,
            digest: found.digest,
            labels: labels.into_iter().collect(),
            created_at: found.at,
        }))
    }
}
