//! The paths of the Distribution API, spelled once: the server parses them, the registry client builds them
//! (distribution-spec, "Endpoints"). Splits from the right, so that names of any depth work.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::{Digest, Name, Reference, reference::ReferenceError};

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
    /// No endpoint has this shape.
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
    /// The repository that it is about.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Tags { name }
            | Self::Referrers { name, .. } => Some(name),
        }
    }

    /// Parses a raw (still percent-encoded) request path that begins with `/v2`.
    ///
    /// The endpoint is told by the last components alone, so a name may have any depth and may itself have components
    /// such as `manifests`. `/blobs/uploads` is taken without its closing slash too: it can mean nothing else.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let rest = path.strip_prefix("/v2").ok_or(PathError::NotFound)?;
        let rest = match rest {
            "" | "/" => return Ok(Self::Base),
            "/_catalog" => return Ok(Self::Catalog),
            _ => rest.strip_prefix('/').ok_or(PathError::NotFound)?,
        };
        if let Some(name) = rest
            .strip_suffix("/blobs/uploads/")
            .or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Ok(Self::Uploads {
                name: name.parse()?,
            });
        }
        let (head, last) = rest.rsplit_once('/').ok_or(PathError::NotFound)?;
        let (name, endpoint) = head.rsplit_once('/').ok_or(PathError::NotFound)?;
        if last.is_empty() {
            return Err(PathError::NotFound);
        }
        match endpoint {
            "manifests" => Self::manifest(name, last),
            "blobs" => Ok(Self::Blob {
                name: name.parse()?,
                digest: last.parse()?,
            }),
            "referrers" => Ok(Self::Referrers {
                name: name.parse()?,
                digest: last.parse()?,
            }),
            "tags" if last == "list" => Ok(Self::Tags {
                name: name.parse()?,
            }),
            "uploads" => Self::upload(name, last),
            _ => Err(PathError::NotFound),
        }
    }

    fn manifest(name: &str, reference: &str) -> Result<Self, PathError> {
        let name = name.parse()?;
        let reference = reference.parse().map_err(|error| match error {
            ReferenceError::Tag(error) => PathError::Tag(error),
            ReferenceError::Digest(error) => PathError::Digest(error),
        })?;
        Ok(Self::Manifest { name, reference })
    }

    fn upload(before: &str, id: &str) -> Result<Self, PathError> {
        let name = before
            .strip_suffix("/blobs")
            .ok_or(PathError::NotFound)?
            .parse()?;
        if is_upload_id(id) {
            Ok(Self::Upload {
                name,
                id: id.to_owned(),
            })
        } else {
            Err(PathError::NotFound)
        }
    }
}

/// Ids of upload sessions are ours (UUIDs); what would need an escape in a path cannot be one.
fn is_upload_id(text: &str) -> bool {
    text.len() <= 128
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

impl fmt::Display for Path {
    /// The path as a client sends it, beginning with `/v2/`. No part needs an escape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("/v2/"),
            Self::Catalog => f.write_str("/v2/_catalog"),
            Self::Manifest { name, reference } => write!(f, "/v2/{name}/manifests/{reference}"),
            Self::Blob { name, digest } => write!(f, "/v2/{name}/blobs/{digest}"),
            Self::Uploads { name } => write!(f, "/v2/{name}/blobs/uploads/"),
            Self::Upload { name, id } => write!(f, "/v2/{name}/blobs/uploads/{id}"),
            Self::Tags { name } => write!(f, "/v2/{name}/tags/list"),
            Self::Referrers { name, digest } => write!(f, "/v2/{name}/referrers/{digest}"),
        }
    }
}

#[cfg(test)]
mod tests;
