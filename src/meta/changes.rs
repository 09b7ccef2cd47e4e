//! The caches in front of the tables, and what a transaction makes untrue in them.

use uuid::Uuid;

use super::{AccountRow, ManifestRow, SecretHash, TagRow, TokenRow, hot::Hot};
use crate::oci::{Digest, Name, Tag};

/// Rows that every hit asks for. Each entry is a few hundred bytes.
const HOT_ROWS: u64 = 100_000;
/// Users and tokens that come again and again.
const HOT_PRINCIPALS: u64 = 10_000;

/// The caches in front of the tables.
pub(super) struct HotRows {
    pub(super) tags: Hot<(Name, Tag), TagRow>,
    pub(super) manifests: Hot<(Name, Digest), ManifestRow>,
    pub(super) links: Hot<(Name, Digest), ()>,
    pub(super) accounts: Hot<String, AccountRow>,
    pub(super) tokens: Hot<SecretHash, TokenRow>,
    pub(super) token_ids: Hot<Uuid, TokenRow>,
}

impl HotRows {
    pub(super) fn new() -> Self {
        Self {
            tags: Hot::new(HOT_ROWS),
            manifests: Hot::new(HOT_ROWS),
            links: Hot::new(HOT_ROWS),
            accounts: Hot::new(HOT_PRINCIPALS),
            tokens: Hot::new(HOT_PRINCIPALS),
            token_ids: Hot::new(HOT_PRINCIPALS),
        }
    }

    pub(super) fn outdate(&self, changes: &Changes) {
        changes.tags.iter().for_each(|key| self.tags.outdate(key));
        changes
            .manifests
            .iter()
            .for_each(|key| self.manifests.outdate(key));
        changes.links.iter().for_each(|key| self.links.outdate(key));
        for name in &changes.accounts {
            self.accounts.outdate(name);
        }
        for (id, secret) in &changes.tokens {
            self.tokens.outdate(secret);
            self.token_ids.outdate(id);
        }
    }
}

/// What a transaction may have changed: cached rows that must be read anew.
#[derive(Default)]
pub(super) struct Changes {
    tags: Vec<(Name, Tag)>,
    manifests: Vec<(Name, Digest)>,
    links: Vec<(Name, Digest)>,
    accounts: Vec<String>,
    tokens: Vec<(Uuid, SecretHash)>,
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

    pub(super) fn account(&mut self, name: &str) {
        self.accounts.push(name.to_owned());
    }

    pub(super) fn token(&mut self, id: Uuid, secret: SecretHash) {
        self.tokens.push((id, secret));
    }
}
