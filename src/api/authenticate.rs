//! Who calls; what that one may is for each resource to say, and for `admit_admins`. Writes also need to come from where the caller is, and not from somebody else's page.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    login::{CSRF, SESSION, cookie},
    problem::Problem,
};
use crate::access::{Caller, Gate, Session, Source};

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
        Ok((caller, session)) => {
            request.extensions_mut().insert(caller);
            if let Some(session) = session {
                request.extensions_mut().insert(session);
            }
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
) -> Result<(Caller, Option<Session>), Problem> {
    let session = session(gate, headers).await?;
    let caller = match &session {
        Some(session) => session.caller.clone(),
        None => gate.identify(headers, source).await?,
    };
    // A registry token is for what it was issued for, and a remote's guest is nobody here.
    if !matches!(caller, Caller::Known(_)) || caller.has_scope() {
        return Err(Problem::unauthorized("log in"));
    }
    if !method.is_safe() && is_of_another_site(headers) {
        return Err(Problem::forbidden(
            "a page of another site may not change anything here",
        ));
    }
    // A browser sends the cookie along whoever asks it to.
    let shown = headers.get(CSRF).map(HeaderValue::as_bytes);
    if let Some(session) = &session
        && !method.is_safe()
        && shown != Some(session.csrf.as_bytes())
    {
        return Err(Problem::forbidden(
            "what a session changes takes its `csrf_token` as the header `X-CSRF-Token`",
        ));
    }
    Ok((caller, session))
}

/// A browser's session, if that is all that was sent.
async fn session(gate: &Gate, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    match cookie(headers, SESSION) {
        Some(token) if !headers.contains_key(header::AUTHORIZATION) => {
            Ok(gate.session(token).await?)
        }
        _ => Ok(None),
    }
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

pub(super) fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}
