//! From method, path and query to what is asked for. Pure; after it no raw name, tag or digest exists.

use std::borrow::Cow;

use http::Method;

use crate::oci::{Digest, Name, Path, Reference, path::PathError};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Base,
    Catalog(PageQuery),
    Pull {
        name: Name,
        what: Pull,
    },
    /// All that a push sends.
    Push {
        name: Name,
    },
    Delete {
        name: Name,
    },
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

/// The parameters that some endpoint reads; the first of each name counts, others are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    pub(super) ns: Option<String>,
    n: Option<String>,
    last: Option<String>,
    artifact_type: Option<String>,
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
                Method::PUT => Self::Push { name },
                Method::DELETE => Self::Delete { name },
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
                Method::DELETE => Self::Delete { name },
                _ => {
                    return Err(EndpointError::Method {
                        allow: "GET, HEAD, DELETE",
                    });
                }
            }),
            Path::Uploads { name } => match *method {
                Method::POST => Ok(Self::Push { name }),
                _ => Err(EndpointError::Method { allow: "POST" }),
            },
            Path::Upload { name, .. } => match *method {
                Method::GET | Method::PATCH | Method::PUT | Method::DELETE => {
                    Ok(Self::Push { name })
                }
                _ => Err(EndpointError::Method {
                    allow: "GET, PATCH, PUT, DELETE",
                }),
            },
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
        for (method, path) in [
            (Method::PUT, "/v2/a/b/manifests/v1".to_owned()),
            (Method::POST, "/v2/a/b/blobs/uploads/".to_owned()),
            (Method::PATCH, "/v2/a/b/blobs/uploads/1".to_owned()),
            (Method::PUT, "/v2/a/b/blobs/uploads/1".to_owned()),
        ] {
            assert_eq!(
                parse(&method, &path, ""),
                Ok(Endpoint::Push { name: name.clone() }),
                "{method} {path}"
            );
        }
        for path in [
            "/v2/a/b/manifests/v1".to_owned(),
            format!("/v2/a/b/blobs/{DIGEST}"),
        ] {
            assert_eq!(
                parse(&Method::DELETE, &path, ""),
                Ok(Endpoint::Delete { name: name.clone() })
            );
        }
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
