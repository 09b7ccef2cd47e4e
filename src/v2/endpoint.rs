//! From method, path and query to what is asked for. Pure; after it no raw name, tag or digest exists.

use std::{borrow::Cow, str::FromStr};

use http::Method;
use uuid::Uuid;

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

/// The parameters that some endpoint reads; the first of each name counts (of `tag` all), others are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    pub(super) ns: Option<String>,
    n: Option<String>,
    last: Option<String>,
    artifact_type: Option<String>,
    digest: Option<String>,
    mount: Option<String>,
    from: Option<String>,
    digest_algorithm: Option<String>,
    tags: Vec<String>,
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

impl Query {
    pub(super) fn parse(raw: Option<&str>) -> Self {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            let slot = match key.as_ref() {
                "ns" => &mut query.ns,
                "n" => &mut query.n,
                "last" => &mut query.last,
                "artifactType" => &mut query.artifact_type,
                "digest" => &mut query.digest,
                "mount" => &mut query.mount,
                "from" => &mut query.from,
                "digest-algorithm" => &mut query.digest_algorithm,
                "tag" if query.tags.len() <= MAX_TAGS => {
                    query.tags.push(Cow::into_owned(value));
                    continue;
                }
                _ => continue,
            };
            if slot.is_none() && !value.is_empty() {
                *slot = Some(Cow::into_owned(value));
            }
        }
        query
    }

    fn page(&self) -> Result<PageQuery, EndpointError> {
        let n = match &self.n {
            None => None,
            Some(n) if n.bytes().all(|b| b.is_ascii_digit()) => {
                // More than any list has is as good as all of it.
                Some(n.parse().unwrap_or(usize::MAX))
            }
            Some(_) => return Err(EndpointError::PageSize),
        };
        Ok(PageQuery {
            n,
            last: self.last.clone(),
        })
    }
}

impl Query {
    fn new_upload(&self) -> Result<NewUpload, EndpointError> {
        Ok(NewUpload {
            digest: parsed("digest", self.digest.as_deref())?,
            mount: parsed("mount", self.mount.as_deref())?,
            from: self.from.as_deref().and_then(|name| name.parse().ok()),
            algorithm: parsed("digest-algorithm", self.digest_algorithm.as_deref())?,
        })
    }

    /// distribution-spec: tags may be given when a manifest is pushed by digest.
    fn tags(&self, reference: &Reference) -> Result<Vec<Tag>, EndpointError> {
        let mut tags: Vec<Tag> = Vec::new();
        if let Reference::Tag(_) = reference {
            return Ok(tags);
        }
        if self.tags.len() > MAX_TAGS {
            return Err(EndpointError::TooManyTags);
        }
        for text in &self.tags {
            let tag = text.parse().map_err(EndpointError::Tag)?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }
}

fn parsed<T: FromStr<Err = DigestError>>(
    parameter: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, EndpointError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|source| EndpointError::Digest { parameter, source })
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
            Path::Manifest { name, reference } => Ok(match *method {
                Method::GET => Self::Pull {
                    name,
                    what: Pull::GetManifest(reference),
                },
                Method::HEAD => Self::Pull {
                    name,
                    what: Pull::HeadManifest(reference),
                },
                Method::PUT => Self::Push {
                    name,
                    what: Push::PutManifest {
                        tags: query.tags(&reference)?,
                        reference,
                    },
                },
                Method::DELETE => Self::Delete {
                    name,
                    what: Delete::Manifest(reference),
                },
                _ => {
                    return Err(EndpointError::Method {
                        allow: "GET, HEAD, PUT, DELETE",
                    });
                }
            }),
            Path::Blob { name, digest } => Ok(match *method {
                Method::GET => Self::Pull {
                    name,
                    what: Pull::GetBlob(digest),
                },
                Method::HEAD => Self::Pull {
                    name,
                    what: Pull::HeadBlob(digest),
                },
                Method::DELETE => Self::Delete {
                    name,
                    what: Delete::Blob(digest),
                },
                _ => {
                    return Err(EndpointError::Method {
                        allow: "GET, HEAD, DELETE",
                    });
                }
            }),
            Path::Uploads { name } => match *method {
                Method::POST => Ok(Self::Push {
                    name,
                    what: Push::StartUpload(query.new_upload()?),
                }),
                _ => Err(EndpointError::Method { allow: "POST" }),
            },
            Path::Upload { name, id } => {
                let what = upload(method, &id, query)?;
                Ok(Self::Push { name, what })
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(method: &Method, path: &str, query: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(method, path, &Query::parse(Some(query)))
    }

    fn pull(path: &str, query: &str) -> Pull {
        match parse(&Method::GET, path, query) {
            Ok(Endpoint::Pull { what, .. }) => what,
            other => panic!("{path}?{query}: {other:?}"),
        }
    }

    #[test]
    fn get_and_head_of_content_are_told_apart() {
        let manifest = "/v2/a/b/c/manifests/v1";
        let name: Name = "a/b/c".parse().unwrap();
        let reference: Reference = "v1".parse().unwrap();
        assert_eq!(
            parse(&Method::GET, manifest, ""),
            Ok(Endpoint::Pull {
                name: name.clone(),
                what: Pull::GetManifest(reference.clone())
            })
        );
        assert_eq!(
            parse(&Method::HEAD, manifest, "ns=docker.io"),
            Ok(Endpoint::Pull {
                name: name.clone(),
                what: Pull::HeadManifest(reference)
            })
        );
        let blob = format!("/v2/a/b/c/blobs/{DIGEST}");
        let digest: Digest = DIGEST.parse().unwrap();
        assert_eq!(
            parse(&Method::HEAD, &blob, ""),
            Ok(Endpoint::Pull {
                name,
                what: Pull::HeadBlob(digest.clone())
            })
        );
        assert_eq!(pull(&blob, ""), Pull::GetBlob(digest));
    }

    #[test]
    fn the_base_is_the_base_with_and_without_slash() {
        for path in ["/v2", "/v2/"] {
            assert_eq!(parse(&Method::GET, path, ""), Ok(Endpoint::Base));
            assert_eq!(parse(&Method::HEAD, path, ""), Ok(Endpoint::Base));
        }
    }

    #[test]
    fn pages_are_asked_for_by_n_and_last() {
        assert_eq!(
            pull("/v2/a/tags/list", "n=10&last=v%2B1&n=11&other=x"),
            Pull::ListTags(PageQuery {
                n: Some(10),
                last: Some("v+1".to_owned())
            })
        );
        assert_eq!(
            parse(&Method::GET, "/v2/_catalog", "n=0"),
            Ok(Endpoint::Catalog(PageQuery {
                n: Some(0),
                last: None
            }))
        );
        assert_eq!(
            pull("/v2/a/tags/list", "n=99999999999999999999999"),
            Pull::ListTags(PageQuery {
                n: Some(usize::MAX),
                last: None
            })
        );
        for bad in ["n=-1", "n=ten", "n=1.5"] {
            assert_eq!(
                parse(&Method::GET, "/v2/a/tags/list", bad),
                Err(EndpointError::PageSize),
                "{bad}"
            );
        }
    }

    #[test]
    fn referrers_take_a_filter() {
        assert_eq!(
            pull(
                &format!("/v2/a/referrers/{DIGEST}"),
                "artifactType=application%2Fx&ns=q"
            ),
            Pull::ListReferrers {
                subject: DIGEST.parse().unwrap(),
                artifact_type: Some("application/x".to_owned()),
                after: None
            }
        );
    }

    #[test]
    fn ns_is_read_decoded_and_once() {
        assert_eq!(
            Query::parse(Some("ns=localhost%3A5000&ns=b")).ns.as_deref(),
            Some("localhost:5000")
        );
        assert_eq!(Query::parse(Some("ns=")).ns, None);
        assert_eq!(Query::parse(None), Query::default());
    }

    #[test]
    fn writes_are_known_as_such() {
        let name: Name = "a/b".parse().unwrap();
        let push = |method: &Method, path: &str, query: &str| match parse(method, path, query) {
            Ok(Endpoint::Push { name: of, what }) if of == name => what,
            other => panic!("{method} {path}?{query}: {other:?}"),
        };
        let digest: Digest = DIGEST.parse().unwrap();
        let id = Uuid::new_v4();
        let session = format!("/v2/a/b/blobs/uploads/{id}");
        let (finish, by_digest) = (
            format!("digest={DIGEST}"),
            format!("/v2/a/b/manifests/{DIGEST}"),
        );
        assert_eq!(push(&Method::GET, &session, ""), Push::UploadStatus(id));
        assert_eq!(push(&Method::PATCH, &session, ""), Push::Append(id));
        assert_eq!(push(&Method::DELETE, &session, ""), Push::CancelUpload(id));
        assert_eq!(
            push(&Method::PUT, &session, &finish),
            Push::FinishUpload(id, digest.clone())
        );
        let mount = format!("mount={DIGEST}&from=c%2Fd&digest-algorithm=sha512");
        assert_eq!(
            push(&Method::POST, "/v2/a/b/blobs/uploads/", &mount),
            Push::StartUpload(NewUpload {
                digest: None,
                mount: Some(digest.clone()),
                from: Some("c/d".parse().unwrap()),
                algorithm: Some(Algorithm::Sha512),
            })
        );
        assert_eq!(
            push(&Method::PUT, &by_digest, "tag=1&tag=latest&tag=1"),
            Push::PutManifest {
                reference: Reference::Digest(digest.clone()),
                tags: vec!["1".parse().unwrap(), "latest".parse().unwrap()],
            }
        );
        for (path, expected) in [
            (
                "/v2/a/b/manifests/v1".to_owned(),
                Delete::Manifest("v1".parse().unwrap()),
            ),
            (
                format!("/v2/a/b/blobs/{DIGEST}"),
                Delete::Blob(digest.clone()),
            ),
        ] {
            assert_eq!(
                parse(&Method::DELETE, &path, ""),
                Ok(Endpoint::Delete {
                    name: name.clone(),
                    what: expected
                })
            );
        }
    }

    #[test]
    fn what_a_push_leaves_out_or_gets_wrong_is_named() {
        let session = format!("/v2/a/blobs/uploads/{}", Uuid::new_v4());
        assert_eq!(
            parse(&Method::PUT, &session, ""),
            Err(EndpointError::NoDigest)
        );
        for (parameter, query) in [
            ("digest", "digest=sha256:00"),
            ("mount", "mount=x"),
            ("digest-algorithm", "digest-algorithm=md5"),
        ] {
            let parsed = parse(&Method::POST, "/v2/a/blobs/uploads/", query);
            assert!(
                matches!(parsed, Err(EndpointError::Digest { parameter: p, .. }) if p == parameter)
            );
        }
        assert_eq!(
            parse(&Method::PATCH, "/v2/a/blobs/uploads/1", ""),
            Err(EndpointError::NoSuchUpload)
        );
        let path = format!("/v2/a/manifests/{DIGEST}");
        assert!(matches!(
            parse(&Method::PUT, &path, "tag=.bad"),
            Err(EndpointError::Tag(_))
        ));
        let many: Vec<_> = (0..=MAX_TAGS).map(|n| format!("tag={n}")).collect();
        assert_eq!(
            parse(&Method::PUT, &path, &many.join("&")),
            Err(EndpointError::TooManyTags)
        );
    }

    #[test]
    fn other_methods_hear_what_is_allowed() {
        for (method, path, allowed) in [
            (Method::POST, "/v2/", "GET, HEAD"),
            (Method::DELETE, "/v2/_catalog", "GET, HEAD"),
            (Method::PUT, "/v2/a/tags/list", "GET, HEAD"),
            (Method::POST, "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
            (Method::GET, "/v2/a/blobs/uploads/", "POST"),
        ] {
            assert_eq!(
                parse(&method, path, ""),
                Err(EndpointError::Method { allow: allowed }),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_manifest_by_what_is_no_tag_is_not_there() {
        for method in [Method::GET, Method::HEAD] {
            assert!(matches!(
                parse(&method, "/v2/a/manifests/.INVALID_MANIFEST_NAME", ""),
                Err(EndpointError::NoSuchTag(_))
            ));
        }
        assert!(matches!(
            parse(&Method::PUT, "/v2/a/manifests/.bad", ""),
            Err(EndpointError::Path(PathError::Tag(_)))
        ));
    }
}
