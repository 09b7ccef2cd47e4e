//! A handler that panics is a 500 for its client and a line in the log; others notice nothing.

use std::panic::AssertUnwindSafe;

use axum::{extract::Request, middleware::Next, response::Response};
use futures_util::FutureExt;

use crate::v2;

pub(in crate::app) async fn catch_panic(request: Request, next: Next) -> Response {
    // The request is gone after a panic; what handlers share guards itself against broken states.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            tracing::error!(panic = message, "a handler panicked: {message}");
            v2::internal_error()
        }
    }
}
