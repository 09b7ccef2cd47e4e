//! `Entrepot-Tag-State`: what instances of this program tell each other of tags when they replicate. A question by tag that
//! has it is answered with what the tag is here and since which write, or when it was deleted; a PUT or DELETE that has it
//! is of that write, and changes nothing where a newer one is known. Other clients neither send nor see it.
//!
//! Whoever may push may send it: a version that is in the past changes nothing that is newer, and one from the time to come
//! is refused (`PushError::Ahead`).

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Edge, answer::Reply, endpoint::Pull, error::ApiError};
use crate::oci::{Name, Reference, TagState, error_code::ErrorCode, header::ENTREPOT_TAG_STATE};

impl Edge {
    /// Adds it to the answer to a question that asked for it. What the header says is right also where the rest of the
    /// answer is of a moment before.
    pub(super) async fn with_tag_state(
        &self,
        name: &Name,
        what: &Pull,
        request: &HeaderMap,
        answer: Result<Reply, ApiError>,
    ) -> Result<Reply, ApiError> {
        let (Pull::GetManifest(Reference::Tag(tag)) | Pull::HeadManifest(Reference::Tag(tag))) =
            what
        else {
            return answer;
        };
        let is_told = match &answer {
            Ok(_) => true,
            Err(error) => error.status() == StatusCode::NOT_FOUND,
        };
        if !is_told || !request.contains_key(ENTREPOT_TAG_STATE) {
            return answer;
        }
        let state = self.parts.meta.tag_state(name, tag).await;
        let state = state.map_err(|error| ApiError::push(error.into(), ErrorCode::Unavailable))?;
        let Some(state) = state else {
            return answer;
        };
        match answer {
            Ok(mut reply) => {
                tell(&mut reply.response, &state);
                Ok(reply)
            }
            Err(error) => Err(error.with(ENTREPOT_TAG_STATE, value(&state))),
        }
    }
}

/// What a write says of itself.
pub(super) fn told(request: &HeaderMap) -> Result<Option<TagState>, ApiError> {
    let Some(value) = request.get(ENTREPOT_TAG_STATE) else {
        return Ok(None);
    };
    let state = value.to_str().ok().and_then(|text| text.parse().ok());
    match state {
        Some(state) => Ok(Some(state)),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::ManifestInvalid,
            format!("`{ENTREPOT_TAG_STATE}` is `<version> <digest>[ deleted]`"),
        )),
    }
}

/// Says what a tag is.
pub(super) fn tell(response: &mut Response, state: &TagState) {
    let headers = response.headers_mut();
    headers.insert(ENTREPOT_TAG_STATE, value(state));
}

fn value(state: &TagState) -> HeaderValue {
    HeaderValue::try_from(state.to_string()).expect("digits and digests are visible ASCII")
}
