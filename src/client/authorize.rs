//! Being let in: what to send up front, and what to answer to a 401.
//!
//! 1. The first request to a URL goes out bare.
//! 2. 401 with `Basic`: our name and password, when there are any.
//! 3. 401 with `Bearer`: a token from the realm, if the realm may be trusted. The realm is shown our login.
//! 4. The URL's scheme is remembered: later requests carry a login or a token of their repository at once.
//! 5. A 401 to a token: it was revoked. It is dropped, and step 3 is done once more.
//! 6. A 401 to a login, from the remote or from the realm: a newer one is tried, if there is one.
//!
//! What the remote itself refuses after all that is its answer. When already the realm refuses our login, nobody has judged
//! what was asked for: that is an outage, of our own making (`ErrorKind::Credentials`).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use url::{Host, Url};

use super::{
    ClientError, ErrorKind,
    challenge::{self, Challenge},
    credentials::{Credentials, Login},
    endpoint::{Endpoint, Wire},
    error::{Failure, clean},
    token::{self, Token, TokenKey, Tokens},
};
use crate::config;

/// How a URL wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    Basic,
    /// Our own token as it is.
    Token,
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

/// What one request carries.
pub(super) enum Carried {
    Nothing,
    /// A login, and the header made of it.
    Login(Arc<Login>, HeaderValue),
    Token(TokenKey, Arc<Token>),
}

impl Carried {
    pub(super) fn header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Nothing => None,
            Self::Login(_, value) => Some(value),
            Self::Token(_, token) => Some(&token.authorization),
        }
    }
}

/// The credentials and tokens of one remote.
pub(super) struct Authorizer {
    credentials: Credentials,
    realms: Vec<String>,
    tokens: Tokens,
}

impl Authorizer {
    /// The error says what of the credentials cannot be set up.
    pub(super) fn new(remote: &config::Remote) -> Result<Self, String> {
        Ok(Self {
            credentials: Credentials::for_remote(remote)?,
            realms: remote.realms.clone(),
            tokens: Tokens::new(),
        })
    }

    /// The same realms are trusted with this login.
    pub(super) fn with_login(&self, username: &str, password: &str) -> Self {
        Self {
            credentials: self.credentials.with_login(username, password),
            realms: self.realms.clone(),
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
        match scheme.as_deref() {
            Some(Scheme::Bearer { realm, service }) => {
                let key = TokenKey {
                    realm: realm.clone(),
                    service: service.clone(),
                    scope: scope.to_owned(),
                };
                self.token(wire, endpoint, key).await
            }
            Some(Scheme::Basic | Scheme::Token) => {
                let login = self.login(endpoint, scope).await?;
                Ok(login.map_or(Carried::Nothing, carried))
            }
            None => Ok(Carried::Nothing),
        }
    }

    /// Our login as it is, without being asked for it.
    pub(super) async fn own_login(&self, endpoint: &Endpoint) -> Result<Carried, Failure> {
        let login = self.login(endpoint, "").await?;
        Ok(login.map_or(Carried::Nothing, carried))
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
        match challenge::choose(headers) {
            Some(Challenge::Bearer {
                realm,
                service,
                scope: asked,
            }) => {
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
            Some(asked @ (Challenge::Basic | Challenge::Token)) => {
                self.answer_login(wire, endpoint, scope, &asked, sent).await
            }
            None => Ok(Carried::Nothing),
        }
    }

    async fn answer_login(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        scope: &str,
        asked: &Challenge,
        sent: Carried,
    ) -> Result<Carried, Failure> {
        let login = match sent {
            Carried::Login(refused, _) => {
                let repository = repository(scope);
                let renewed = self
                    .credentials
                    .renewed(&endpoint.url, repository, &refused);
                renewed.await?
            }
            _ => self.login(endpoint, scope).await?,
        };
        let Some(login) = login else {
            return Ok(Carried::Nothing);
        };
        let scheme = match (asked, login.as_ref()) {
            (Challenge::Basic, Login::Password(_)) => Scheme::Basic,
            (Challenge::Token, Login::Token(_)) => Scheme::Token,
            (_, login) => return Err(mismatch(wire, login).into()),
        };
        endpoint.scheme.store(Some(Arc::new(scheme)));
        Ok(carried(login))
    }

    async fn login(&self, endpoint: &Endpoint, scope: &str) -> Result<Option<Arc<Login>>, Failure> {
        let login = self.credentials.get(&endpoint.url, repository(scope)).await;
        Ok(login?)
    }

    async fn token(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        key: TokenKey,
    ) -> Result<Carried, Failure> {
        let token = self
            .tokens
            .get(&key, self.new_token(wire, endpoint, &key))
            .await?;
        Ok(Carried::Token(key, token))
    }

    /// Asks the realm; once more when it refuses our login and there is a newer one.
    async fn new_token(
        &self,
        wire: &Wire,
        endpoint: &Endpoint,
        key: &TokenKey,
    ) -> Result<Token, Failure> {
        let login = self.login(endpoint, &key.scope).await?;
        let failure = match token::fetch(wire, endpoint, key, login.as_deref()).await {
            Ok(token) => return Ok(token),
            Err(failure) => failure,
        };
        let (ErrorKind::Credentials, Some(refused)) = (failure.error.kind, login) else {
            return Err(failure);
        };
        let repository = repository(&key.scope);
        let renewed = self
            .credentials
            .renewed(&endpoint.url, repository, &refused);
        match renewed.await? {
            Some(newer) => token::fetch(wire, endpoint, key, Some(&newer)).await,
            None => Err(failure),
        }
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

/// The (first) repository in a scope such as `repository:library/nginx:pull`; empty if it is about something else.
fn repository(scope: &str) -> &str {
    let first = scope.split_whitespace().next();
    let name = first.and_then(|scope| scope.strip_prefix("repository:"));
    let name = name.and_then(|name| name.rsplit_once(':'));
    name.map_or("", |(name, _)| name)
}

fn carried(login: Arc<Login>) -> Carried {
    let header = match login.as_ref() {
        Login::Password(value) => Some(value.clone()),
        Login::Token(token) => token::bearer(token.expose()),
    };
    match header {
        Some(header) => Carried::Login(login, header),
        None => Carried::Nothing,
    }
}

fn mismatch(wire: &Wire, login: &Login) -> ClientError {
    let message = match login {
        Login::Token(_) => {
            "asks for a user name and a password, and we have a token; `username` goes beside `token`"
        }
        Login::Password(_) => {
            "asks for a token without saying where to get one, and we have a user name and a password"
        }
    };
    ClientError::new(ErrorKind::Credentials, &wire.remote, message)
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
    fn a_scope_tells_its_repository() {
        assert_eq!(repository("repository:library/nginx:pull"), "library/nginx");
        assert_eq!(repository("repository:a:pull,push"), "a");
        assert_eq!(repository("repository:a:pull,push repository:b:pull"), "a");
        assert_eq!(repository("registry:catalog:*"), "");
        assert_eq!(repository(""), "");
    }

    /// Where the public registries send their clients, by their documentation.
    #[test]
    fn the_realms_of_the_known_registries_are_trusted() {
        for (realm, remote) in [
            (
                "https://auth.docker.io/token",
                "https://registry-1.docker.io/",
            ),
            ("https://ghcr.io/token", "https://ghcr.io/"),
            ("https://quay.io/v2/auth", "https://quay.io/"),
            (
                "https://gitlab.com/jwt/auth",
                "https://registry.gitlab.com/",
            ),
            ("https://gcr.io/v2/token", "https://eu.gcr.io/"),
            (
                "https://europe-docker.pkg.dev/v2/token",
                "https://europe-docker.pkg.dev/",
            ),
            (
                "https://mine.azurecr.io/oauth2/token",
                "https://mine.azurecr.io/",
            ),
            ("https://public.ecr.aws/token/", "https://public.ecr.aws/"),
            (
                "https://dockerauth.cn-hangzhou.aliyuncs.com/auth",
                "https://registry.cn-hangzhou.aliyuncs.com/",
            ),
            (
                "https://dockerauth-ee.cn-hangzhou.aliyuncs.com/auth",
                "https://mine-registry.cn-hangzhou.cr.aliyuncs.com/",
            ),
            (
                "https://mine.tencentcloudcr.com/service/token",
                "https://mine.tencentcloudcr.com/",
            ),
        ] {
            assert!(trusted(realm, remote), "{realm} for {remote}");
        }
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
