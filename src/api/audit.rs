//! Who changed what: one line of the log, target `audit`, for each write. It is written in the span of the request, so it
//! has the id that the access line has too.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info};

use super::problem::Problem;
use crate::telemetry::log::AUDIT_TARGET;

/// More of a query says nothing more.
const MAX_LOGGED_BYTES: usize = 512;

/// Runs a write to its end, whether or not its client stays to hear of it, and notes it.
pub(super) async fn record(
    State(tasks): State<TaskTracker>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let write = async move {
        let action = format!("{} {}", request.method(), request.uri().path());
        let query = request.uri().query().unwrap_or_default();
        let query = query[..query.floor_char_boundary(MAX_LOGGED_BYTES)].to_owned();
        let response = next.run(request).await;
        let status = response.status().as_u16();
        // Nobody else is let in yet.
        info!(
            target: AUDIT_TARGET,
            principal = "admin", action, query, status, "admin: {action} {query}: {status}"
        );
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
