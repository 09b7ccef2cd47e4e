//! `GET` and `HEAD /v2/<name>/manifests/<reference>` (distribution-spec, "Pulling manifests"). What a client accepts
//! changes nothing: a manifest is answered as it is.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    Edge,
    answer::{Reply, client_has, content_type, identity, provenance},
    error::ApiError,
};
use crate::{
    mirror::{Answer, ManifestSummary, MirrorError, Repository},
    oci::{Reference, error_code::ErrorCode},
};

impl Edge {
    pub(super) async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        request: &HeaderMap,
    ) -> Result<Reply, ApiError> {
        let answer = self
            .parts
            .mirror
            .get_manifest(repository, reference)
            .await
            .map_err(unknown_manifest)?;
        let Answer {
            content,
            outcome,
            age,
        } = answer;
        let summary = Answer {
            content: ManifestSummary {
                digest: content.digest,
                media_type: content.media_type,
                size_bytes: content.bytes.len() as u64,
            },
            outcome,
            age,
        };
        Ok(reply(summary, Body::from(content.bytes), request))
    }

    pub(super) async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        request: &HeaderMap,
    ) -> Result<Reply, ApiError> {
        let summary = self
            .parts
            .mirror
            .head_manifest(repository, reference)
            .await
            .map_err(unknown_manifest)?;
        Ok(reply(summary, Body::empty(), request))
    }
}

fn unknown_manifest(error: MirrorError) -> ApiError {
    ApiError::mirror(error, ErrorCode::ManifestUnknown)
}

pub(super) fn reply(summary: Answer<ManifestSummary>, body: Body, request: &HeaderMap) -> Reply {
    let Answer {
        content,
        outcome,
        age,
    } = summary;
    let mut response = if client_has(request, &content.digest) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        Response::new(body)
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(&content.media_type));
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(content.size_bytes),
    );
    identity(headers, &content.digest);
    provenance(headers, outcome, age);
    Reply { response, outcome }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{mirror::Outcome, oci::Digest};

    fn summary(outcome: Outcome) -> Answer<ManifestSummary> {
        Answer {
            content: ManifestSummary {
                digest: Digest::sha256(b"{}"),
                media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
                size_bytes: 2,
            },
            outcome,
            age: Some(Duration::from_millis(12_900)),
        }
    }

    #[test]
    fn a_manifest_says_what_it_is_and_where_it_comes_from() {
        let reply = reply(summary(Outcome::Hit), Body::from("{}"), &HeaderMap::new());
        let headers = reply.response.headers();
        let digest = Digest::sha256(b"{}").to_string();
        assert_eq!(reply.response.status(), 200);
        assert_eq!(headers["docker-content-digest"], digest);
        assert_eq!(headers["etag"], format!("\"{digest}\""));
        assert_eq!(headers["content-length"], "2");
        assert_eq!(
            headers["content-type"],
            "application/vnd.oci.image.index.v1+json"
        );
        assert_eq!(headers["x-cache"], "hit");
        assert_eq!(headers["age"], "12");
        assert!(!headers.contains_key("warning"));
    }

    #[test]
    fn a_stale_manifest_warns() {
        let reply = reply(summary(Outcome::Stale), Body::empty(), &HeaderMap::new());
        assert_eq!(reply.response.headers()["x-cache"], "stale");
        assert_eq!(
            reply.response.headers()["warning"],
            "299 - \"Response is Stale\""
        );
    }

    #[test]
    fn a_client_that_has_it_gets_304() {
        let etag = format!("\"{}\"", Digest::sha256(b"{}"));
        for (sent, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"other\", {etag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (Digest::sha256(b"{}").to_string(), 200),
        ] {
            let mut request = HeaderMap::new();
            request.insert("if-none-match", sent.parse().unwrap());
            let reply = reply(summary(Outcome::Hit), Body::from("{}"), &request);
            assert_eq!(reply.response.status(), status, "{sent}");
        }
    }
}
