//! A lenient reader of manifests and indexes: what a document references. The bytes themselves are never rewritten.

mod check;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use serde_json::{Map, value::RawValue};

use super::{Descriptor, Digest, media_type};

pub use check::ManifestError;

/// What shape a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestKind {
    /// Names other manifests (OCI index, Docker manifest list).
    Index,
    /// Names blobs (OCI or Docker image manifest, OCI artifact manifest).
    Manifest,
    /// Any other document: passed through, references nothing.
    Other,
}

impl ManifestKind {
    /// What documents of this media type are; `Other` if it is not a known one.
    pub fn of(media_type: &str) -> Self {
        match media_type {
            media_type::OCI_INDEX | media_type::DOCKER_LIST => Self::Index,
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST | media_type::OCI_ARTIFACT => {
                Self::Manifest
            }
            _ => Self::Other,
        }
    }
}

/// The parts of a manifest that this server acts on.
///
/// A reference with a digest that this server cannot verify is left out: such content is passed to clients by the
/// document's own bytes, but is never looked for here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub kind: ManifestKind,
    /// `mediaType` inside the document, if it says one.
    pub media_type: Option<String>,
    /// Manifests that an index names, each digest once.
    pub manifests: Vec<Descriptor>,
    /// Config, layers and blobs, each digest once.
    pub blobs: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    /// `artifactType`, else the config's media type.
    pub artifact_type: Option<String>,
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The members that matter; their values are read later, one by one, so that one odd member spoils no other.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow)]
    media_type: Option<&'a RawValue>,
    #[serde(borrow)]
    artifact_type: Option<&'a RawValue>,
    #[serde(borrow)]
    manifests: Option<&'a RawValue>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    /// OCI artifact manifest.
    #[serde(borrow)]
    blobs: Option<&'a RawValue>,
    /// Docker schema 1.
    #[serde(borrow)]
    fs_layers: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

impl Manifest {
    /// Largest document that is read; the specification asks for at least this much.
    pub const MAX_LENGTH: usize = 4 * 1024 * 1024;

    /// Reads a document leniently; what is not JSON, or has no known shape, is `Other`, and so is what exceeds
    /// [`Manifest::MAX_LENGTH`].
    pub fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > Self::MAX_LENGTH {
            return Self::other(None);
        }
        match serde_json::from_slice::<Document<'_>>(bytes) {
            Ok(document) => {
                let media_type = text(document.media_type);
                document.read(document.kind(media_type.as_deref()), media_type)
            }
            Err(_) => Self::other(None),
        }
    }

    /// As `parse`, of a document whose kind is known.
    fn parse_as(json: &str, kind: ManifestKind) -> Result<Self, serde_json::Error> {
        let document: Document<'_> = serde_json::from_str(json)?;
        Ok(document.read(kind, text(document.media_type)))
    }

    fn other(media_type: Option<String>) -> Self {
        Self {
            kind: ManifestKind::Other,
            media_type,
            manifests: Vec::new(),
            blobs: Vec::new(),
            subject: None,
            artifact_type: None,
            annotations: None,
        }
    }
}

impl Document<'_> {
    fn read(&self, kind: ManifestKind, media_type: Option<String>) -> Manifest {
        if kind == ManifestKind::Other {
            return Manifest::other(media_type);
        }
        let config = self.config.and_then(descriptor);
        let artifact_type = text(self.artifact_type).or_else(|| {
            config
                .as_ref()
                .map(|config| config.media_type.clone())
                .filter(|text| !text.is_empty())
        });
        let mut manifests = References::default();
        let mut blobs = References::default();
        if kind == ManifestKind::Index {
            manifests.take_list(self.manifests, descriptor);
        } else {
            if let Some(config) = config {
                blobs.take(config);
            }
            blobs.take_list(self.layers, descriptor);
            blobs.take_list(self.blobs, descriptor);
            blobs.take_list(self.fs_layers, schema1_layer);
        }
        Manifest {
            kind,
            media_type,
            manifests: manifests.list,
            blobs: blobs.list,
            subject: self.subject.and_then(descriptor),
            artifact_type,
            annotations: self
                .annotations
                .and_then(|raw| serde_json::from_str(raw.get()).ok()),
        }
    }

    /// The document's own word decides, else its members. One that could be both and does not say is neither: clients
    /// would disagree on it too.
    fn kind(&self, media_type: Option<&str>) -> ManifestKind {
        let known = media_type.map_or(ManifestKind::Other, ManifestKind::of);
        if known != ManifestKind::Other {
            return known;
        }
        let names_blobs = [self.config, self.layers, self.blobs, self.fs_layers]
            .iter()
            .any(Option::is_some);
        match (self.manifests.is_some(), names_blobs) {
            (true, false) => ManifestKind::Index,
            (false, true) => ManifestKind::Manifest,
            _ => ManifestKind::Other,
        }
    }
}

fn text(value: Option<&RawValue>) -> Option<String> {
    let text: String = serde_json::from_str(value?.get()).ok()?;
    (!text.is_empty()).then_some(text)
}

fn descriptor(value: &RawValue) -> Option<Descriptor> {
    serde_json::from_str(value.get()).ok()
}

fn schema1_layer(value: &RawValue) -> Option<Descriptor> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layer {
        blob_sum: Digest,
    }
    let layer: Layer = serde_json::from_str(value.get()).ok()?;
    Some(Descriptor {
        media_type: String::new(),
        digest: layer.blob_sum,
        size: None,
        artifact_type: None,
        annotations: None,
        other: Map::new(),
    })
}

/// References in the document's order, each digest once.
#[derive(Default)]
struct References {
    list: Vec<Descriptor>,
    seen: HashSet<Digest>,
}

impl References {
    fn take(&mut self, descriptor: Descriptor) {
        if self.seen.insert(descriptor.digest.clone()) {
            self.list.push(descriptor);
        }
    }

    /// Takes the readable elements of a JSON array; anything but an array has none.
    fn take_list(&mut self, value: Option<&RawValue>, read: fn(&RawValue) -> Option<Descriptor>) {
        let Some(value) = value else { return };
        let elements = Elements {
            read,
            references: self,
        };
        // The document is known to be JSON, so this fails on a value that is no array only.
        let _ = elements.deserialize(&mut serde_json::Deserializer::from_str(value.get()));
    }
}

/// Visits an array element by element, so that an array of a million small values is never held as such.
struct Elements<'r> {
    read: fn(&RawValue) -> Option<Descriptor>,
    references: &'r mut References,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if let Some(descriptor) = (self.read)(element) {
                self.references.take(descriptor);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
