//! Bodies of requests: one JSON object, read member by member so that a mistake is told by its name.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::Problem;

/// Enough for the largest list of patterns.
const MAX_BYTES: usize = 1 << 20;
const JSON: &str = "application/json";

/// The members of the object that was sent.
pub(super) struct Body(pub(super) Map<String, Value>);

/// The list of texts that was sent.
pub(super) struct Texts(pub(super) Vec<String>);

impl Body {
    /// Takes a member out; `None` if it is not there, or null.
    pub(super) fn take(&mut self, member: &str) -> Option<Value> {
        self.0.remove(member).filter(|value| !value.is_null())
    }

    /// Takes a member out that must be there.
    pub(super) fn required<T: DeserializeOwned>(&mut self, member: &str) -> Result<T, Problem> {
        let value = self.take(member);
        let value = value.ok_or_else(|| Problem::bad_field(member, "missing"))?;
        read(member, value)
    }

    /// Takes a member out that may be left out. It may be null only if `T` may.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        member: &str,
    ) -> Result<Option<T>, Problem> {
        self.0
            .remove(member)
            .map(|value| read(member, value))
            .transpose()
    }

    /// To be called when every member has been taken: refuses all others.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            Some(member) => Err(Problem::bad_field(member, "there is no such member here")),
            None => Ok(()),
        }
    }
}

fn read<T: DeserializeOwned>(member: &str, value: Value) -> Result<T, Problem> {
    // What serde says repeats values, but no secret is read this way.
    serde_json::from_value(value).map_err(|error| Problem::bad_field(member, error.to_string()))
}

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match json(request).await? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Problem::bad_request("expected a JSON object")),
        }
    }
}

impl<S: Sync> FromRequest<S> for Texts {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        serde_json::from_value(json(request).await?)
            .map(Self)
            .map_err(|_| Problem::bad_request("expected a JSON list of texts"))
    }
}

async fn json(request: Request) -> Result<Value, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("expected a body of the type {JSON}"),
        ));
    }
    let bytes = to_bytes(request.into_body(), MAX_BYTES)
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is longer than 1 MiB, or broke off",
            )
        })?;
    // Its place only: the text may hold a secret.
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!(
            "not JSON: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

/// A page of another site cannot send this type without being let to.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(JSON)
}
