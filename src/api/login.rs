//! `/login`: logging in with a browser, by a password or at an issuer; both end with a session's cookie. `/session`: who is
//! logged in. A change that comes with the cookie alone needs the header `X-CSRF-Token` too, which only pages of this
//! server can know.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::{
    Api, PREFIX, authenticate::is_of_another_site, body::Body, problem::Problem, query::Fields,
    timestamp::Timestamp,
};
use crate::access::{Caller, NewSession, Session, SignInError, Source};

/// The session's cookie.
pub(super) const SESSION: &str = "entrepot-session";
/// What a browser keeps while its user is at an issuer.
const PENDING: &str = "entrepot-login";
pub(super) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

const LOGIN: &str = "/login";
const CALLBACK: &str = "/login/oidc/callback";

/// Who is logged in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionInfo {
    /// The caller's name
    pub name: String,
    /// Of the whole system
    pub admin: bool,
    /// Of a browser's session: changes must have it as their header `X-CSRF-Token`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<String>,
    /// Of a browser's session
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Where to log in, and where to go then.
struct BeginQuery {
    issuer: String,
    return_to: Option<String>,
}

/// What an issuer sends along with the browser (RFC 6749, 4.1.2).
struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// What takes no login. Browsers go there, programs do not: none of it is in the document.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(LOGIN, get(ways).post(by_password))
        .route("/login/oidc", get(begin))
        .route(CALLBACK, get(complete))
}

/// How one can log in.
async fn ways(State(api): State<Arc<Api>>) -> Response {
    unkept(Json(json!({"password": true, "issuers": api.parts.gate.issuers()})).into_response())
}

async fn by_password(
    State(api): State<Arc<Api>>,
    client: Client,
    mut body: Body,
) -> Result<Response, Problem> {
    if is_of_another_site(&client.headers) {
        return Err(Problem::forbidden(
            "a page of another site may not log in here",
        ));
    }
    let name: String = body.required("name")?;
    let password: String = body.required("password")?;
    body.finish()?;
    let gate = &api.parts.gate;
    let caller = gate.login(&name, &password, client.source).await?;
    let session = gate.open_session(&caller);
    let session = session.ok_or_else(|| Problem::forbidden("this login opens no session"))?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    keep(&mut response, &client.cookie_of(&session));
    Ok(unkept(response))
}

async fn begin(
    State(api): State<Arc<Api>>,
    client: Client,
    query: BeginQuery,
) -> Result<Response, Problem> {
    let redirect_uri = format!("{}{PREFIX}{CALLBACK}", client.base);
    let return_to = query.return_to.filter(|path| is_own(path));
    let return_to = return_to.unwrap_or_else(|| "/".to_owned());
    let gate = &api.parts.gate;
    let begun = gate.begin_sign_in(&query.issuer, redirect_uri, return_to);
    let begun = begun.await?;
    let mut response = go_to(begun.location.as_str());
    keep(
        &mut response,
        &client.cookie(PENDING, &begun.pending, begun.lifetime),
    );
    Ok(unkept(response))
}

async fn complete(
    State(api): State<Arc<Api>>,
    client: Client,
    query: CallbackQuery,
) -> Result<Response, Problem> {
    if let Some(error) = query.error {
        return Err(SignInError::refused(&error).into());
    }
    let pending = cookie(&client.headers, PENDING);
    let (Some(pending), Some(code), Some(state)) = (pending, query.code, query.state) else {
        return Err(SignInError::NotBegun.into());
    };
    let gate = &api.parts.gate;
    let signed_in = gate
        .complete_sign_in(pending, &code, &state, client.source)
        .await?;
    let mut response = go_to(&signed_in.return_to);
    keep(&mut response, &client.cookie_of(&signed_in.session));
    // It has been used.
    keep(&mut response, &client.cookie(PENDING, "", Duration::ZERO));
    Ok(unkept(response))
}

#[utoipa::path(
    get, path = "/session", tag = "session", operation_id = "getSession",
    responses((status = 200, description = "Who is logged in", body = SessionInfo))
)]
pub(super) async fn show(
    Extension(caller): Extension<Caller>,
    session: Option<Extension<Session>>,
) -> Response {
    let session = session.map(|Extension(session)| session);
    let info = SessionInfo {
        name: caller.name().to_owned(),
        admin: caller.is_admin(),
        csrf_token: session.as_ref().map(|session| session.csrf.clone()),
        expires_at: session.map(|session| session.until.into()),
    };
    unkept(Json(info).into_response())
}

#[utoipa::path(
    delete, path = "/session", tag = "session", operation_id = "deleteSession",
    responses((status = 204, description = "The browser forgets its session"))
)]
pub(super) async fn delete(client: Client) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    keep(&mut response, &client.cookie(SESSION, "", Duration::ZERO));
    unkept(response)
}

/// A cookie that the browser sent.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let texts = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = texts
        .filter_map(|text| text.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// The browser, and this server as it sees it.
pub(super) struct Client {
    headers: HeaderMap,
    source: Source,
    /// `scheme://host[:port]`
    base: String,
}

impl Client {
    fn cookie_of(&self, session: &NewSession) -> String {
        self.cookie(SESSION, session.token.expose(), session.lifetime)
    }

    /// For this server's own pages: not for scripts, and not for what other sites ask for.
    fn cookie(&self, name: &str, value: &str, lifetime: Duration) -> String {
        let seconds = lifetime.as_secs();
        let secure = if self.base.starts_with("https:") {
            "; Secure"
        } else {
            ""
        };
        // Coming back from an issuer is a visit by a link: `Strict` would not be sent then.
        format!("{name}={value}; Path={PREFIX}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

fn keep(response: &mut Response, cookie: &str) {
    let cookie =
        HeaderValue::try_from(cookie).expect("names, numbers and tokens are visible ASCII");
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

/// No cache may have it.
fn unkept(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn go_to(place: &str) -> Response {
    let place = HeaderValue::try_from(place).expect("URLs and own paths are visible ASCII");
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// Is it a path of this server, and nothing that a browser takes for another one?
fn is_own(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

impl FromRequestParts<Arc<Api>> for Client {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut request::Parts,
        api: &Arc<Api>,
    ) -> Result<Self, Problem> {
        let source = parts.extensions.get().copied();
        Ok(Self {
            headers: parts.headers.clone(),
            source: source.unwrap_or(Source::UNKNOWN),
            base: api.parts.site.url(parts),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for BeginQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let issuer = fields.required("issuer");
        let return_to = fields.optional("return_to");
        fields.finish(issuer.map(|issuer| Self { issuer, return_to }))
    }
}

impl<S: Sync> FromRequestParts<S> for CallbackQuery {
    type Rejection = std::convert::Infallible;

    /// Issuers add parameters of their own.
    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &S,
    ) -> Result<Self, std::convert::Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        Ok(Self {
            code: value("code"),
            state: value("state"),
            error: value("error"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_gone_to() {
        for path in ["/", "/projects?q=a%20b#x"] {
            assert!(is_own(path), "{path}");
        }
        for place in [
            "",
            "projects",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a b",
            "/\r\nx: y",
        ] {
            assert!(!is_own(place), "{place}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3"));
        let found = |name| cookie(&headers, name);
        assert_eq!(
            (found("b"), found("c"), found("d")),
            (Some("2"), Some("3"), None)
        );
    }
}
