//! Pushing blobs and manifests (distribution-spec, "Push"): from requests to `push`, and its outcomes on the wire.

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Edge,
    answer::identity,
    endpoint::{NewUpload, Push},
    error::ApiError,
    tag_state,
};
use crate::{
    access::Caller,
    oci::{
        Algorithm, Digest, Manifest, Name, Path, Reference, Tag, TagState,
        error_code::ErrorCode,
        header::{DOCKER_UPLOAD_UUID, OCI_CHUNK_MIN_LENGTH, OCI_SUBJECT, OCI_TAG},
        manifest::ManifestError,
    },
    push::{Chunk, ManifestUpload, PushError, Repository},
};

/// How long a manifest may take to come.
const MANIFEST_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);

/// Who pushes, and where.
pub(super) struct Pusher<'a> {
    pub(super) caller: &'a Caller,
    pub(super) repository: &'a Repository,
}

impl Edge {
    pub(super) async fn push(
        &self,
        what: &Push,
        by: Pusher<'_>,
        request: &HeaderMap,
        body: &mut Body,
    ) -> Result<Response, ApiError> {
        let (pushes, repository) = (&self.parts.pushes, by.repository);
        let name = &repository.name;
        match what {
            Push::StartUpload(new) => self.start_upload(new, &by, request, body).await,
            Push::UploadStatus(id) => {
                let received = pushes.status(repository, *id).await.map_err(refused)?;
                Ok(session(StatusCode::NO_CONTENT, name, *id, received))
            }
            Push::Append(id) => {
                let chunk = chunk(request)?;
                match pushes.append(repository, *id, chunk, body).await {
                    Ok(received) => Ok(session(StatusCode::ACCEPTED, name, *id, received)),
                    Err(error) => Ok(Self::failed(error, name, *id)),
                }
            }
            Push::FinishUpload(id, digest) => {
                let chunk = chunk(request)?;
                let finished = pushes.finish(repository, *id, digest, chunk, body).await;
                match finished {
                    Ok(()) => Ok(created_blob(name, digest)),
                    Err(error) => Ok(Self::failed(error, name, *id)),
                }
            }
            Push::CancelUpload(id) => {
                pushes.cancel(repository, *id).await.map_err(refused)?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Push::PutManifest { reference, tags } => {
                self.put_manifest(reference, tags, &by, request, body).await
            }
        }
    }

    async fn start_upload(
        &self,
        new: &NewUpload,
        by: &Pusher<'_>,
        request: &HeaderMap,
        body: &mut Body,
    ) -> Result<Response, ApiError> {
        let (pushes, repository) = (&self.parts.pushes, by.repository);
        let name = &repository.name;
        if let Some(digest) = &new.mount {
            let may_pull = |from: &Name| self.may_pull_from(by.caller, from);
            let mounted = pushes.mount(repository, digest, new.from.as_ref(), may_pull);
            if mounted.await.map_err(refused)? {
                return Ok(created_blob(name, digest));
            }
        }
        // Who sends no body with the digest wants a session: not even the empty blob is pushed by that.
        if let Some(digest) = &new.digest
            && !http_body::Body::is_end_stream(body)
        {
            let chunk = chunk(request)?;
            let whole = pushes.push_blob(repository, digest, chunk, body).await;
            whole.map_err(refused)?;
            return Ok(created_blob(name, digest));
        }
        let known = new.digest.as_ref().or(new.mount.as_ref());
        let algorithm = new.algorithm.or(known.map(Digest::algorithm));
        let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
        let id = pushes.start(repository, algorithm).await.map_err(refused)?;
        let mut started = session(StatusCode::ACCEPTED, name, id, 0);
        if let Some(bytes) = pushes.good_chunk_bytes() {
            let headers = started.headers_mut();
            headers.insert(OCI_CHUNK_MIN_LENGTH, HeaderValue::from(bytes));
        }
        Ok(started)
    }

    /// The refusal of a step of a session. One that came out of order is told where to go on.
    fn failed(error: PushError, name: &Name, id: Uuid) -> Response {
        let received = match &error {
            PushError::OutOfOrder { received } | PushError::Broken { received } => Some(*received),
            _ => None,
        };
        let mut response = refused(error).into_response();
        if let Some(received) = received {
            session_headers(response.headers_mut(), name, id, received);
        }
        response
    }

    async fn put_manifest(
        &self,
        reference: &Reference,
        tags: &[Tag],
        by: &Pusher<'_>,
        request: &HeaderMap,
        body: &mut Body,
    ) -> Result<Response, ApiError> {
        // Only a tag is of a write.
        let replicated = match reference {
            Reference::Tag(_) => tag_state::told(request)?,
            Reference::Digest(_) => None,
        };
        let content_type = request.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let upload = ManifestUpload {
            reference: reference.clone(),
            content_type: content_type.map(str::to_owned),
            tags: tags.to_vec(),
            bytes: manifest_bytes(request, body).await?,
            pushed_by: Some(by.caller.name().to_owned()),
            version: replicated.as_ref().map(|state| state.version),
        };
        let name = &by.repository.name;
        let put = self.parts.pushes.put_manifest(by.repository, upload);
        let pushed = put.await.map_err(refused)?;
        if let Some(kept) = pushed.kept {
            let mut response = empty(StatusCode::OK);
            tag_state::tell(&mut response, &kept);
            return Ok(response);
        }
        let location = Path::Manifest {
            name: name.clone(),
            reference: Reference::Digest(pushed.digest.clone()),
        };
        let mut response = created(&location, &pushed.digest);
        let headers = response.headers_mut();
        if let Some(subject) = pushed.subject {
            headers.insert(OCI_SUBJECT, visible(subject.to_string()));
        }
        for tag in tags {
            headers.append(OCI_TAG, visible(tag.to_string()));
        }
        if let Some(replicated) = replicated {
            let taken = TagState {
                digest: pushed.digest,
                is_deleted: false,
                ..replicated
            };
            tag_state::tell(&mut response, &taken);
        }
        Ok(response)
    }
}

/// Reads a manifest, and no more than one may have.
async fn manifest_bytes(request: &HeaderMap, body: &mut Body) -> Result<Bytes, ApiError> {
    let too_large = || refused(ManifestError::TooLarge.into());
    let length: Option<u64> = number(request, &header::CONTENT_LENGTH);
    if length.is_some_and(|length| length > Manifest::MAX_LENGTH as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|_| ())?.into_data() else {
                continue;
            };
            if bytes.len() + chunk.len() > Manifest::MAX_LENGTH {
                return Ok(None);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok::<_, ()>(Some(bytes.freeze()))
    };
    match timeout(MANIFEST_TIMEOUT, read).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(())) | Err(_) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::ManifestInvalid,
            "the manifest did not come to its end",
        )),
    }
}

fn refused(error: PushError) -> ApiError {
    ApiError::push(error, ErrorCode::NameUnknown)
}

/// What the headers say of a body.
fn chunk(request: &HeaderMap) -> Result<Chunk, ApiError> {
    let range = match request.get(header::CONTENT_RANGE) {
        None => None,
        Some(value) => {
            let range = value.to_str().ok().and_then(content_range);
            Some(range.ok_or_else(|| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    ErrorCode::BlobUploadInvalid,
                    "`Content-Range` of a chunk is `<first byte>-<last byte>`",
                )
            })?)
        }
    };
    Ok(Chunk {
        range,
        length: number(request, &header::CONTENT_LENGTH),
    })
}

/// distribution-spec: `^[0-9]+-[0-9]+$`. Some clients send what RFC 9110 has: `bytes 0-9/100`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let range = text.split('/').next()?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((number(first)?, number(last)?))
}

fn number(request: &HeaderMap, name: &HeaderName) -> Option<u64> {
    request.get(name)?.to_str().ok()?.parse().ok()
}

/// Tells where a session goes on.
fn session(status: StatusCode, name: &Name, id: Uuid, received: u64) -> Response {
    let mut response = empty(status);
    session_headers(response.headers_mut(), name, id, received);
    response
}

fn session_headers(headers: &mut HeaderMap, name: &Name, id: Uuid, received: u64) {
    let path = Path::Upload {
        name: name.clone(),
        id: id.to_string(),
    };
    headers.insert(header::LOCATION, visible(path.to_string()));
    // Inclusive: before the first byte there is nothing better to say, and clients look for `0-`.
    let last = received.saturating_sub(1);
    headers.insert(header::RANGE, visible(format!("0-{last}")));
    headers.insert(DOCKER_UPLOAD_UUID, visible(id.to_string()));
}

fn created_blob(name: &Name, digest: &Digest) -> Response {
    let location = Path::Blob {
        name: name.clone(),
        digest: digest.clone(),
    };
    created(&location, digest)
}

fn created(location: &Path, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, visible(location.to_string()));
    identity(headers, digest);
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("names, tags, digests and numbers are visible ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::fuzz::{near_text, search};

    #[test]
    fn a_content_range_is_two_numbers() {
        for (text, expected) in [
            ("0-9", Some((0, 9))),
            ("10-4", Some((10, 4))),
            ("bytes 5-9/100", Some((5, 9))),
            ("bytes 5-9/*", Some((5, 9))),
            ("", None),
            ("-", None),
            ("5-", None),
            ("+5-9", None),
            ("a-b", None),
            ("0-99999999999999999999", None),
        ] {
            assert_eq!(content_range(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nearly_a_content_range_means_what_its_numbers_say_or_nothing() {
        search(near_text(&["0-9", "bytes 5-9/100", "10-19"]), |text| {
            if let Some((first, last)) = content_range(&text) {
                prop_assert_eq!(
                    content_range(&format!("{first}-{last}")),
                    Some((first, last))
                );
                prop_assert!(text.is_ascii() || text.contains('/'));
            }
            Ok(())
        });
    }
}
