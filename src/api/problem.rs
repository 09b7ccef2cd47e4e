//! The one mapping of failures to statuses and bodies (RFC 9457, `application/problem+json`). Inner text never gets here:
//! messages are written for the caller. A 401 always comes with its challenge.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    access::{AccountError, IdentifyError, SignInError},
    meta::MetaError,
    mirror::{MirrorError, ResolveError},
    push::PushError,
    replication::ReplicationError,
    settings::SettingsError,
};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"entrepot\"");
/// RFC 9457, 4.2.1: the status says what kind of problem it is.
const NO_TYPE_OF_ITS_OWN: &str = "about:blank";

/// The body of every answer that is not a success.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// A URI for the kind of problem; `about:blank`: the status says it
    #[serde(rename = "type")]
    pub kind: String,
    /// The words that belong to the status
    pub title: String,
    pub status: u16,
    /// What happened, for a person
    pub detail: String,
    /// The fields that are wrong, when fields are
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The name of the query parameter or the member of the body
    pub field: String,
    pub message: String,
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// 400, naming the fields.
    pub(super) fn bad_fields(errors: Vec<FieldError>) -> Self {
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("the request is wrong in: {}", fields.join(", "));
        Self {
            errors,
            ..Self::new(StatusCode::BAD_REQUEST, detail)
        }
    }

    /// 400, naming one field.
    pub(super) fn bad_field(field: &str, message: impl Into<String>) -> Self {
        Self::bad_fields(vec![FieldError {
            field: field.to_owned(),
            message: message.into(),
        }])
    }

    /// 400, of the request as a whole.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: who are you?
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: not you, or not this way.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405; axum adds `Allow`.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this resource does not take this method",
        )
    }

    /// 409: not now.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 500: our own fault, logged where it happened.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// 503
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl From<MirrorError> for Problem {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::NotFound(detail) | MirrorError::Refused(detail) => Self::not_found(detail),
            MirrorError::BadGateway { message } => Self::new(StatusCode::BAD_GATEWAY, message),
            MirrorError::TimedOut { message } => Self::new(StatusCode::GATEWAY_TIMEOUT, message),
            MirrorError::Unavailable {
                message,
                retry_after,
            } => Self {
                // Rounded up: earlier would be too early.
                retry_after_seconds: retry_after
                    .map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0)),
                ..Self::unavailable(message)
            },
            MirrorError::Internal => Self::internal(),
        }
    }
}

impl From<IdentifyError> for Problem {
    fn from(error: IdentifyError) -> Self {
        let detail = error.to_string();
        match error {
            IdentifyError::Wrong { .. } | IdentifyError::BadToken => Self::unauthorized(detail),
            IdentifyError::Slowed { retry_after } => Self {
                // Rounded up: earlier would be too early.
                retry_after_seconds: Some(retry_after.as_secs() + 1),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
            },
            IdentifyError::Busy(_) | IdentifyError::NoIssuer => Self::unavailable(detail),
            IdentifyError::Unavailable(error) => error.into(),
        }
    }
}

impl From<MetaError> for Problem {
    fn from(error: MetaError) -> Self {
        tracing::error!(%error, "the API cannot read rows: {error}");
        Self::internal()
    }
}

impl From<PushError> for Problem {
    fn from(error: PushError) -> Self {
        match error {
            PushError::NotFound(detail) => Self::not_found(detail),
            PushError::TagImmutable { .. }
            | PushError::TagStays { .. }
            | PushError::NotSeeded { .. } => Self::conflict(error.to_string()),
            _ => Self::internal(),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Invalid { field, problem } => Self::bad_field(&field, problem),
            AccountError::Missing => Self::not_found(detail),
            AccountError::Exists | AccountError::Managed | AccountError::Contended => {
                Self::conflict(detail)
            }
            AccountError::Busy(_) => Self::unavailable(detail),
            AccountError::Meta(error) => error.into(),
        }
    }
}

impl From<ReplicationError> for Problem {
    fn from(error: ReplicationError) -> Self {
        let detail = error.to_string();
        match error {
            ReplicationError::Invalid(problems) => {
                let errors = problems.into_iter().map(|problem| FieldError {
                    field: problem.field,
                    message: problem.message,
                });
                Self::bad_fields(errors.collect())
            }
            ReplicationError::NotFound(detail) => Self::not_found(detail),
            ReplicationError::Conflict(detail) => Self::conflict(detail),
            ReplicationError::Meta(error) => error.into(),
            ReplicationError::Corrupt(_) => {
                tracing::error!("{detail}");
                Self::internal()
            }
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let detail = error.to_string();
        match error {
            SignInError::NoIssuer => Self::not_found(detail),
            SignInError::NotBegun => Self::bad_request(detail),
            SignInError::Refused(_) | SignInError::Foreign => Self::forbidden(detail),
            SignInError::Token(error) => {
                tracing::info!(%error, "the token of a login is not valid: {error}");
                Self::forbidden("the issuer's token is not valid here")
            }
            SignInError::Unavailable(error) => {
                tracing::error!(%error, "an issuer cannot be asked for a login: {error}");
                Self::new(StatusCode::BAD_GATEWAY, "the issuer cannot be asked now")
            }
        }
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Invalid { field, message } => Self::bad_field(&field, message),
            SettingsError::NotFound(detail) => Self::not_found(detail),
            SettingsError::Conflict(detail) => Self::conflict(detail),
            SettingsError::Forbidden(detail) => Self::forbidden(detail),
            SettingsError::Meta(error) => error.into(),
            SettingsError::Declared(error) => {
                tracing::error!(%error, "the configuration file cannot be read again: {error}");
                Self::internal()
            }
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        Self::not_found(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemDetails {
            kind: NO_TYPE_OF_ITS_OWN.to_owned(),
            title: self
                .status
                .canonical_reason()
                .unwrap_or_default()
                .to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    async fn seen(problem: Problem) -> (http::HeaderMap, serde_json::Value) {
        let response = problem.into_response();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn bad_fields_are_named_one_by_one() {
        let (headers, body) = seen(Problem::bad_field("limit", "expected a number")).await;
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(
            body,
            json!({
                "type": "about:blank",
                "title": "Bad Request",
                "status": 400,
                "detail": "the request is wrong in: limit",
                "errors": [{"field": "limit", "message": "expected a number"}],
            })
        );
    }

    #[tokio::test]
    async fn a_problem_without_fields_has_no_list_of_them() {
        let (_, body) = seen(Problem::not_found("nothing of it is here")).await;
        assert_eq!(
            body,
            json!({
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "nothing of it is here",
            })
        );
    }

    #[tokio::test]
    async fn refusals_carry_what_their_status_needs() {
        let (headers, _) = seen(Problem::unauthorized("who?")).await;
        assert_eq!(headers["www-authenticate"], CHALLENGE);
        let limited = MirrorError::Unavailable {
            message: "limited".to_owned(),
            retry_after: Some(Duration::from_millis(1200)),
        };
        let (headers, body) = seen(limited.into()).await;
        assert_eq!(
            (&headers["retry-after"], &body["status"]),
            (&HeaderValue::from(2), &json!(503))
        );
    }
}
