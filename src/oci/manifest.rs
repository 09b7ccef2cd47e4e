//! A lenient reader of manifests and indexes: what a document references. The bytes themselves are never rewritten.

use super::Descriptor;

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

/// The parts of a manifest that this server acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub kind: ManifestKind,
    /// `mediaType` inside the document, if it says one.
    pub media_type: Option<String>,
    /// Manifests that an index names.
    pub manifests: Vec<Descriptor>,
    /// Config, layers and blobs, each digest once.
    pub blobs: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    /// `artifactType`, else the config's media type.
    pub artifact_type: Option<String>,
}

impl Manifest {
    /// Reads a document leniently; what is not JSON, or has no known shape, is `Other`.
    pub fn parse(_bytes: &[u8]) -> Self {
        todo!()
    }
}
