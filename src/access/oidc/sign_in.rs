//! Logging in at an issuer, with a browser (`OpenID` Connect Core, 3.1; RFC 7636).
//!
//! ```text
//! browser ── begin ──► here       state, nonce and the proof's secret are made, and sealed into a cookie
//!         ◄─ redirect ─┘
//!         ──────────────► issuer  the user logs in there
//!         ◄─ redirect ──────┘     with `code` and `state`
//!         ── complete ─► here     1. the state is the cookie's: it is the browser that began
//!                                 2. the code becomes an ID token, by the secret of the proof (and of the client)
//!                                 3. the token is checked like any other, and its nonce is the cookie's
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{constant_time, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Discovery, FetchError, Issuer, Issuers, OidcError, read};
use crate::access::{Principal, SecretKey};

const PURPOSE: &str = "oidc-login";
/// How long somebody may take at the issuer.
pub(in crate::access) const PATIENCE: Duration = Duration::from_mins(10);
const SECRET_BYTES: usize = 32;

/// What a browser is to do next.
pub struct SignIn {
    /// Where it goes.
    pub location: Url,
    /// What it brings back, sealed.
    pub pending: String,
    /// After that it need not come back.
    pub lifetime: Duration,
}

/// Why somebody was not let in by way of an issuer.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("no such issuer is configured")]
    NoIssuer,
    /// Another browser, another time, or a guess.
    #[error("this login was not begun here, or too long ago")]
    NotBegun,
    /// In its own words.
    #[error("the issuer refuses: {0}")]
    Refused(String),
    #[error("the issuer's token is not for this login")]
    Foreign,
    #[error(transparent)]
    Token(#[from] OidcError),
    #[error("the issuer cannot be asked: {0}")]
    Unavailable(#[from] FetchError),
}

/// A login that was begun.
#[derive(Serialize, Deserialize)]
struct Pending {
    issuer: String,
    state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    return_to: String,
    /// Seconds since 1970.
    until: u64,
}

/// Who came back, and where to.
pub(in crate::access) struct SignedIn {
    pub(in crate::access) principal: Principal,
    pub(in crate::access) return_to: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
    error: Option<String>,
}

impl Issuers {
    /// Those at which somebody can log in, as the configuration calls them.
    pub(in crate::access) fn names(&self) -> impl Iterator<Item = &str> {
        let issuers = self.issuers.iter();
        issuers.map(|issuer| issuer.config.issuer.as_str())
    }

    /// Begins a login at this issuer, which sends the browser back to `redirect_uri`; then it goes to `return_to`.
    pub(in crate::access) async fn begin(
        &self,
        key: &SecretKey,
        issuer: &str,
        redirect_uri: String,
        return_to: String,
    ) -> Result<SignIn, SignInError> {
        let issuer = self.named(issuer).ok_or(SignInError::NoIssuer)?;
        let discovery = issuer.discover(&self.http).await?;
        let mut location = endpoint(discovery.authorization_endpoint)?;
        let pending = Pending {
            issuer: issuer.config.issuer.clone(),
            state: random(),
            nonce: random(),
            verifier: random(),
            redirect_uri,
            return_to,
            until: seconds(SystemTime::now() + PATIENCE),
        };
        let proof = digest::digest(&digest::SHA256, pending.verifier.as_bytes());
        let proof = BASE64_URL_SAFE_NO_PAD.encode(proof);
        location.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", issuer.config.client_id.as_str()),
            ("redirect_uri", pending.redirect_uri.as_str()),
            ("scope", "openid"),
            ("state", pending.state.as_str()),
            ("nonce", pending.nonce.as_str()),
            ("code_challenge", proof.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        let text = serde_json::to_vec(&pending).expect("texts are JSON");
        Ok(SignIn {
            location,
            pending: BASE64_URL_SAFE_NO_PAD.encode(key.seal(PURPOSE, &text)),
            lifetime: PATIENCE,
        })
    }

    /// Completes a login: `pending` is what the browser kept, `code` and `state` what the issuer gave it.
    pub(in crate::access) async fn complete(
        &self,
        key: &SecretKey,
        pending: &str,
        code: &str,
        state: &str,
    ) -> Result<SignedIn, SignInError> {
        let pending = Pending::unseal(key, pending).ok_or(SignInError::NotBegun)?;
        let is_same = |left: &str, right: &str| {
            constant_time::verify_slices_are_equal(left.as_bytes(), right.as_bytes()).is_ok()
        };
        if seconds(SystemTime::now()) > pending.until || !is_same(&pending.state, state) {
            return Err(SignInError::NotBegun);
        }
        let issuer = self.named(&pending.issuer).ok_or(SignInError::NoIssuer)?;
        let token = issuer.exchange(&self.http, &pending, code).await?;
        let claims = issuer.claims(&token, &self.http).await?;
        let nonce = claims.get("nonce").and_then(Value::as_str);
        if !nonce.is_some_and(|nonce| is_same(nonce, &pending.nonce)) {
            return Err(SignInError::Foreign);
        }
        Ok(SignedIn {
            principal: issuer.of_claims(&claims),
            return_to: pending.return_to,
        })
    }

    fn named(&self, name: &str) -> Option<&Issuer> {
        let mut issuers = self.issuers.iter();
        issuers.find(|issuer| issuer.config.issuer == name)
    }
}

impl Issuer {
    /// The ID token that a code is worth.
    async fn exchange(
        &self,
        http: &reqwest::Client,
        pending: &Pending,
        code: &str,
    ) -> Result<String, SignInError> {
        let Discovery { token_endpoint, .. } = self.discover(http).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", pending.redirect_uri.as_str()),
            ("client_id", self.config.client_id.as_str()),
            ("code_verifier", pending.verifier.as_str()),
        ];
        let request = http.post(endpoint(token_endpoint)?).form(&form);
        let request = match &self.config.client_secret {
            None => request,
            // RFC 6749, 2.3.1: encoded once more before they are.
            Some(secret) => request.basic_auth(
                encoded(&self.config.client_id),
                Some(encoded(secret.expose())),
            ),
        };
        let answer = request.send().await.map_err(FetchError::from)?;
        let is_refused = answer.status().is_client_error();
        let answer = if is_refused {
            answer
        } else {
            answer.error_for_status().map_err(FetchError::from)?
        };
        let answer: TokenAnswer = read(answer).await?;
        match answer {
            TokenAnswer {
                id_token: Some(token),
                ..
            } if !is_refused => Ok(token),
            TokenAnswer { error, .. } => {
                let error = error.as_deref();
                Err(SignInError::refused(
                    error.unwrap_or("it gives no ID token"),
                ))
            }
        }
    }
}

impl Pending {
    fn unseal(key: &SecretKey, sealed: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        serde_json::from_slice(&key.unseal(PURPOSE, &sealed)?).ok()
    }
}

impl SignInError {
    /// What an issuer says instead, as far as that can be a word of one (RFC 6749, 4.1.2.1).
    pub fn refused(error: &str) -> Self {
        const MAX_LENGTH: usize = 100;
        let is_allowed = |c: &char| c.is_ascii_graphic() || *c == ' ';
        Self::Refused(error.chars().filter(is_allowed).take(MAX_LENGTH).collect())
    }
}

fn endpoint(told: Option<Url>) -> Result<Url, FetchError> {
    told.ok_or(FetchError::Foreign)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>())
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
