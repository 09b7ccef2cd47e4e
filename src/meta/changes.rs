//! The caches in front of the tables, and what a transaction makes untrue in them.

use std::fmt::{self, Write as _};

use super::{ManifestRow, TagRow, hot::Hot};
use crate::oci::{Digest, Name, Tag};

/// Rows that every hit asks for. Each entry is a few hundred bytes.
const HOT_ROWS: u64 = 100_000;

/// A transaction that changes more rows than this is announced as a change of everything.
const ANNOUNCED_ROWS: usize = 1000;

const TAG: &str = "tag";
const MANIFEST: &str = "manifest";
const LINK: &str = "link";
const ALL: &str = "all";

/// The caches in front of the tables.
pub(super) struct HotRows {
    pub(super) tags: Hot<(Name, Tag), TagRow>,
    pub(super) manifests: Hot<(Name, Digest), ManifestRow>,
    pub(super) links: Hot<(Name, Digest), ()>,
}

impl HotRows {
    pub(super) fn new() -> Self {
        Self {
            tags: Hot::new(HOT_ROWS),
            manifests: Hot::new(HOT_ROWS),
            links: Hot::new(HOT_ROWS),
        }
    }

    /// As [`outdate`](Self::outdate), of every row.
    pub(super) fn outdate_all(&self) {
        self.tags.outdate_all();
        self.manifests.outdate_all();
        self.links.outdate_all();
    }

    pub(super) fn outdate(&self, changes: &Changes) {
        changes.tags.iter().for_each(|key| self.tags.outdate(key));
        changes
            .manifests
            .iter()
            .for_each(|key| self.manifests.outdate(key));
        changes.links.iter().for_each(|key| self.links.outdate(key));
    }
}

/// What a transaction may have changed: cached rows that must be read anew.
#[derive(Default)]
pub(super) struct Changes {
    tags: Vec<(Name, Tag)>,
    manifests: Vec<(Name, Digest)>,
    links: Vec<(Name, Digest)>,
}

impl Changes {
    pub(super) fn tag(&mut self, repository: &Name, tag: &Tag) {
        self.tags.push((repository.clone(), tag.clone()));
    }

    pub(super) fn manifest(&mut self, repository: &Name, digest: &Digest) {
        self.manifests.push((repository.clone(), digest.clone()));
    }

    pub(super) fn link(&mut self, repository: &Name, digest: &Digest) {
        self.links.push((repository.clone(), digest.clone()));
    }

    /// For the other replicas: a line for each row, `tag NAME TAG`, `manifest NAME DIGEST` or `link NAME DIGEST`; or the
    /// one line `all`. `None`: nothing that anybody caches.
    pub(super) fn announcement(&self) -> Option<String> {
        let count = self.tags.len() + self.manifests.len() + self.links.len();
        match count {
            0 => return None,
            1..=ANNOUNCED_ROWS => {}
            _ => return Some(ALL.to_owned()),
        }
        let mut text = String::new();
        let mut line = |kind: &str, name: &Name, what: &dyn fmt::Display| {
            writeln!(text, "{kind} {name} {what}").expect("a string takes everything");
        };
        self.tags
            .iter()
            .for_each(|(name, tag)| line(TAG, name, tag));
        self.manifests
            .iter()
            .for_each(|(name, digest)| line(MANIFEST, name, digest));
        self.links
            .iter()
            .for_each(|(name, digest)| line(LINK, name, digest));
        Some(text)
    }

    /// What another replica announced. `None`: anything may have changed. A kind of row that this version does not know
    /// is one that it does not cache.
    pub(super) fn of_announcement(text: &str) -> Option<Self> {
        let mut changes = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let kind = words.next()?;
            if ![TAG, MANIFEST, LINK, ALL].contains(&kind) {
                continue;
            }
            let (name, what) = (words.next()?.parse().ok()?, words.next()?);
            match kind {
                TAG => changes.tag(&name, &what.parse().ok()?),
                MANIFEST => changes.manifest(&name, &what.parse().ok()?),
                _ => changes.link(&name, &what.parse().ok()?),
            }
        }
        Some(changes)
    }
}
