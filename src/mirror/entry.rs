//! What is cached, as those see it who run this server: tags and images with their state, and pins.

use std::time::SystemTime;

use super::{
    Mirror, MirrorError, Repository, freshness::Standing, image::Inventory, resolve,
    tags::standing_of,
};
use crate::{
    meta::{Held, TagRow},
    oci::{Digest, Name, Reference, Tag},
};

pub use super::image::{Missing, MissingKind};

/// How good what is here is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// Served without asking.
    Fresh,
    /// The remote is asked before it is served, or has told of something newer.
    Stale,
    /// Brought by a push; never evicted.
    Seeded,
}

impl EntryState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Seeded => "seeded",
        }
    }
}

/// A tag or an image of which something is here.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: Name,
    pub reference: Reference,
    /// Of a tag: of what was last pulled by it.
    pub digest: Digest,
    /// All of the image is here: every platform, every layer.
    pub complete: bool,
    /// The first hundred parts that are not.
    pub missing: Vec<Missing>,
    pub state: EntryState,
    /// By this reference, or by its digest, or (a digest) by a tag that points to it.
    pub pinned: bool,
    /// Since when its manifest is here.
    pub filled_at: Option<SystemTime>,
    /// When the remote last confirmed the tag.
    pub checked_at: Option<SystemTime>,
    /// When a client last got it.
    pub used_at: Option<SystemTime>,
    /// Of what is here.
    pub size_bytes: u64,
}

impl Mirror {
    /// Up to `limit` tags of the mirrors among these projects, by name and then by tag, after the given one.
    pub async fn entries(
        &self,
        projects: &[String],
        after: Option<(Name, Tag)>,
        limit: u32,
    ) -> Result<Vec<Entry>, MirrorError> {
        let known = self.projects();
        let is_mirror = |name: &&String| known.is_mirror(name);
        let mirrors: Vec<String> = projects.iter().filter(is_mirror).cloned().collect();
        let page = self.inner.meta.tag_page(&mirrors, after.as_ref(), limit);
        let mut entries = Vec::new();
        for (name, tag) in page.await? {
            let Some(repository) = resolve::stored(&known, &name) else {
                continue;
            };
            // A tag may be gone since the page was read.
            entries.extend(self.tag_entry(&repository, &tag).await?);
        }
        Ok(entries)
    }

    /// What is here of a tag or of an image; none if nothing is known of it.
    pub async fn entry(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Entry>, MirrorError> {
        match reference {
            Reference::Tag(tag) => self.tag_entry(repository, tag).await,
            Reference::Digest(digest) => self.image_entry(repository, digest).await,
        }
    }

    async fn tag_entry(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Entry>, MirrorError> {
        let Some(row) = self.inner.meta.tag(&repository.name, tag).await? else {
            return Ok(None);
        };
        let digest = &row.target.digest;
        let held = self
            .inner
            .meta
            .manifest_held(&repository.name, digest)
            .await?;
        let state = self.tag_state(repository, tag, &row, held.as_ref()).await;
        let reference = Reference::Tag(tag.clone());
        let entry = Entry {
            state,
            checked_at: Some(row.checked_at),
            ..self.bare_entry(repository, reference, digest, held).await?
        };
        Ok(Some(entry))
    }

    async fn tag_state(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: &TagRow,
        held: Option<&Held>,
    ) -> EntryState {
        if held.is_some_and(|held| held.seeded) {
            return EntryState::Seeded;
        }
        let is_fresh = row.told.is_none()
            && standing_of(repository, tag, row) == Standing::Fresh
            && self.absence_since(repository, tag, row).await.is_none();
        if is_fresh {
            EntryState::Fresh
        } else {
            EntryState::Stale
        }
    }

    async fn image_entry(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Entry>, MirrorError> {
        let held = self
            .inner
            .meta
            .manifest_held(&repository.name, digest)
            .await?;
        if held.is_none() {
            return Ok(None);
        }
        let reference = Reference::Digest(digest.clone());
        let entry = self.bare_entry(repository, reference, digest, held).await?;
        Ok(Some(entry))
    }

    /// All but what only a tag has.
    async fn bare_entry(
        &self,
        repository: &Repository,
        reference: Reference,
        digest: &Digest,
        held: Option<Held>,
    ) -> Result<Entry, MirrorError> {
        let Inventory {
            missing,
            size_bytes,
        } = self.inventory(repository, digest).await?;
        let meta = &self.inner.meta;
        Ok(Entry {
            name: repository.name.clone(),
            pinned: meta.pinned(&repository.name, &reference, digest).await?,
            reference,
            digest: digest.clone(),
            complete: missing.is_empty(),
            missing,
            state: match &held {
                Some(held) if held.seeded => EntryState::Seeded,
                _ => EntryState::Fresh,
            },
            filled_at: held.as_ref().map(|held| held.created_at),
            checked_at: None,
            used_at: held.and_then(|held| held.used_at),
            size_bytes,
        })
    }

    /// Keeps a tag, whatever it points to, or an image from eviction. It may be pinned before it is here.
    pub async fn pin(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(), MirrorError> {
        Ok(self.inner.meta.pin_put(&repository.name, reference).await?)
    }

    /// Takes a pin away; true if there was one.
    pub async fn unpin(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<bool, MirrorError> {
        let meta = &self.inner.meta;
        Ok(meta.pin_delete(&repository.name, reference).await?)
    }
}
