//! Credentials at a fake registry: basic, and bearer with a token endpoint that issues and revokes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::content::Content;
use super::options::{Auth, Options};
use super::reply::Reply;
use super::request::{Kind, Request};

/// Issues tokens and knows which are good; may be shared by several servers.
#[derive(Debug, Default)]
pub(super) struct Issuer {
    tokens: Mutex<Tokens>,
}

#[derive(Debug, Default)]
struct Tokens {
    issued: usize,
    valid: HashMap<String, Grant>,
}

#[derive(Debug)]
struct Grant {
    repositories: Vec<String>,
    expires_at: Instant,
    uses_left: Option<u64>,
}

// === impl Issuer ===

impl Issuer {
    pub(super) fn revoke_all(&self) {
        self.lock(|tokens| tokens.valid.clear());
    }

    /// The token endpoint: GET with Basic, or the POST form of OAuth 2.
    pub(super) fn answer(&self, request: &Request, options: &Options, content: &Content) -> Reply {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        if let Auth::Bearer {
            account: Some((user, password)),
        } = &options.auth
            && request.header("authorization") != basic(user, password)
            && !form_names(&form, user, password)
        {
            return Reply::error(401, "UNAUTHORIZED");
        }
        let repositories = request
            .query
            .iter()
            .chain(&form)
            .filter(|(key, _)| key == "scope")
            .flat_map(|(_, scopes)| scopes.split(' '))
            .filter_map(pullable)
            .filter(|name| !options.hides_unknown || content.has(name))
            .collect();
        let token = self.issue(repositories, options);
        let field = if options.access_token_only {
            "access_token"
        } else {
            "token"
        };
        let mut answer = json!({field: token});
        if let Some(seconds) = options.token_seconds {
            answer["expires_in"] = seconds.into();
        }
        Reply::json(200, &answer)
    }

    fn issue(&self, repositories: Vec<String>, options: &Options) -> String {
        let lifetime = Duration::from_secs(options.token_seconds.unwrap_or(60));
        self.lock(|tokens| {
            tokens.issued += 1;
            let token = format!("token-{}", tokens.issued);
            let expires_at = Instant::now() + lifetime;
            let grant = Grant {
                repositories,
                expires_at,
                uses_left: options.token_uses,
            };
            tokens.valid.insert(token.clone(), grant);
            token
        })
    }

    /// Whether the token is good for this request; uses it once.
    fn admits(&self, token: &str, request: &Request) -> bool {
        self.lock(|tokens| {
            let Some(grant) = tokens.valid.get_mut(token) else {
                return false;
            };
            if Instant::now() >= grant.expires_at || grant.uses_left == Some(0) {
                return false;
            }
            if !request.repository.is_empty() && !grant.repositories.contains(&request.repository) {
                return false;
            }
            grant.uses_left = grant.uses_left.map(|uses| uses - 1);
            true
        })
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Tokens) -> T) -> T {
        work(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The 401 for a request that may not pass.
pub(super) fn refusal(
    issuer: &Issuer,
    options: &Options,
    own_url: &str,
    request: &Request,
) -> Option<Reply> {
    if matches!(request.kind, Kind::Token | Kind::Cdn) {
        return None;
    }
    let authorization = request.header("authorization");
    let challenge = match &options.auth {
        Auth::None => return None,
        Auth::Basic { user, password } => {
            if authorization == basic(user, password) {
                return None;
            }
            format!("Basic realm=\"{}\"", options.service)
        }
        Auth::Bearer { .. } => {
            let token = authorization.strip_prefix("Bearer ");
            if token.is_some_and(|token| issuer.admits(token, request)) {
                return None;
            }
            bearer_challenge(options, own_url, request, token.is_some())
        }
    };
    Some(Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge))
}

fn bearer_challenge(options: &Options, own_url: &str, request: &Request, refused: bool) -> String {
    let realm = options
        .realm
        .clone()
        .unwrap_or_else(|| format!("{own_url}/token"));
    let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{}\"", options.service);
    match request.kind {
        Kind::Catalog => challenge.push_str(",scope=\"registry:catalog:*\""),
        _ if request.repository.is_empty() => {}
        _ => {
            let repository = &request.repository;
            challenge.extend([",scope=\"repository:", repository.as_str(), ":pull\""]);
        }
    }
    if refused {
        challenge.push_str(",error=\"invalid_token\"");
    }
    challenge
}

/// The repository of a scope that allows pulls.
fn pullable(scope: &str) -> Option<String> {
    let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    actions
        .split(',')
        .any(|action| action == "pull")
        .then(|| name.to_owned())
}

fn form_names(form: &[(String, String)], user: &str, password: &str) -> bool {
    let has = |key: &str, wanted: &str| form.iter().any(|(k, v)| k == key && v == wanted);
    (has("username", user) && has("password", password)) || has("refresh_token", password)
}

/// The value of an `Authorization` header with these credentials.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
