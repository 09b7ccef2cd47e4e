//! `/token`: registry tokens, by GET (distribution, "Token Authentication Specification") and by POST ("`OAuth2` Token
//! Authentication").
//!
//! 1. Every scope asked is pull of public content: an anonymous token, whatever credentials came. A mirror that challenges is
//!    sent logins for other registries; those are none of our business.
//! 2. Else the credentials are looked at; wrong ones are 401.
//! 3. The token says who and for what. What its holder may is looked up when it is used.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header, request};
use serde::Serialize;
use url::form_urlencoded;

use super::{Edge, error::ApiError};
use crate::{
    access::{AskedScope, Caller, IssuedToken, Scope, Source},
    config::Visibility,
    oci::error_code::ErrorCode,
};

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"entrepot\"");
const MAX_FORM_BYTES: usize = 64 << 10;
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// More repositories than a push with mounts from several others asks for.
const MAX_SCOPES: usize = 100;

/// What is read of the query or the form; others are ignored.
#[derive(Debug, Default, PartialEq, Eq)]
struct Question {
    scopes: Vec<AskedScope>,
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
    /// The same, under OAuth 2's name for it.
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    issued_at: String,
}

/// What a token is for.
struct Wanted {
    scope: Vec<Scope>,
    catalog: bool,
    /// Nothing but pulls of what anybody may pull.
    is_public: bool,
    /// Something that only a remote decides about.
    asks_remote: bool,
}

pub(super) async fn token(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let answer = edge.token(&request, body).await;
    let mut response = answer.unwrap_or_else(ApiError::into_response);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    response
}

impl Edge {
    async fn token(&self, request: &request::Parts, body: Body) -> Result<Response, ApiError> {
        let question = match request.method {
            Method::GET => Question::read(request.uri.query().unwrap_or_default().as_bytes()),
            Method::POST => Question::read(&form(body).await?),
            _ => return Err(ApiError::not_allowed("GET, POST", "ask by GET or by POST")),
        };
        let wanted = self.wanted(question.scopes.clone());
        let caller = if wanted.is_public {
            Caller::Anonymous
        } else {
            self.asker(request, &question).await?
        };
        self.check(&caller, &wanted)?;
        let gate = &self.parts.gate;
        Ok(answer(&gate.issue(&caller, &wanted.scope, wanted.catalog)))
    }

    /// Each repository by the name as it was asked for, and by the one that it has here.
    fn wanted(&self, scopes: Vec<AskedScope>) -> Wanted {
        let mut wanted = Wanted {
            scope: Vec::new(),
            catalog: false,
            is_public: !scopes.is_empty() && self.parts.gate.allows_anonymous_pull(),
            asks_remote: false,
        };
        let projects = self.parts.projects.now();
        for asked in scopes {
            let is_pull = asked.is_pull();
            let AskedScope::Repository { name, rights } = asked else {
                wanted.catalog = true;
                wanted.is_public = false;
                continue;
            };
            let located = self.parts.mirror.locate(&name, None);
            let visibility = located
                .as_ref()
                .map(|located| projects.visibility_of(&located.project, &located.name));
            wanted.is_public &= is_pull && visibility == Some(Visibility::Public);
            wanted.asks_remote |= visibility == Some(Visibility::Remote);
            let here = located.map(|located| located.name);
            let here = here.filter(|here| *here != name);
            for repository in std::iter::once(name).chain(here) {
                wanted.scope.push(Scope { repository, rights });
            }
        }
        wanted
    }

    /// Who sent these credentials: of the form, else of the header.
    async fn asker(
        &self,
        request: &request::Parts,
        question: &Question,
    ) -> Result<Caller, ApiError> {
        let gate = &self.parts.gate;
        let source = request.extensions.get().copied();
        let source = source.unwrap_or(Source::UNKNOWN);
        let identified = match (question.grant_type.as_deref(), &question.refresh_token) {
            (Some("refresh_token"), Some(secret)) => gate.bearer(secret, source).await,
            (Some("password"), _) if question.username.is_some() => {
                let name = question.username.as_deref().unwrap_or_default();
                let password = question.password.as_deref().unwrap_or_default();
                gate.login(name, password, source).await
            }
            _ => gate.identify(&request.headers, source).await,
        };
        let caller = identified.map_err(|error| ApiError::identify(&error))?;
        if caller.has_scope() {
            return Err(ApiError::unauthorized("a token is not got by a token"));
        }
        Ok(caller)
    }

    fn check(&self, caller: &Caller, wanted: &Wanted) -> Result<(), ApiError> {
        match caller {
            Caller::Known(_) => Ok(()),
            // Nobody here has the name, and there is no remote to be asked: wrong, like any other.
            Caller::Visitor(_) if wanted.asks_remote || wanted.scope.is_empty() => Ok(()),
            Caller::Visitor(_) => Err(ApiError::unauthorized(
                "the user name or the password is wrong",
            )),
            Caller::Anonymous if wanted.is_public => Ok(()),
            Caller::Anonymous if wanted.scope.is_empty() && self.parts.gate.admits(caller) => {
                Ok(())
            }
            Caller::Anonymous => Err(ApiError::unauthorized("log in for this")),
        }
    }
}

impl Question {
    fn read(encoded: &[u8]) -> Self {
        let mut question = Self::default();
        for (key, value) in form_urlencoded::parse(encoded) {
            let slot = match key.as_ref() {
                "scope" => {
                    let room = MAX_SCOPES.saturating_sub(question.scopes.len());
                    let asked = AskedScope::read_all(&value).take(room);
                    question.scopes.extend(asked);
                    continue;
                }
                "grant_type" => &mut question.grant_type,
                "username" => &mut question.username,
                "password" => &mut question.password,
                "refresh_token" => &mut question.refresh_token,
                _ => continue,
            };
            *slot = Some(value.into_owned());
        }
        question
    }
}

async fn form(body: Body) -> Result<bytes::Bytes, ApiError> {
    let refused = |status, message: &str| ApiError::new(status, ErrorCode::Unsupported, message);
    match tokio::time::timeout(FORM_TIMEOUT, to_bytes(body, MAX_FORM_BYTES)).await {
        Ok(Ok(form)) => Ok(form),
        Ok(Err(_)) => Err(refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a form of at most 64 KiB",
        )),
        Err(_elapsed) => Err(refused(
            StatusCode::REQUEST_TIMEOUT,
            "the form did not come",
        )),
    }
}

fn answer(issued: &IssuedToken) -> Response {
    let token = issued.token.expose();
    let answer = Answer {
        token,
        access_token: token,
        token_type: "Bearer",
        expires_in: issued.lifetime.as_secs(),
        issued_at: humantime::format_rfc3339_seconds(issued.issued_at).to_string(),
    };
    axum::Json(answer).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_one_by_one_or_together() {
        let question = Question::read(
            b"service=entrepot&scope=repository:a:pull&scope=repository:b:pull+repository:c:pull&account=u",
        );
        let names = question.scopes.iter().map(|scope| match scope {
            AskedScope::Repository { name, .. } => name.to_string(),
            AskedScope::Catalog => panic!("none was asked"),
        });
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_form_carries_the_login() {
        let question = Question::read(b"grant_type=password&username=u&password=p%26q&scope=");
        assert_eq!(question.username.as_deref(), Some("u"));
        assert_eq!(question.password.as_deref(), Some("p&q"));
        assert_eq!(question.scopes, []);
    }
}
