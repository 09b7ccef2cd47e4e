//! The caches in front of the tables, and what a transaction makes untrue in them.

use std::fmt::{self, Write as _};

use uuid::Uuid;

use super::{AccountRow, ManifestRow, SecretHash, TagRow, TokenRow, hot::Hot};
use crate::oci::{Digest, Name, Tag};

/// Rows that every hit asks for. Each entry is a few hundred bytes.
const HOT_ROWS: u64 = 100_000;
/// Users and tokens that come again and again.
const HOT_PRINCIPALS: u64 = 10_000;

/// A transaction that changes more rows than this is announced as a change of everything.
const ANNOUNCED_ROWS: usize = 1000;

const TAG: &str = "tag";
const MANIFEST: &str = "manifest";
const LINK: &str = "link";
const ACCOUNT: &str = "account";
const TOKEN: &str = "token";
const ALL: &str = "all";

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

    /// As [`outdate`](Self::outdate), of every row.
    pub(super) fn outdate_all(&self) {
        self.tags.outdate_all();
        self.manifests.outdate_all();
        self.links.outdate_all();
        self.accounts.outdate_all();
        self.tokens.outdate_all();
        self.token_ids.outdate_all();
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

    /// For the other replicas: a line for each row, `tag NAME TAG`, `manifest NAME DIGEST`, `link NAME DIGEST`,
    /// `account NAME` or `token ID HASH`; or the one line `all`. `None`: nothing that anybody caches.
    pub(super) fn announcement(&self) -> Option<String> {
        let count = self.tags.len() + self.manifests.len() + self.links.len();
        match count + self.accounts.len() + self.tokens.len() {
            0 => return None,
            1..=ANNOUNCED_ROWS => {}
            _ => return Some(ALL.to_owned()),
        }
        let mut text = String::new();
        let mut line = |kind: &str, name: &dyn fmt::Display, what: &dyn fmt::Display| {
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
        self.accounts
            .iter()
            .for_each(|name| line(ACCOUNT, name, &""));
        self.tokens
            .iter()
            .for_each(|(id, secret)| line(TOKEN, id, &hex::encode(secret)));
        Some(text)
    }

    /// What another replica announced. `None`: anything may have changed. A kind of row that this version does not know
    /// is one that it does not cache.
    pub(super) fn of_announcement(text: &str) -> Option<Self> {
        let mut changes = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let kind = words.next()?;
            if ![TAG, MANIFEST, LINK, ACCOUNT, TOKEN, ALL].contains(&kind) {
                continue;
            }
            let (name, what) = (words.next()?, words.next()?);
            match kind {
                TAG => changes.tag(&name.parse().ok()?, &what.parse().ok()?),
                MANIFEST => changes.manifest(&name.parse().ok()?, &what.parse().ok()?),
                LINK => changes.link(&name.parse().ok()?, &what.parse().ok()?),
                ACCOUNT => changes.account(name),
                _ => {
                    let secret = hex::decode(what).ok()?.try_into().ok()?;
                    changes.token(name.parse().ok()?, secret);
                }
            }
        }
        Some(changes)
    }
}
