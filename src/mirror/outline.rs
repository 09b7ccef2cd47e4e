//! How large an image is and for which platforms, by what its manifests say: for those who look around. Works for what
//! was pushed, too.

use std::collections::HashSet;

use super::{Mirror, MirrorError, image::platform};
use crate::{
    meta::PartKind,
    oci::{Digest, Manifest, Name},
};

/// An index with more manifests than this is not counted whole.
const MAX_MANIFESTS: usize = 100;

/// An image in a few words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// Of all its manifests and blobs, here or not, each counted once.
    pub size_bytes: u64,
    /// `os/architecture[/variant]`, where an index says so.
    pub platforms: Vec<String>,
}

impl Mirror {
    /// Looks at the manifests that this repository has below this one.
    pub async fn outline(&self, name: &Name, root: &Digest) -> Result<Outline, MirrorError> {
        let meta = &self.inner.meta;
        let mut outline = Outline::default();
        let mut seen = HashSet::from([root.clone()]);
        let mut left = vec![root.clone()];
        let mut manifests = 0;
        while let Some(digest) = left.pop().filter(|_| manifests < MAX_MANIFESTS) {
            manifests += 1;
            let Some(held) = meta.manifest_held(name, &digest).await? else {
                continue;
            };
            outline.size_bytes += held.size_bytes;
            let mut has_children = false;
            for part in meta.manifest_parts(name, &digest).await? {
                if !seen.insert(part.digest.clone()) {
                    continue;
                }
                match part.kind {
                    PartKind::Manifest => {
                        has_children = true;
                        left.push(part.digest);
                    }
                    PartKind::Blob => {
                        let size_bytes = part.stored_bytes.or(part.size_bytes);
                        outline.size_bytes += size_bytes.unwrap_or_default();
                    }
                }
            }
            if has_children && digest == *root {
                outline.platforms = self.index_platforms(&digest).await?;
            }
        }
        Ok(outline)
    }

    async fn index_platforms(&self, index: &Digest) -> Result<Vec<String>, MirrorError> {
        let Some(bytes) = self.manifest_bytes(index).await? else {
            return Ok(Vec::new());
        };
        let children = Manifest::parse(&bytes).manifests;
        let mut platforms: Vec<String> = children.iter().filter_map(platform).collect();
        platforms.retain(|platform| platform != "unknown/unknown");
        platforms.dedup();
        Ok(platforms)
    }
}
