//! Who calls; what that one may is for each resource to say, and for `admit_admins`. Writes also need to come from where the caller is, and not from somebody else's page.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, Method};

use super::problem::Problem;
use crate::access::{Caller, Gate, Source};

/// Sent by browsers, which also send a login that they remember, whoever's page asks them to.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let source = request.extensions().get().copied();
    let source = source.unwrap_or(Source::UNKNOWN);
    match admit(&gate, request.method(), request.headers(), source).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(source);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    gate: &Gate,
    method: &Method,
    headers: &HeaderMap,
    source: Source,
) -> Result<Caller, Problem> {
    let caller = gate.identify(headers, source).await?;
    // A registry token is for what it was issued for, and a remote's guest is nobody here.
    if !matches!(caller, Caller::Known(_)) || caller.has_scope() {
        return Err(Problem::unauthorized("log in"));
    }
    if !method.is_safe() && is_of_another_site(headers) {
        return Err(Problem::forbidden(
            "a page of another site may not change anything here",
        ));
    }
    Ok(caller)
}

/// Lets only admins of the system go on.
pub(super) async fn admit_admins(
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if caller.is_admin() {
        next.run(request).await
    } else {
        Problem::forbidden("this takes an admin of the system").into_response()
    }
}

fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}
