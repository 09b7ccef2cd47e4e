//! From method, path and query to what is asked for. Pure; after it no raw name, tag or digest exists.

mod query;
#[cfg(test)]
mod tests;

pub(super) use query::Query;

use http::Method;
use uuid::Uuid;

use self::query::parsed;
use crate::oci::{
    Algorithm, Digest, Name, Path, Reference, Tag, digest::DigestError, path::PathError,
    tag::TagError,
};

/// distribution-spec, "Pushing Manifests": at least 10 tags per request should be supported.
const MAX_TAGS: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Base,
    Catalog(PageQuery),
    Pull { name: Name, what: Pull },
    Push { name: Name, what: Push },
    Delete { name: Name, what: Delete },
}

/// What a push sends or asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Push {
    /// POST: a new session, or none if the blob comes along or is mounted.
    StartUpload(NewUpload),
    /// GET of a session.
    UploadStatus(Uuid),
    /// PATCH
    Append(Uuid),
    /// PUT of a session
    FinishUpload(Uuid, Digest),
    /// DELETE of a session
    CancelUpload(Uuid),
    PutManifest {
        reference: Reference,
        /// Further tags of a manifest that is pushed by its digest, each once.
        tags: Vec<Tag>,
    },
}

/// The parameters of a POST.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NewUpload {
    /// The whole blob is the body.
    pub(super) digest: Option<Digest>,
    pub(super) mount: Option<Digest>,
    /// Where it may be mounted from; what is no name is nobody's.
    pub(super) from: Option<Name>,
    pub(super) algorithm: Option<Algorithm>,
}

/// What is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delete {
    Manifest(Reference),
    Blob(Digest),
}

/// What is asked for of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pull {
    GetManifest(Reference),
    HeadManifest(Reference),
    GetBlob(Digest),
    HeadBlob(Digest),
    ListTags(PageQuery),
    ListReferrers {
        subject: Digest,
        artifact_type: Option<String>,
        /// Digest of the last descriptor of the page before.
        after: Option<String>,
    },
}

/// `n` and `last`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PageQuery {
    pub(super) n: Option<usize>,
    pub(super) last: Option<String>,
}

/// Why a request means nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndpointError {
    #[error(transparent)]
    Path(#[from] PathError),
    /// A HEAD or GET of a manifest by what is neither a tag nor a digest: nothing can be there.
    #[error("`{0}` is not here: it is not a tag")]
    NoSuchTag(String),
    #[error("this endpoint takes {allow}")]
    Method { allow: &'static str },
    #[error("`n` must be a whole number of 0 or more")]
    PageSize,
    #[error("`{parameter}` is not valid: {source}")]
    Digest {
        parameter: &'static str,
        source: DigestError,
    },
    #[error("the parameter `digest` is missing")]
    NoDigest,
    #[error("`tag`: {0}")]
    Tag(TagError),
    #[error("more than {MAX_TAGS} tags")]
    TooManyTags,
    /// An id that no session of ours ever had.
    #[error("there is no such upload session")]
    NoSuchUpload,
}

impl Endpoint {
    /// `path` is raw (still percent-encoded) and begins with `/v2`.
    pub(super) fn parse(method: &Method, path: &str, query: &Query) -> Result<Self, EndpointError> {
        let path = match Path::parse(path) {
            Err(PathError::Tag(tag)) if is_read(method) => {
                return Err(EndpointError::NoSuchTag(tag.0));
            }
            parsed => parsed?,
        };
        match path {
            Path::Base => reads(method, Self::Base),
            Path::Catalog => reads(method, Self::Catalog(query.page()?)),
            Path::Tags { name } => {
                let what = Pull::ListTags(query.page()?);
                reads(method, Self::Pull { name, what })
            }
            Path::Referrers { name, digest } => {
                let what = Pull::ListReferrers {
                    subject: digest,
                    artifact_type: query.artifact_type.clone(),
                    after: query.last.clone(),
                };
                reads(method, Self::Pull { name, what })
            }
            Path::Manifest { name, reference } => Self::manifest(method, name, reference, query),
            Path::Blob { name, digest } => Self::blob(method, name, digest),
            Path::Uploads { name } if method == Method::POST => {
                let what = Push::StartUpload(query.new_upload()?);
                Ok(Self::Push { name, what })
            }
            Path::Uploads { .. } => Err(EndpointError::Method { allow: "POST" }),
            Path::Upload { name, id } => {
                let what = upload(method, &id, query)?;
                Ok(Self::Push { name, what })
            }
        }
    }

    fn manifest(
        method: &Method,
        name: Name,
        reference: Reference,
        query: &Query,
    ) -> Result<Self, EndpointError> {
        let pull = |name, what| Ok(Self::Pull { name, what });
        match *method {
            Method::GET => pull(name, Pull::GetManifest(reference)),
            Method::HEAD => pull(name, Pull::HeadManifest(reference)),
            Method::PUT => {
                let tags = query.tags(&reference)?;
                let what = Push::PutManifest { tags, reference };
                Ok(Self::Push { name, what })
            }
            Method::DELETE => {
                let what = Delete::Manifest(reference);
                Ok(Self::Delete { name, what })
            }
            _ => Err(EndpointError::Method {
                allow: "GET, HEAD, PUT, DELETE",
            }),
        }
    }

    fn blob(method: &Method, name: Name, digest: Digest) -> Result<Self, EndpointError> {
        let pull = |name, what| Ok(Self::Pull { name, what });
        match *method {
            Method::GET => pull(name, Pull::GetBlob(digest)),
            Method::HEAD => pull(name, Pull::HeadBlob(digest)),
            Method::DELETE => {
                let what = Delete::Blob(digest);
                Ok(Self::Delete { name, what })
            }
            _ => Err(EndpointError::Method {
                allow: "GET, HEAD, DELETE",
            }),
        }
    }

    /// The word for logs and metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog(_) => "catalog",
            Self::Pull { what, .. } => what.kind(),
            Self::Push { .. } => "push",
            Self::Delete { .. } => "delete",
        }
    }
}

/// A step of an upload session.
fn upload(method: &Method, id: &str, query: &Query) -> Result<Push, EndpointError> {
    if ![Method::GET, Method::PATCH, Method::PUT, Method::DELETE].contains(method) {
        return Err(EndpointError::Method {
            allow: "GET, PATCH, PUT, DELETE",
        });
    }
    let id: Uuid = id.parse().map_err(|_| EndpointError::NoSuchUpload)?;
    Ok(match *method {
        Method::GET => Push::UploadStatus(id),
        Method::PATCH => Push::Append(id),
        Method::DELETE => Push::CancelUpload(id),
        _ => {
            let digest = parsed("digest", query.digest.as_deref())?;
            Push::FinishUpload(id, digest.ok_or(EndpointError::NoDigest)?)
        }
    })
}

impl Pull {
    fn kind(&self) -> &'static str {
        match self {
            Self::GetManifest(_) | Self::HeadManifest(_) => "manifest",
            Self::GetBlob(_) | Self::HeadBlob(_) => "blob",
            Self::ListTags(_) => "tags",
            Self::ListReferrers { .. } => "referrers",
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn reads(method: &Method, endpoint: Endpoint) -> Result<Endpoint, EndpointError> {
    if is_read(method) {
        Ok(endpoint)
    } else {
        Err(EndpointError::Method { allow: "GET, HEAD" })
    }
}
