//! What of an image is here: from its root down to its blobs. What a mirror never pulled of it is not broken, but missing
//! in an outage.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use super::{Mirror, MirrorError, Repository};
use crate::{
    meta::{Part, PartKind},
    oci::{Descriptor, Digest, Manifest, media_type::is_foreign},
};

/// How many missing parts are named.
const NAMED: usize = 100;

/// A part of an image that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub digest: Digest,
    pub kind: MissingKind,
    /// `os/architecture[/variant]`, if an index above it says so.
    pub platform: Option<String>,
    /// What the manifest above it says.
    pub size_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingKind {
    Manifest,
    Blob,
}

impl MissingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
        }
    }
}

/// What is here of an image, and what is not.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The first of them.
    pub(super) missing: Vec<Missing>,
    /// Of manifests and blobs that are here, each counted once.
    pub(super) size_bytes: u64,
}

impl Inventory {
    /// The walk ends here: that something is missing is known, and no more of it is named.
    fn is_full(&self) -> bool {
        self.missing.len() >= NAMED
    }
}

/// A manifest that the walk has still to look at.
struct Next {
    digest: Digest,
    platform: Option<String>,
    size_bytes: Option<u64>,
}

impl Mirror {
    /// Walks the image below this manifest; ends early when much is missing.
    pub(super) async fn inventory(
        &self,
        repository: &Repository,
        root: &Digest,
    ) -> Result<Inventory, MirrorError> {
        let mut inventory = Inventory::default();
        let mut seen = HashSet::from([root.clone()]);
        let mut queue = VecDeque::from([Next {
            digest: root.clone(),
            platform: None,
            size_bytes: None,
        }]);
        while let Some(next) = queue.pop_front().filter(|_| !inventory.is_full()) {
            let meta = &self.inner.meta;
            let Some(held) = meta.manifest_held(&repository.name, &next.digest).await? else {
                inventory.missing.push(Missing {
                    digest: next.digest,
                    kind: MissingKind::Manifest,
                    platform: next.platform,
                    size_bytes: next.size_bytes,
                });
                continue;
            };
            inventory.size_bytes += held.size_bytes;
            let mut parts = meta.manifest_parts(&repository.name, &next.digest).await?;
            parts.retain(|part| seen.insert(part.digest.clone()));
            let platforms = self.platforms(&next.digest, &parts).await?;
            for part in parts {
                match part.kind {
                    PartKind::Manifest => queue.push_back(Next {
                        platform: platforms.get(&part.digest).cloned(),
                        digest: part.digest,
                        size_bytes: part.size_bytes,
                    }),
                    PartKind::Blob => {
                        let platform = next.platform.as_ref();
                        self.take_blob(repository, part, platform, &mut inventory)
                            .await?;
                    }
                }
            }
        }
        Ok(inventory)
    }

    async fn take_blob(
        &self,
        repository: &Repository,
        part: Part,
        platform: Option<&String>,
        inventory: &mut Inventory,
    ) -> Result<(), MirrorError> {
        if let Some(size_bytes) = part.stored_bytes
            && (part.is_linked || self.is_open_to(repository, &part.digest).await?)
        {
            inventory.size_bytes += size_bytes;
        } else if !is_foreign(&part.media_type) && !inventory.is_full() {
            inventory.missing.push(Missing {
                digest: part.digest,
                kind: MissingKind::Blob,
                platform: platform.cloned(),
                size_bytes: part.size_bytes,
            });
        }
        Ok(())
    }

    /// What an index says of the platforms of its children.
    async fn platforms(
        &self,
        index: &Digest,
        parts: &[Part],
    ) -> Result<HashMap<Digest, String>, MirrorError> {
        if !parts.iter().any(|part| part.kind == PartKind::Manifest) {
            return Ok(HashMap::new());
        }
        let Some(bytes) = self.manifest_bytes(index).await? else {
            return Ok(HashMap::new());
        };
        let children = Manifest::parse(&bytes).manifests;
        let platforms = children
            .into_iter()
            .filter_map(|child| Some((platform(&child)?, child.digest)))
            .map(|(platform, digest)| (digest, platform));
        Ok(platforms.collect())
    }
}

/// `os/architecture[/variant]`
pub fn platform(descriptor: &Descriptor) -> Option<String> {
    let platform = descriptor.other.get("platform")?;
    let text = |key: &str| platform.get(key).and_then(Value::as_str);
    let (os, architecture) = (text("os")?, text("architecture")?);
    Some(match text("variant") {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_leniently() {
        let read = |platform: &str| {
            let digest = Digest::sha256(b"child");
            let text = format!(r#"{{"digest":"{digest}","platform":{platform}}}"#);
            platform_of(&text)
        };
        let arm = r#"{"os":"linux","architecture":"arm","variant":"v7"}"#;
        assert_eq!(read(arm).as_deref(), Some("linux/arm/v7"));
        let amd = r#"{"os":"linux","architecture":"amd64","variant":7}"#;
        assert_eq!(read(amd).as_deref(), Some("linux/amd64"));
        assert_eq!(read(r#"{"os":"linux"}"#), None);
        assert_eq!(read("7"), None);
    }

    fn platform_of(descriptor: &str) -> Option<String> {
        platform(&serde_json::from_str(descriptor).expect("a digest is all it takes"))
    }
}
