//! The paths of the Distribution API, spelled once: the server parses them, the registry client builds them
//! (distribution-spec, "Endpoints"). Splits from the right, so that names of any depth work.

use super::{Digest, Name, Reference};

/// A path below `/v2/`, without query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/manifests/<reference>`
    Manifest { name: Name, reference: Reference },
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: Name, digest: Digest },
    /// `/v2/<name>/blobs/uploads/`
    Uploads { name: Name },
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload { name: Name, id: String },
    /// `/v2/<name>/tags/list`
    Tags { name: Name },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: Name, digest: Digest },
}

/// Which part of a path is wrong; the server answers with the code of that part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("no such endpoint")]
    NotFound,
    #[error(transparent)]
    Name(#[from] super::name::NameError),
    #[error(transparent)]
    Tag(#[from] super::tag::TagError),
    #[error(transparent)]
    Digest(#[from] super::digest::DigestError),
}

impl Path {
    /// Parses a raw (still percent-encoded) request path that begins with `/v2`.
    pub fn parse(_path: &str) -> Result<Self, PathError> {
        todo!()
    }
}

impl std::fmt::Display for Path {
    /// The path as a client sends it, beginning with `/v2/`.
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
