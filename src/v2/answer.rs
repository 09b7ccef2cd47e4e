//! The headers that answers of a mirror have in common.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    mirror::Outcome,
    oci::{
        Digest,
        header::{DOCKER_CONTENT_DIGEST, X_CACHE},
    },
};

pub(super) const WARNING: HeaderName = HeaderName::from_static("warning");
/// distribution-spec, "Warnings": the code is 299, also for what RFC 9111 has 110 for.
const STALE: HeaderValue = HeaderValue::from_static("299 - \"Response is Stale\"");

/// A response, and how it came about.
pub(super) struct Reply {
    pub(super) response: Response,
    pub(super) outcome: Outcome,
}

/// `X-Cache`, `Age`, and a warning on what may be out of date.
pub(super) fn provenance(headers: &mut HeaderMap, outcome: Outcome, age: Option<Duration>) {
    headers.insert(X_CACHE, HeaderValue::from_static(outcome.as_str()));
    if let Some(age) = age {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    if outcome == Outcome::Stale {
        headers.insert(WARNING, STALE);
    }
}

/// What tells content by its digest.
pub(super) fn identity(headers: &mut HeaderMap, digest: &Digest) {
    headers.insert(DOCKER_CONTENT_DIGEST, visible(digest.to_string()));
    headers.insert(header::ETAG, visible(etag(digest)));
}

pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// `If-None-Match` (RFC 9110, 13.1.2): does the client have this content already?
pub(super) fn client_has(request: &HeaderMap, digest: &Digest) -> bool {
    let etag = etag(digest);
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digests are visible ASCII")
}

/// A media type as a header; what a remote calls it may hold bytes that no header may.
pub(super) fn content_type(media_type: &str) -> HeaderValue {
    HeaderValue::from_str(media_type)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or(HeaderValue::from_static(
            crate::oci::media_type::OCTET_STREAM,
        ))
}
