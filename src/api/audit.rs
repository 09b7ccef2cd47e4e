//! Who changed what: one line of the log, target `audit`, and one row for each write. The line is written in the span of
//! the request, so it has the id that the access line has too.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use tracing::{Instrument, error, info};

use super::{Api, problem::Problem};
use crate::{
    access::{Actor, Caller, Source},
    meta::Meta,
    telemetry::log::AUDIT_TARGET,
};

/// More of a query says nothing more.
const MAX_LOGGED_BYTES: usize = 512;

/// What is told of a write.
struct Write {
    actor: Actor,
    action: String,
    query: String,
    has_own_row: bool,
}

/// Runs a write to its end, whether or not its client stays to hear of it, and notes it.
pub(super) async fn record(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let tasks = api.parts.tasks.clone();
    let write = async move {
        let write = Write::of(&request);
        let response = next.run(request).await;
        write.note(&api.parts.meta, response.status()).await;
        response
    };
    match tasks.spawn(write.in_current_span()).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Problem::internal().into_response(),
        },
    }
}

impl Write {
    fn of(request: &Request) -> Self {
        let (extensions, path) = (request.extensions(), request.uri().path());
        let caller = extensions.get().cloned().unwrap_or(Caller::Anonymous);
        let source = extensions.get().copied().unwrap_or(Source::UNKNOWN);
        let query = request.uri().query().unwrap_or_default();
        Self {
            actor: Actor::new(&caller, source),
            action: format!("{} {path}", request.method()),
            query: query[..query.floor_char_boundary(MAX_LOGGED_BYTES)].to_owned(),
            // What is done to users and tokens has its row in the same transaction.
            has_own_row: path.starts_with("/users") || path.starts_with("/tokens"),
        }
    }

    async fn note(self, meta: &Meta, status: StatusCode) {
        let Self {
            actor,
            action,
            query,
            ..
        } = &self;
        let (principal, number) = (&actor.name, status.as_u16());
        info!(
            target: AUDIT_TARGET,
            principal, action, query, status = number, "{principal}: {action} {query}: {number}"
        );
        if self.has_own_row && status.is_success() {
            return;
        }
        let mut entry = actor.entry(action, query, None);
        if !status.is_success() {
            entry.outcome = number.to_string();
        }
        if let Err(error) = meta.audit(entry).await {
            error!(%error, "an entry of the audit is lost: {error}");
        }
    }
}
