//! `DELETE` of manifests, tags and blobs (distribution-spec, "Content Management"): 202, 404, or 405 where nothing is
//! deleted by clients.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Edge, answer::WARNING, endpoint::Delete, error::ApiError, tag_state};
use crate::{
    oci::{Digest, Reference, error_code::ErrorCode},
    push::Repository,
};

impl Edge {
    pub(super) async fn delete(
        &self,
        what: &Delete,
        repository: &Repository,
        request: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let pushes = &self.parts.pushes;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        match what {
            Delete::Manifest(Reference::Tag(tag)) => {
                let deleted = pushes.delete_tag(repository, tag, tag_state::told(request)?);
                let kept = deleted.await;
                let kept = kept.map_err(|error| ApiError::push(error, ErrorCode::ManifestUnknown));
                if let Some(kept) = kept? {
                    *response.status_mut() = StatusCode::OK;
                    tag_state::tell(&mut response, &kept);
                }
            }
            Delete::Manifest(Reference::Digest(digest)) => {
                let deleted = pushes.delete_manifest(repository, digest).await;
                let dangling =
                    deleted.map_err(|error| ApiError::push(error, ErrorCode::ManifestUnknown))?;
                if let Some(warning) = warning(&dangling) {
                    response.headers_mut().insert(WARNING, warning);
                }
            }
            Delete::Blob(digest) => {
                let deleted = pushes.delete_blob(repository, digest).await;
                deleted.map_err(|error| ApiError::push(error, ErrorCode::BlobUnknown))?;
            }
        }
        Ok(response)
    }
}

/// distribution-spec, "Warnings": what the client should tell its user. Referrers of what is gone are still listed.
fn warning(dangling: &[Digest]) -> Option<HeaderValue> {
    /// A header has its limits.
    const NAMED: usize = 3;
    if dangling.is_empty() {
        return None;
    }
    let named: Vec<_> = dangling
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = if dangling.len() > NAMED { ", ..." } else { "" };
    let text = format!(
        "299 - \"{} referrers are left without their subject: {}{more}\"",
        dangling.len(),
        named.join(", ")
    );
    Some(HeaderValue::try_from(text).expect("digests are visible ASCII"))
}
