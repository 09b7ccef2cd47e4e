//! A request as the fake registry understood it; parsed once, then matched, recorded and answered.

use bytes::Bytes;
use http::{HeaderMap, Method};

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Base,
    Catalog,
    Manifest,
    Blob,
    Tags,
    Referrers,
    Token,
    /// `/cdn/<repository>/<digest>`: where blob redirects lead.
    Cdn,
    Other,
}

/// One request with its parts taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    /// The percent-decoded path.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) repository: String,
    /// Tag or digest; empty where the kind has none.
    pub(crate) reference: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the connection showed a client certificate.
    pub(crate) client_certificate: bool,
}

// === impl Request ===

impl Request {
    pub(super) fn parse(method: Method, target: &str, headers: HeaderMap, body: Bytes) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8_lossy()
            .into_owned();
        let query = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let (kind, repository, reference) = take_apart(&path);
        let (repository, reference) = (repository.to_owned(), reference.to_owned());
        let client_certificate = false;
        Self {
            method,
            kind,
            path,
            query,
            repository,
            reference,
            headers,
            body,
            client_certificate,
        }
    }

    /// A header as text; empty if absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The first query parameter of that name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}

fn take_apart(path: &str) -> (Kind, &str, &str) {
    if let Some(rest) = path.strip_prefix("/cdn/") {
        let (repository, digest) = rest.rsplit_once('/').unwrap_or((rest, ""));
        return (Kind::Cdn, repository, digest);
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        let kind = match path {
            "/token" => Kind::Token,
            "/v2" => Kind::Base,
            _ => Kind::Other,
        };
        return (kind, "", "");
    };
    match rest {
        "" => return (Kind::Base, "", ""),
        "_catalog" => return (Kind::Catalog, "", ""),
        _ => {}
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return (Kind::Tags, repository, "");
    }
    let parts = rest.rsplit_once('/').and_then(|(before, reference)| {
        let (repository, word) = before.rsplit_once('/')?;
        Some((repository, word, reference))
    });
    match parts {
        Some((repository, "manifests", tag)) => (Kind::Manifest, repository, tag),
        Some((repository, "blobs", digest)) => (Kind::Blob, repository, digest),
        Some((repository, "referrers", digest)) => (Kind::Referrers, repository, digest),
        _ => (Kind::Other, "", ""),
    }
}
