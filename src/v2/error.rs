//! The one mapping of failures to statuses and error bodies (distribution-spec, "Error Codes"). Inner text never gets here:
//! messages are written for clients.

use std::time::Duration;

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::endpoint::EndpointError;
use crate::{
    access::IdentifyError,
    mirror::{MirrorError, ResolveError},
    oci::{error_code::ErrorCode, manifest::ManifestError, path::PathError},
    push::PushError,
};

/// When to come again with a password, if many are being checked.
const BUSY_FOR: Duration = Duration::from_secs(2);

/// How many causes are named.
const MAX_CAUSES: usize = 100;

/// When to come again, in seconds.
const RETRY_AFTER: u64 = 5;

/// A refusal or a failure, as the client sees it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    /// One entry of the body for each of these, if there are any.
    causes: Box<[String]>,
    extra: Option<Box<(header::HeaderName, HeaderValue)>>,
    /// What is wrong with the token that was sent (RFC 6750), for a 401.
    token_error: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            causes: Box::default(),
            extra: None,
            token_error: None,
        }
    }
    /// 401: who are you? The challenge is put to it when it is answered.
    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
    }
    /// 401: what was sent is not good for this; a token for it may be.
    pub(super) fn insufficient_scope(message: impl Into<String>) -> Self {
        Self {
            token_error: Some("insufficient_scope"),
            ..Self::unauthorized(message)
        }
    }
    /// Credentials that let nobody in.
    pub(super) fn identify(error: &IdentifyError) -> Self {
        let message = error.to_string();
        match error {
            IdentifyError::Wrong { .. } => Self::unauthorized(message),
            IdentifyError::BadToken => Self {
                token_error: Some("invalid_token"),
                ..Self::unauthorized(message)
            },
            IdentifyError::Slowed { retry_after } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Self::new(status, ErrorCode::TooManyRequests, message).after(*retry_after)
            }
            IdentifyError::Busy(_) | IdentifyError::NoIssuer => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, ErrorCode::Unavailable, message).after(BUSY_FOR)
            }
            IdentifyError::Unavailable(error) => {
                tracing::error!(%error, "users cannot be read: {error}");
                Self::internal()
            }
        }
    }
    /// Says when to come again, in whole seconds, rounded up: earlier would be too early.
    fn after(self, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        self.again_in(seconds)
    }
    /// With the seconds after which to come again.
    fn again_in(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
    /// 403: this server's own decision.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
    }
    /// 405, with what would be allowed.
    pub(super) fn not_allowed(allow: &'static str, message: impl Into<String>) -> Self {
        Self {
            extra: Some(Box::new((header::ALLOW, HeaderValue::from_static(allow)))),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::Unsupported,
                message,
            )
        }
    }
    /// 416, with the length there is.
    pub(super) fn unsatisfiable(len: u64) -> Self {
        let whole = HeaderValue::try_from(format!("bytes */{len}")).expect("digits are visible");
        Self {
            extra: Some(Box::new((header::CONTENT_RANGE, whole))),
            ..Self::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                ErrorCode::SizeInvalid,
                format!("the content has {len} bytes"),
            )
        }
    }
    /// 500: our own fault, logged where it happened.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unavailable,
            "internal error",
        )
    }
    /// What the mirror could not do; `unknown` is the code of what was asked for.
    pub(super) fn mirror(error: MirrorError, unknown: ErrorCode) -> Self {
        let unavailable =
            |status, message: String| Self::new(status, ErrorCode::Unavailable, message);
        match error {
            MirrorError::NotFound(message) | MirrorError::Refused(message) => {
                Self::new(StatusCode::NOT_FOUND, unknown, message)
            }
            MirrorError::BadGateway { message } => unavailable(StatusCode::BAD_GATEWAY, message),
            MirrorError::TimedOut { message } => unavailable(StatusCode::GATEWAY_TIMEOUT, message),
            MirrorError::Unavailable {
                message,
                retry_after,
            } => {
                let unavailable = unavailable(StatusCode::SERVICE_UNAVAILABLE, message);
                match retry_after {
                    Some(retry_after) => unavailable.after(retry_after),
                    None => unavailable,
                }
            }
            MirrorError::Internal => Self::internal(),
        }
    }
    /// What became of a push, or of what was pushed; `unknown` is the code of what was asked for.
    pub(super) fn push(error: PushError, unknown: ErrorCode) -> Self {
        let message = error.to_string();
        let refused = |code: ErrorCode| Self::new(code.status(), code, message.clone());
        match error {
            PushError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, unknown, message),
            PushError::UploadUnknown => refused(ErrorCode::BlobUploadUnknown),
            PushError::OutOfOrder { .. } => Self {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..refused(ErrorCode::BlobUploadInvalid)
            },
            PushError::WrongSize(_) => refused(ErrorCode::SizeInvalid),
            PushError::Broken { .. } => refused(ErrorCode::BlobUploadInvalid),
            PushError::WrongDigest { .. } => refused(ErrorCode::DigestInvalid),
            PushError::ManifestInvalid(ManifestError::TooLarge) => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..refused(ErrorCode::ManifestInvalid)
            },
            PushError::ManifestInvalid(_) | PushError::Ahead { .. } => {
                refused(ErrorCode::ManifestInvalid)
            }
            PushError::Missing(digests) => Self {
                causes: digests
                    .iter()
                    .take(MAX_CAUSES)
                    .map(|digest| format!("{digest} is not in this repository"))
                    .collect(),
                ..refused(ErrorCode::ManifestBlobUnknown)
            },
            PushError::NotSeeded { .. } => Self::not_allowed("GET, HEAD", message),
            PushError::TagImmutable { .. } | PushError::TagStays { .. } => Self {
                status: StatusCode::CONFLICT,
                ..refused(ErrorCode::Denied)
            },
            PushError::NoSpace
            | PushError::QuotaExceeded { .. }
            | PushError::BudgetExceeded { .. } => refused(ErrorCode::Denied),
            PushError::TooManyUploads | PushError::Busy => {
                refused(ErrorCode::TooManyRequests).again_in(RETRY_AFTER)
            }
            PushError::ObjectStorage => refused(ErrorCode::Unavailable).again_in(RETRY_AFTER),
            PushError::Internal => Self::internal(),
        }
    }
    /// With one more header.
    pub(super) fn with(self, name: header::HeaderName, value: HeaderValue) -> Self {
        let extra = Some(Box::new((name, value)));
        Self { extra, ..self }
    }
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
    pub(super) fn message(&self) -> &str {
        &self.message
    }
    /// What is wrong with the token that was sent.
    pub(super) fn token_error(&self) -> Option<&'static str> {
        self.token_error
    }
    /// The response; the server leaves the body out of an answer to HEAD, and keeps its length.
    pub(super) fn into_response(self) -> Response {
        let entry = |message| ErrorEntry {
            code: self.code.as_str(),
            message,
            detail: serde_json::Value::Null,
        };
        let causes = self.causes.iter().map(|cause| entry(cause.as_str()));
        let body = serde_json::to_vec(&ErrorBody {
            errors: if self.causes.is_empty() {
                vec![entry(&self.message)]
            } else {
                causes.collect()
            },
        })
        .expect("strings serialise");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(extra) = self.extra {
            let (name, value) = *extra;
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The answer to a request whose handler panicked.
pub fn internal_error() -> Response {
    ApiError::internal().into_response()
}

/// The answer when more is asked of this server than it can do: 503, with the seconds after which to come again.
pub fn busy(retry_after: u64) -> Response {
    let message = "too many requests are being answered; try again";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let busy = ApiError::new(status, ErrorCode::Unavailable, message);
    busy.again_in(retry_after).into_response()
}

/// The answer to a client that wants more at once than one client may have: 429, with the seconds to wait.
pub fn too_many_at_once(retry_after: u64) -> Response {
    too_many("this client has too many requests in progress", retry_after)
}

/// The answer to a client that sends more requests a second than one client may: 429, with the seconds to wait.
pub fn too_many_a_second(retry_after: u64) -> Response {
    too_many("this client sends too many requests a second", retry_after)
}

fn too_many(message: &str, retry_after: u64) -> Response {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let too_many = ApiError::new(status, ErrorCode::TooManyRequests, message);
    too_many.again_in(retry_after).into_response()
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    errors: Vec<ErrorEntry<'a>>,
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    code: &'a str,
    message: &'a str,
    detail: serde_json::Value,
}

impl From<EndpointError> for ApiError {
    fn from(error: EndpointError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            EndpointError::Method { allow } => return Self::not_allowed(allow, message),
            EndpointError::PageSize => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            EndpointError::Digest { .. } | EndpointError::NoDigest => {
                (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid)
            }
            EndpointError::Tag(_) => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
            EndpointError::TooManyTags => (StatusCode::URI_TOO_LONG, ErrorCode::ManifestInvalid),
            EndpointError::NoSuchUpload => (StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
            EndpointError::NoSuchTag(_) => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
            EndpointError::Path(path) => match path {
                PathError::NotFound => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
                PathError::Name(_) => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
                PathError::Tag(_) => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
                PathError::Digest(_) => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
            },
        };
        Self::new(status, code, message)
    }
}

impl From<ResolveError> for ApiError {
    fn from(error: ResolveError) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, error.0)
    }
}

#[cfg(test)]
mod tests;
