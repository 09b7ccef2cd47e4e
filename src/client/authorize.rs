//! Being let in: what to send up front, and what to answer to a 401.
//!
//! 1. The first request to a URL goes out bare.
//! 2. 401 with `Basic`: our credentials, when there are any.
//! 3. 401 with `Bearer`: a token from the realm, if the realm may be trusted.
//! 4. The URL's scheme is remembered: later requests carry credentials or a token of their repository at once.
//! 5. A 401 to a token: it was revoked. It is dropped, and step 3 is done once more.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use url::{Host, Url};

use super::{
    ClientError,
    challenge::{self, Challenge},
    endpoint::{Endpoint, Wire},
    error::{Failure, clean},
    token::{self, Token, TokenKey, Tokens},
};
use crate::config;

/// How a URL wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// What one request carries.
pub(super) enum Carried {
    Nothing,
    Password(HeaderValue),
    Token(TokenKey, Arc<Token>),
}

impl Carried {
    pub(super) fn header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Nothing => None,
            Self::Password(value) => Some(value),
            Self::Token(_, token) => Some(&token.authorization),
        }
    }
}

/// The credentials and tokens of one remote.
pub(super) struct Authorizer {
    credentials: Option<HeaderValue>,
    realms: Vec<String>,
    tokens: Tokens,
}

impl Authorizer {
    pub(super) fn new(remote: &config::Remote) -> Self {
        let username = remote.username.as_deref().unwrap_or_default();
        let password = remote.password.as_ref();
        Self {
            credentials: password.map(|password| token::basic(username, password.expose())),
            realms: remote.realms.clone(),
            tokens: Tokens::new(),
        }
    }

    /// What to send before being asked, from what the URL asked for last time.
    pub(super) async fn up_front(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        scope: &str,
    ) -> Result<Carried, Failure> {
        let scheme = endpoint.scheme.load_full();
        match (scheme.as_deref(), &self.credentials) {
            (Some(Scheme::Basic), Some(password)) => Ok(Carried::Password(password.clone())),
            (Some(Scheme::Bearer { realm, service }), _) => {
                let key = TokenKey {
                    realm: realm.clone(),
                    service: service.clone(),
                    scope: scope.to_owned(),
                };
                self.token(wire, endpoint, key).await
            }
            _ => Ok(Carried::Nothing),
        }
    }

    /// What to send after a 401; `Nothing` when there is nothing better than what was sent.
    pub(super) async fn answer(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        scope: &str,
        sent: Carried,
    ) -> Result<Carried, Failure> {
        match (challenge::choose(headers), &self.credentials) {
            (Some(Challenge::Basic), Some(password)) => {
                endpoint.scheme.store(Some(Arc::new(Scheme::Basic)));
                Ok(match sent {
                    Carried::Password(_) => Carried::Nothing,
                    _ => Carried::Password(password.clone()),
                })
            }
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope: asked,
                }),
                _,
            ) => {
                if let Carried::Token(key, token) = &sent {
                    self.tokens.drop_revoked(key, token).await;
                }
                let realm = self.trusted_realm(wire, endpoint, &realm)?;
                endpoint.scheme.store(Some(Arc::new(Scheme::Bearer {
                    realm: realm.clone(),
                    service: service.clone(),
                })));
                let scope = asked.unwrap_or_else(|| scope.to_owned());
                let key = TokenKey {
                    realm,
                    service,
                    scope,
                };
                self.token(wire, endpoint, key).await
            }
            _ => Ok(Carried::Nothing),
        }
    }

    async fn token(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        key: TokenKey,
    ) -> Result<Carried, Failure> {
        let fetch = token::fetch(wire, endpoint, &key, self.credentials.as_ref());
        let token = self.tokens.get(&key, fetch).await?;
        Ok(Carried::Token(key, token))
    }

    fn trusted_realm(&self, wire: &Wire, endpoint: &Endpoint, realm: &str) -> Result<Url, Failure> {
        let url = endpoint.url.join(realm).ok();
        url.filter(|url| is_trusted(url, &endpoint.url, &self.realms))
            .ok_or_else(|| {
                let message = format!(
                    "sends us to the token server `{}`, which is not trusted; `realms` of the remote may name its host",
                    clean(realm.split('?').next().unwrap_or_default(), 200)
                );
                ClientError::invalid(&wire.remote, message).into()
            })
    }
}

/// May this realm see our credentials? Within the remote's registrable domain, for addresses and single labels on the same
/// host, or as configured; by https unless the remote itself is plain http.
fn is_trusted(realm: &Url, remote: &Url, realms: &[String]) -> bool {
    let safe = match realm.scheme() {
        "https" => true,
        "http" => remote.scheme() == "http",
        _ => false,
    };
    if !safe || !realm.username().is_empty() || realm.password().is_some() {
        return false;
    }
    let (Some(realm_host), Some(remote_host)) = (realm.host(), remote.host()) else {
        return false;
    };
    let text = realm_host.to_string();
    if realm_host == remote_host || realms.iter().any(|name| name.eq_ignore_ascii_case(&text)) {
        return true;
    }
    match (realm_host, remote_host) {
        (Host::Domain(realm), Host::Domain(remote)) => {
            let registrable = psl::domain_str(realm);
            registrable.is_some() && registrable == psl::domain_str(remote)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(realm: &str, remote: &str) -> bool {
        let realms = ["login.example.org".to_owned()];
        is_trusted(&realm.parse().unwrap(), &remote.parse().unwrap(), &realms)
    }

    #[test]
    fn a_realm_is_trusted_within_the_registrable_domain() {
        let hub = "https://registry-1.docker.io/";
        assert!(trusted("https://auth.docker.io/token", hub));
        assert!(trusted("https://login.example.org/token", hub));
        assert!(!trusted("https://auth.docker.com/token", hub));
        assert!(!trusted("https://evil.io/token", hub));
        assert!(!trusted("https://a.co.uk/token", "https://b.co.uk/"));
        assert!(!trusted(
            "https://a.github.io/token",
            "https://b.github.io/"
        ));
        assert!(!trusted("https://user@auth.docker.io/token", hub));
    }

    #[test]
    fn addresses_and_single_labels_are_trusted_on_the_same_host_at_any_port() {
        assert!(trusted(
            "http://127.0.0.1:5001/token",
            "http://127.0.0.1:5000/"
        ));
        assert!(!trusted(
            "http://127.0.0.2:5000/token",
            "http://127.0.0.1:5000/"
        ));
        assert!(trusted(
            "https://registry:5001/token",
            "https://registry:5000/"
        ));
        assert!(!trusted("https://auth/token", "https://registry/"));
        assert!(!trusted("https://10.0.0.1/token", "https://registry.io/"));
    }

    #[test]
    fn a_plain_realm_is_trusted_by_a_plain_remote_only() {
        assert!(trusted("http://auth.r.io/token", "http://r.io/"));
        assert!(!trusted("http://auth.r.io/token", "https://r.io/"));
        assert!(!trusted("ftp://r.io/token", "https://r.io/"));
    }
}
