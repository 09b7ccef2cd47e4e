//! `GET` and `HEAD /v2/<name>/blobs/<digest>` (distribution-spec, "Pulling blobs"), with ranges (RFC 9110, 14).

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::{
    Edge,
    answer::{Reply, client_has, etag, identity, provenance},
    error::ApiError,
    multipart::{Multipart, content_range},
    range::{Selection, if_range_holds, select},
};
use crate::{
    mirror::{Answer, MirrorError, Repository},
    oci::{Digest, error_code::ErrorCode, media_type::OCTET_STREAM},
    transfer::Content,
};

const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const BINARY: HeaderValue = HeaderValue::from_static(OCTET_STREAM);

impl Edge {
    pub(super) async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        request: &HeaderMap,
    ) -> Result<Reply, ApiError> {
        // Whoever has the content only needs to hear that it may: nothing is downloaded for that.
        if client_has(request, digest) {
            return self.head_blob(repository, digest, request).await;
        }
        let answer = self
            .parts
            .mirror
            .get_blob(repository, digest)
            .await
            .map_err(unknown_blob)?;
        content_reply(&answer, digest, request)
    }

    pub(super) async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        request: &HeaderMap,
    ) -> Result<Reply, ApiError> {
        let answer = self
            .parts
            .mirror
            .head_blob(repository, digest)
            .await
            .map_err(unknown_blob)?;
        Ok(size_reply(&answer, digest, request))
    }
}

/// The answer to a GET, with its range.
pub(super) fn content_reply(
    answer: &Answer<Content>,
    digest: &Digest,
    request: &HeaderMap,
) -> Result<Reply, ApiError> {
    let selection = match answer.content.length() {
        Some(len) => selection(request, digest, len),
        None => Selection::Whole,
    };
    let mut response = send(&answer.content, selection)?;
    finish(response.headers_mut(), digest, answer);
    Ok(Reply {
        response,
        outcome: answer.outcome,
    })
}

/// The answer to a HEAD: the size in bytes.
pub(super) fn size_reply(answer: &Answer<u64>, digest: &Digest, request: &HeaderMap) -> Reply {
    let mut response = Response::new(Body::empty());
    if client_has(request, digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, BINARY);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(answer.content));
    finish(headers, digest, answer);
    Reply {
        response,
        outcome: answer.outcome,
    }
}

fn unknown_blob(error: MirrorError) -> ApiError {
    ApiError::mirror(error, ErrorCode::BlobUnknown)
}

fn finish<T>(headers: &mut HeaderMap, digest: &Digest, answer: &Answer<T>) {
    headers.insert(header::ACCEPT_RANGES, BYTES);
    identity(headers, digest);
    provenance(headers, answer.outcome, answer.age);
}

fn selection(request: &HeaderMap, digest: &Digest, len: u64) -> Selection {
    let Some(range) = request.get(header::RANGE).and_then(|r| r.to_str().ok()) else {
        return Selection::Whole;
    };
    let if_range = request.get(header::IF_RANGE).map(HeaderValue::as_bytes);
    if if_range_holds(if_range, &etag(digest)) {
        select(range, len)
    } else {
        Selection::Whole
    }
}

fn send(content: &Content, selection: Selection) -> Result<Response, ApiError> {
    let len = content.length();
    match (selection, len) {
        (Selection::Unsatisfiable, len) => Err(ApiError::unsatisfiable(len.unwrap_or(0))),
        (Selection::One(range), Some(len)) => {
            let of = content_range(&range, len);
            let size = range.end - range.start;
            let mut response = partial(Body::new(content.body(Some(range))), BINARY, size);
            response
                .headers_mut()
                .insert(header::CONTENT_RANGE, ascii(of));
            Ok(response)
        }
        (Selection::Many(ranges), Some(len)) => {
            let boundary = Uuid::now_v7().simple().to_string();
            let parts = Multipart::new(content.clone(), ranges, len, OCTET_STREAM, &boundary);
            let size = http_body::Body::size_hint(&parts).lower();
            let content_type = ascii(format!("multipart/byteranges; boundary={boundary}"));
            Ok(partial(Body::new(parts), content_type, size))
        }
        (_, len) => {
            let mut response = Response::new(Body::new(content.body(None)));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, BINARY);
            if let Some(len) = len {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
            }
            Ok(response)
        }
    }
}

fn partial(body: Body, content_type: HeaderValue, size: u64) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    response
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made of digits and visible ASCII")
}
