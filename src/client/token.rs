//! Bearer tokens (distribution, "Token Authentication Specification"): one cache by realm, service and scope; one request
//! shared by all who wait; renewed before they expire.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, header};
use moka::future::Cache;
use serde::Deserialize;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::{
    ClientError, ErrorKind,
    body::read_bounded,
    credentials::Login,
    endpoint::{Endpoint, Incoming, Outgoing, Payload, Wire},
    error::Failure,
    transport::refusal,
};

const MAX_TOKENS: u64 = 10_000;
const MAX_BODY_BYTES: u64 = 1024 * 1024;
/// The specification's default when a server does not say.
const DEFAULT_LIFETIME_SECONDS: u64 = 60;
const MAX_LIFETIME: Duration = Duration::from_hours(12);

static ACCEPT_JSON: LazyLock<HeaderMap> = LazyLock::new(|| {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(header::ACCEPT, json)])
});
static FORM: LazyLock<HeaderMap> = LazyLock::new(|| {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut headers = ACCEPT_JSON.clone();
    headers.insert(header::CONTENT_TYPE, form);
    headers
});

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    /// Scopes, separated by spaces.
    pub(super) scope: String,
}

/// A token as it is sent.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    fresh_until: Instant,
}

/// All tokens of one remote.
pub(super) struct Tokens {
    cache: Cache<TokenKey, Arc<Token>>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_TOKENS)
            .time_to_live(MAX_LIFETIME)
            .build();
        Self { cache }
    }

    /// A token that is still good, from the cache or from its realm. Waiters of one key share one request; when the one
    /// who makes it leaves, the next takes over.
    pub(super) async fn get(
        &self,
        key: &TokenKey,
        fetch: impl Future<Output = Result<Token, Failure>>,
    ) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.cache.get(key).await
            && token.fresh_until <= Instant::now()
        {
            self.drop_revoked(key, &token).await;
        }
        let fetch = async { fetch.await.map(Arc::new) };
        let shared = self.cache.try_get_with_by_ref(key, fetch).await;
        shared.map_err(|failure| Failure::clone(&failure))
    }

    /// Forgets a token that was refused, unless another one has taken its place.
    pub(super) async fn drop_revoked(&self, key: &TokenKey, token: &Arc<Token>) {
        let current = self.cache.get(key).await;
        if current.is_some_and(|current| Arc::ptr_eq(&current, token)) {
            self.cache.invalidate(key).await;
        }
    }
}

#[derive(Deserialize)]
struct TokenBody {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

/// Asks the realm: with a name and a password, with an identity token (OAuth 2), or anonymously. `ErrorKind::Credentials`
/// when it refuses the login itself.
pub(super) async fn fetch(
    wire: &Wire,
    endpoint: &Endpoint,
    key: &TokenKey,
    login: Option<&Login>,
) -> Result<Token, Failure> {
    let outgoing = match login {
        None => question(key, None),
        Some(Login::Password(basic)) => question(key, Some(basic)),
        Some(Login::Token(token)) => exchange(key, token.expose()),
    };
    let asked = Instant::now();
    let exchange = async {
        let incoming = endpoint.exchange(wire, outgoing).await?;
        if !incoming.response.status().is_success() {
            let refused = login.is_some_and(|login| is_refusal(login, &incoming));
            let failure = refusal(wire, incoming).await;
            return Err(match refused {
                true => our_fault(wire, failure),
                false => no_word_of_the_remote(failure),
            });
        }
        read_bounded(&wire.remote, incoming.response, MAX_BODY_BYTES).await
    };
    let Ok(body) = tokio::time::timeout(wire.header_timeout, exchange).await else {
        let message = "the token server did not answer in time";
        return Err(Failure::again(ClientError::new(
            ErrorKind::TimedOut,
            &wire.remote,
            message,
        )));
    };
    read(&body?, asked).ok_or_else(|| {
        ClientError::invalid(&wire.remote, "the token server's answer has no token").into()
    })
}

/// GET, as the specification has it.
fn question<'a>(key: &TokenKey, authorization: Option<&'a HeaderValue>) -> Outgoing<'a> {
    let mut url = key.realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &key.service {
            query.append_pair("service", service);
        }
        for scope in key.scope.split_whitespace() {
            query.append_pair("scope", scope);
        }
    }
    Outgoing {
        kind: "token",
        method: &Method::GET,
        url,
        headers: &ACCEPT_JSON,
        authorization,
        body: Payload::Nothing,
    }
}

/// POST, as its OAuth 2 variant has it: an identity token is never part of a URL.
fn exchange(key: &TokenKey, token: &str) -> Outgoing<'static> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("client_id", "entrepot");
    if let Some(service) = &key.service {
        form.append_pair("service", service);
    }
    form.append_pair("scope", &key.scope);
    form.append_pair("refresh_token", token);
    Outgoing {
        kind: "token",
        method: &Method::POST,
        url: key.realm.clone(),
        headers: &FORM,
        authorization: None,
        body: Payload::Whole(form.finish().into()),
    }
}

/// Does the token server say no to who we are? Its 403 is about the repository; OAuth 2 says 400 to a bad token (RFC 6749,
/// 5.2), and a server without OAuth 2 has no such path.
fn is_refusal(login: &Login, incoming: &Incoming) -> bool {
    match (login, incoming.response.status().as_u16()) {
        _ if incoming.foreign => false,
        (_, 401) | (Login::Token(_), 400 | 404 | 405) => true,
        _ => false,
    }
}

fn our_fault(wire: &Wire, failure: Failure) -> Failure {
    let told = failure.error.message;
    let said = told
        .split_once(": ")
        .map_or(told.as_str(), |(_, said)| said);
    let message = format!("its token server refuses our credentials ({said})");
    let mut error = ClientError::new(ErrorKind::Credentials, &wire.remote, message);
    error.status = failure.error.status;
    error.into()
}

/// That a token server has no such page says nothing of what the registry has.
fn no_word_of_the_remote(failure: Failure) -> Failure {
    if failure.error.kind != ErrorKind::NotFound {
        return failure;
    }
    let message = failure.error.message;
    Failure::again(ClientError {
        kind: ErrorKind::Unreachable,
        message: format!("its token server answered 404: {message}"),
        ..failure.error
    })
}

fn read(body: &[u8], asked: Instant) -> Option<Token> {
    let body: TokenBody = serde_json::from_slice(body).ok()?;
    let usable = |token: &String| !token.is_empty();
    let token = body
        .token
        .filter(usable)
        .or(body.access_token.filter(usable))?;
    let authorization = bearer(&token)?;
    let seconds = body.expires_in.and_then(|value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    Some(Token {
        authorization,
        fresh_until: asked + freshness(seconds),
    })
}

/// How long a token is used: a little less than it lives, so that it does not expire on its way.
fn freshness(expires_in_seconds: Option<u64>) -> Duration {
    const MARGIN: Duration = Duration::from_secs(15);
    let lifetime = Duration::from_secs(expires_in_seconds.unwrap_or(DEFAULT_LIFETIME_SECONDS));
    let lifetime = lifetime.min(MAX_LIFETIME);
    lifetime.saturating_sub(MARGIN.min(lifetime / 4))
}

/// `Authorization: Bearer …`; `None` for what cannot stand in a header.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_a_little_before_it_expires() {
        let seconds = |expires_in| freshness(expires_in).as_secs();
        assert_eq!(seconds(Some(300)), 285);
        assert_eq!(seconds(Some(20)), 15);
        assert_eq!(seconds(None), 45);
        assert_eq!(seconds(Some(0)), 0);
        assert!(freshness(Some(u64::MAX)) < MAX_LIFETIME);
    }

    #[tokio::test]
    async fn either_field_gives_the_token() {
        let header = |json: &str| {
            let token = read(json.as_bytes(), Instant::now());
            token.map(|token| token.authorization.to_str().unwrap().to_owned())
        };
        assert_eq!(header(r#"{"token":"a"}"#).as_deref(), Some("Bearer a"));
        assert_eq!(
            header(r#"{"access_token":"b","expires_in":"300"}"#).as_deref(),
            Some("Bearer b")
        );
        assert_eq!(
            header(r#"{"token":"","access_token":"c"}"#).as_deref(),
            Some("Bearer c")
        );
        assert_eq!(header(r#"{"token":"a\nb"}"#), None);
        assert_eq!(header("[]"), None);
    }
}
