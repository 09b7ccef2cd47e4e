//! `Image`: what `ImageBuilder` made, with the questions that tests ask about it.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

/// One manifest or index, byte for byte as a registry serves it.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// All that belongs to one root: children come before what names them, the root is last.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) root: String,
}

// === impl Image ===

impl Image {
    pub(crate) fn manifest(&self, digest: &str) -> &Manifest {
        self.manifests
            .iter()
            .find(|manifest| manifest.digest == digest)
            .unwrap_or_else(|| panic!("the image has no manifest {digest}"))
    }

    pub(crate) fn root_manifest(&self) -> &Manifest {
        self.manifest(&self.root)
    }

    /// The digests of the manifests below an index; empty for a single manifest.
    pub(crate) fn children(&self) -> Vec<String> {
        self.manifests
            .iter()
            .filter(|manifest| manifest.digest != self.root)
            .map(|manifest| manifest.digest.clone())
            .collect()
    }

    /// The layer digests of the first manifest, in order.
    pub(crate) fn layers(&self) -> Vec<String> {
        self.layers_of(&self.manifests[0].digest)
    }

    pub(crate) fn layers_of(&self, manifest: &str) -> Vec<String> {
        let document = self.manifest(manifest).json();
        let layers = document["layers"].as_array().cloned().unwrap_or_default();
        layers.iter().map(digest_in).collect()
    }

    /// The config digest of the first manifest.
    pub(crate) fn config(&self) -> String {
        digest_in(&self.manifests[0].json()["config"])
    }

    pub(crate) fn blob(&self, digest: &str) -> Bytes {
        self.blobs
            .get(digest)
            .unwrap_or_else(|| panic!("the image has no blob {digest}"))
            .clone()
    }

    /// The root's descriptor, as a `subject` or an index entry names it.
    pub(crate) fn descriptor(&self) -> Value {
        self.root_manifest().descriptor()
    }

    /// Bytes of all blobs together.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.blobs.values().map(|bytes| bytes.len() as u64).sum()
    }
}

// === impl Manifest ===

impl Manifest {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("the builder writes JSON")
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

pub(super) fn digest_in(descriptor: &Value) -> String {
    descriptor["digest"]
        .as_str()
        .expect("a descriptor has a digest")
        .to_owned()
}
