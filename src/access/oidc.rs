//! Tokens of issuers that the configuration trusts, shown in the place of a password: a CI job's, a Kubernetes service
//! account's (`OpenID` Connect Core, 3.1.3.7; Discovery, 4).
//!
//! 1. `iss` says whose it claims to be; of no known issuer, it is no such token.
//! 2. Its key is looked up by `kid`. An unknown one makes us ask the issuer again, not more often than every few seconds:
//!    keys are rotated, and anybody can make one up.
//! 3. Signature, `iss`, `aud`, `exp` and `nbf` are checked; clocks may differ by a minute.
//! 4. The claims give rights.

mod sign_in;

pub use sign_in::{SignIn, SignInError};

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, TokenData, Validation, dangerous, decode, decode_header,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::{Grant, GrantText, Principal, grant::read_grants, principal::Subject};
use crate::config::{Oidc, OidcRight};

const LEEWAY: Duration = Duration::from_secs(60);
/// After that what is known is asked for again; when it cannot be had, it still counts.
const KEYS_FRESH_FOR: Duration = Duration::from_secs(60 * 60);
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 1 << 20;
const MAX_NAME: usize = 128;

/// The issuers that are trusted.
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
    http: reqwest::Client,
}

struct Issuer {
    config: Oidc,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    known: Option<Arc<JwkSet>>,
    fetched_at: Option<Instant>,
    asked_at: Option<Instant>,
}

/// Why a token proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("{0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("no key of the issuer has its `kid`")]
    UnknownKey,
    /// The issuer's fault, or the way's to it.
    #[error("the keys of `{issuer}` cannot be had")]
    Unavailable {
        issuer: String,
        #[source]
        source: Arc<FetchError>,
    },
}

/// Why the issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("its answer is too long")]
    TooLong,
    #[error("its answer is not what it should be: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "its configuration is of another issuer, or lacks a place, or names one that is not to be trusted"
    )]
    Foreign,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
}

#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl Issuers {
    /// `tls` is for asking them.
    pub(super) fn new(issuers: &[Oidc], tls: rustls::ClientConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let issuer = |config: &Oidc| Issuer {
            config: config.clone(),
            keys: Mutex::default(),
        };
        Ok(Self {
            issuers: issuers.iter().map(issuer).collect(),
            http,
        })
    }

    /// Whom a token stands for; `None`: it is no token of a known issuer.
    pub(super) async fn principal(&self, token: &str) -> Option<Result<Principal, OidcError>> {
        if self.issuers.is_empty() {
            return None;
        }
        let claimed: Claimed = dangerous::insecure_decode_claims(token).ok()?;
        let mut issuers = self.issuers.iter();
        let issuer = issuers.find(|issuer| issuer.config.issuer == claimed.iss)?;
        Some(issuer.principal(token, &self.http).await)
    }
}

impl Issuer {
    async fn principal(&self, token: &str, http: &reqwest::Client) -> Result<Principal, OidcError> {
        let claims = self.claims(token, http).await?;
        Ok(self.of_claims(&claims))
    }

    /// What a token says that this issuer signed for us.
    async fn claims(&self, token: &str, http: &reqwest::Client) -> Result<Value, OidcError> {
        let header = decode_header(token)?;
        let key = self.key(header.kid.as_deref(), http).await?;
        let key = DecodingKey::from_jwk(&key)?;
        // A secret as a key would be known to everybody.
        if key.family() == AlgorithmFamily::Hmac {
            return Err(OidcError::UnknownKey);
        }
        let mut validation = Validation::new_for_family(key.family());
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        let TokenData { claims, .. } = decode::<Value>(token, &key, &validation)?;
        Ok(claims)
    }

    /// The key with this id; without an id, the only one.
    async fn key(&self, kid: Option<&str>, http: &reqwest::Client) -> Result<Jwk, OidcError> {
        let mut keys = self.keys.lock().await;
        let now = Instant::now();
        let age = |at: Option<Instant>| at.map(|at| now.duration_since(at));
        let known = keys.known.as_deref().and_then(|set| find(set, kid));
        let is_fresh = age(keys.fetched_at).is_some_and(|age| age < KEYS_FRESH_FOR);
        if let (Some(key), true) = (known, is_fresh) {
            return Ok(key.clone());
        }
        let was_asked = age(keys.asked_at).is_some_and(|age| age < ASK_AT_MOST_EVERY);
        if !was_asked {
            keys.asked_at = Some(now);
            match self.fetch(http).await {
                Ok(set) => {
                    keys.known = Some(Arc::new(set));
                    keys.fetched_at = Some(now);
                }
                Err(error) if keys.known.is_none() => {
                    return Err(OidcError::Unavailable {
                        issuer: self.config.issuer.clone(),
                        source: Arc::new(error),
                    });
                }
                Err(error) => {
                    tracing::warn!(issuer = self.config.issuer, %error, "an issuer's keys cannot be had anew: {error}");
                }
            }
        }
        let known = keys.known.as_deref().and_then(|set| find(set, kid));
        known.cloned().ok_or(OidcError::UnknownKey)
    }

    async fn fetch(&self, http: &reqwest::Client) -> Result<JwkSet, FetchError> {
        let discovery = self.discover(http).await?;
        fetch(http, discovery.jwks_uri.as_str()).await
    }

    /// Where what is; each place as safe as the issuer's own.
    async fn discover(&self, http: &reqwest::Client) -> Result<Discovery, FetchError> {
        let base = self.config.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let discovery: Discovery = fetch(http, &url).await?;
        let is_plain = self.config.issuer.starts_with("http://");
        let is_safe = |url: &Url| url.scheme() == "https" || (is_plain && url.scheme() == "http");
        let places = [
            Some(&discovery.jwks_uri),
            discovery.authorization_endpoint.as_ref(),
            discovery.token_endpoint.as_ref(),
        ];
        let are_safe = places.into_iter().flatten().all(is_safe);
        if discovery.issuer != self.config.issuer || !are_safe {
            return Err(FetchError::Foreign);
        }
        Ok(discovery)
    }

    fn of_claims(&self, claims: &Value) -> Principal {
        let matching = || {
            let rights = self.config.rights.iter();
            rights.filter(|right| is_met(right, claims))
        };
        let texts: Vec<GrantText> = matching()
            .filter(|right| !right.rights.is_empty())
            .map(grant)
            .collect();
        let grants: Vec<Grant> =
            read_grants(&texts).expect("the configuration's patterns and rights were read");
        let exp = claims
            .get("exp")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        Principal {
            name: self.name(claims),
            is_admin: matching().any(|right| right.admin),
            grants: grants.into(),
            subject: Subject::Outside {
                grants: texts.into(),
                until: UNIX_EPOCH + Duration::from_secs(exp.min(FAR)),
            },
            ..Principal::default()
        }
    }

    /// Such as `https://issuer.example.com#subject`: no user is called that.
    fn name(&self, claims: &Value) -> String {
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let subject: String = subject
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_NAME)
            .collect();
        format!("{}#{subject}", self.config.issuer)
    }
}

/// Seconds since 1970 that every clock can tell; a later end is as good as none.
const FAR: u64 = 1 << 40;

fn find<'s>(set: &'s JwkSet, kid: Option<&str>) -> Option<&'s Jwk> {
    let mut signing = set
        .keys
        .iter()
        .filter(|key| key.common.public_key_use != Some(PublicKeyUse::Encryption));
    match kid {
        Some(kid) => signing.find(|key| key.common.key_id.as_deref() == Some(kid)),
        None => signing.next().filter(|_| signing.next().is_none()),
    }
}

fn is_met(right: &OidcRight, claims: &Value) -> bool {
    let claim = if right.claim.starts_with('/') {
        claims.pointer(&right.claim)
    } else {
        claims.get(&right.claim)
    };
    let is_it = |value: &Value| match value {
        Value::String(text) => right.value.matches(text),
        Value::Bool(_) | Value::Number(_) => right.value.matches(&value.to_string()),
        _ => false,
    };
    match claim {
        Some(Value::Array(values)) => values.iter().any(is_it),
        Some(value) => is_it(value),
        None => false,
    }
}

fn grant(right: &OidcRight) -> GrantText {
    GrantText {
        project: right.project.clone(),
        repositories: right.repositories.clone(),
        rights: right.rights.iter().map(|&right| right.to_owned()).collect(),
    }
}

async fn fetch<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> Result<T, FetchError> {
    read(http.get(url).send().await?.error_for_status()?).await
}

/// Reads JSON, and no more of it than there should be.
async fn read<T: DeserializeOwned>(mut answer: reqwest::Response) -> Result<T, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(FetchError::TooLong);
        }
    }
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Pattern;

    fn met(claim: &str, value: &str, claims: &Value) -> bool {
        let right = OidcRight {
            claim: claim.to_owned(),
            value: Pattern::parse(value).unwrap(),
            admin: false,
            project: "team".to_owned(),
            repositories: "**".to_owned(),
            rights: vec!["pull"],
        };
        is_met(&right, claims)
    }

    #[test]
    fn a_claim_is_met_by_its_text_or_by_one_of_a_list() {
        let claims = json!({"groups": ["dev", "ops"], "repository": "org/app", "admin": true});
        assert!(met("groups", "ops", &claims));
        assert!(!met("groups", "op", &claims));
        assert!(met("repository", "org/*", &claims));
        assert!(!met("repository", "other/*", &claims));
        assert!(met("admin", "true", &claims));
        assert!(!met("missing", "**", &claims));
    }

    #[test]
    fn a_claim_inside_of_another_is_named_by_a_pointer() {
        let claims = json!({"kubernetes.io": {"namespace": "ci"}});
        assert!(met("/kubernetes.io/namespace", "ci", &claims));
        assert!(!met("/kubernetes.io/namespace", "prod", &claims));
        assert!(!met("kubernetes.io", "**", &claims));
    }
}
