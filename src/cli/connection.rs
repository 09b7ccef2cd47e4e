//! How commands reach a running server: where it is, who asks, and what can go wrong on the way.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, crypto::aws_lc_rs};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

use super::{
    ConfigFile, Failure,
    call_error::{CallError, FIRST_ADMIN, Sent},
    healthcheck::own_url,
};
use crate::{
    access::FirstAdmin,
    api::{PREFIX, ProblemDetails},
    client::{AcceptAny, default_roots},
    config::{Config, ConfigError, Secret},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For what the server knows.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// More is no answer of an Entrepot.
const MAX_ANSWER_BYTES: usize = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct ServerOptions {
    /// The server [default: where the configuration says that it listens, `http://127.0.0.1:5000`]
    #[arg(long, global = true, value_name = "URL", env = "ENTREPOT_URL")]
    server: Option<Url>,
    /// A token, instead of user and password
    #[arg(long, global = true, env = "ENTREPOT_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// The user who asks
    #[arg(long, global = true, default_value = FIRST_ADMIN)]
    user: String,
    /// Its password [default: on the server's machine, the one that the configuration or the data folder holds]
    #[arg(long, global = true, env = "ENTREPOT_ADMIN_PASSWORD", hide_env_values = true, value_parser = secret)]
    password: Option<Secret>,
    /// The server's configuration file, for its address and the admin's password
    #[arg(long, global = true, value_name = "FILE", env = "ENTREPOT_CONFIG")]
    config: Option<PathBuf>,
}

/// A server that can be asked.
pub(super) struct Connection {
    http: reqwest::Client,
    base: Url,
    login: Option<Login>,
}

enum Login {
    Token(Secret),
    Password(String, Secret),
}

/// A call of the API, its path without the prefix.
pub(super) struct Call<'c> {
    pub(super) method: Method,
    pub(super) path: &'c str,
    pub(super) query: &'c [(&'c str, &'c str)],
    pub(super) body: Option<&'c Value>,
}

impl<'c> Call<'c> {
    /// Without query and body.
    pub(super) fn new(method: Method, path: &'c str) -> Self {
        Self {
            method,
            path,
            query: &[],
            body: None,
        }
    }
}

/// An answer of the API.
pub(super) struct Answer {
    /// `Null` when there is no body.
    pub(super) body: Value,
    /// The query of the next page.
    pub(super) next: Option<String>,
}

impl ServerOptions {
    /// Reads what is not said from the configuration; dials nobody.
    pub(super) fn connect(&self) -> Result<Connection, Failure> {
        let said = self.login();
        let (base, config) = match &self.server {
            // The password of a server on this machine is for nobody else.
            Some(server) if said.is_some() || !is_of_this_machine(server) => (server.clone(), None),
            Some(server) => (server.clone(), Some(self.configuration()?)),
            None => {
                let config = self.configuration()?;
                (own_url(&config.server), Some(config))
            }
        };
        let login = match (said, config) {
            (Some(login), _) => Some(login),
            (None, Some(config)) => self.own_login(&config)?,
            (None, None) => None,
        };
        Ok(Connection {
            http: http_client(&base, self.server.is_none())?,
            base,
            login,
        })
    }

    fn login(&self) -> Option<Login> {
        if let Some(token) = &self.token {
            return Some(Login::Token(token.clone()));
        }
        let password = self.password.as_ref()?;
        Some(Login::Password(self.user.clone(), password.clone()))
    }

    fn configuration(&self) -> Result<Config, ConfigError> {
        let config = self.config.clone();
        ConfigFile { config }.load()
    }

    /// The login of who may read the server's own files.
    fn own_login(&self, config: &Config) -> Result<Option<Login>, CallError> {
        let password = match &config.access.admin_password {
            Some(password) => Some(password.clone()),
            None => FirstAdmin::kept(&config.storage.path).map_err(CallError::NoPassword)?,
        };
        Ok(password.map(|password| Login::Password(self.user.clone(), password)))
    }
}

impl Connection {
    /// One call; what it does may take as long as `patience`.
    pub(super) async fn call(
        &self,
        call: Call<'_>,
        patience: Duration,
    ) -> Result<Answer, CallError> {
        let mut url = self.url(call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        self.send(call.method, url, call.body, patience).await
    }

    /// The page of a list that the page before has named.
    pub(super) async fn page(&self, path: &str, query: &str) -> Result<Answer, CallError> {
        let mut url = self.url(path);
        url.set_query(Some(query));
        self.send(Method::GET, url, None, ANSWER_TIMEOUT).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}{PREFIX}{path}",
            self.base.path().trim_end_matches('/')
        ));
        url.set_query(None);
        url
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, CallError> {
        let unreachable = |source: reqwest::Error| CallError::Unreachable {
            url: self.base.clone(),
            source: source.without_url(),
        };
        let request = self.http.request(method, url).timeout(patience);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let request = match &self.login {
            None => request,
            Some(Login::Token(token)) => request.bearer_auth(token.expose()),
            Some(Login::Password(user, password)) => {
                request.basic_auth(user, Some(password.expose()))
            }
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(self.foreign("the answer does not end"));
            }
        }
        let next = next_query(response.headers());
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_text = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
        if !response.status().is_success() {
            return Err(self.failure(response.status(), &body));
        }
        let body = match body.as_slice() {
            [] => Value::Null,
            text if is_text => String::from_utf8_lossy(text).into(),
            json => serde_json::from_slice(json).map_err(|_| self.foreign("it is no JSON"))?,
        };
        Ok(Answer { body, next })
    }

    fn failure(&self, status: StatusCode, body: &[u8]) -> CallError {
        let Ok(problem) = serde_json::from_slice::<ProblemDetails>(body) else {
            return self.foreign(&format!("its status is {status}"));
        };
        let fields = problem.errors.iter();
        let fields: Vec<_> = fields
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        let detail = if fields.is_empty() {
            problem.detail
        } else {
            fields.join("; ")
        };
        match status {
            StatusCode::UNAUTHORIZED => CallError::Refused {
                url: self.base.clone(),
                detail,
                sent: self.sent(),
            },
            StatusCode::FORBIDDEN => CallError::Forbidden {
                url: self.base.clone(),
                detail,
            },
            StatusCode::NOT_FOUND => CallError::NotFound(detail),
            status => CallError::Failed { status, detail },
        }
    }

    fn sent(&self) -> Sent {
        match &self.login {
            None => Sent::Nothing,
            Some(Login::Token(_)) => Sent::Token,
            Some(Login::Password(user, _)) if user == FIRST_ADMIN => Sent::AdminPassword,
            Some(Login::Password(..)) => Sent::Password,
        }
    }

    /// The answer as an object of the API.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &Value) -> Result<T, CallError> {
        T::deserialize(body).map_err(|error| self.foreign(&error.to_string()))
    }

    fn foreign(&self, problem: &str) -> CallError {
        CallError::Foreign {
            url: self.base.clone(),
            problem: problem.to_owned(),
        }
    }
}

fn secret(text: &str) -> Result<Secret, &'static str> {
    if text.is_empty() {
        return Err("it must not be empty");
    }
    Ok(Secret::new(text.to_owned()))
}

fn is_of_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `is_own`: the server's own configuration says that it listens there.
fn http_client(url: &Url, is_own: bool) -> anyhow::Result<reqwest::Client> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let tls = if is_own {
        // The certificate names the public host and not the address that is listened on.
        let verifier = Arc::new(AcceptAny(provider));
        tls.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        tls.with_root_certificates(default_roots())
    };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none())
        .tls_backend_preconfigured(tls.with_no_client_auth());
    let builder = if is_own || is_of_this_machine(url) {
        builder.no_proxy()
    } else {
        builder
    };
    builder.build().context("cannot make an HTTP client")
}

/// From `Link: </path?query>; rel="next"`.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(header::LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    parameters
        .contains("rel=\"next\"")
        .then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_the_next_page_is_in_the_link() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_query(&headers), None);
        let link = "</api/v1/cache?limit=2&after=a%3A1>; rel=\"next\"";
        headers.insert(header::LINK, link.parse().unwrap());
        assert_eq!(next_query(&headers).as_deref(), Some("limit=2&after=a%3A1"));
    }

    fn options(folder: &std::path::Path, server: &str) -> ServerOptions {
        let config = folder.join("entrepot.toml");
        std::fs::write(&config, "[access]\nadmin_password = \"own\"").unwrap();
        ServerOptions {
            server: Some(server.parse().unwrap()),
            token: None,
            user: "admin".to_owned(),
            password: None,
            config: Some(config),
        }
    }

    #[test]
    fn the_password_of_the_server_here_is_not_sent_to_one_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let login = |server| {
            let connection = options(folder.path(), server).connect().ok().unwrap();
            connection.login
        };
        assert!(login("http://192.0.2.1:5000").is_none());
        let own = login("http://127.0.0.1:5000");
        assert!(matches!(own, Some(Login::Password(_, password)) if password.expose() == "own"));
    }

    #[test]
    fn a_refusal_knows_what_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |change: fn(&mut ServerOptions)| {
            let mut options = options(folder.path(), "http://192.0.2.1:5000");
            change(&mut options);
            let connection = options.connect().ok().unwrap();
            let body = r#"{"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "no"}"#;
            match connection.failure(StatusCode::UNAUTHORIZED, body.as_bytes()) {
                CallError::Refused { sent, .. } => sent,
                other => panic!("{other}"),
            }
        };
        assert_eq!(refused(|_| ()), Sent::Nothing);
        let token = refused(|options| options.token = Some(Secret::new("x".to_owned())));
        assert_eq!(token, Sent::Token);
        let admin = refused(|options| options.password = Some(Secret::new("x".to_owned())));
        assert_eq!(admin, Sent::AdminPassword);
        let ada = refused(|options| {
            options.password = Some(Secret::new("x".to_owned()));
            options.user = "ada".to_owned();
        });
        assert_eq!(ada, Sent::Password);
    }

    #[test]
    fn only_loopback_is_this_machine() {
        for (url, expected) in [
            ("http://127.0.0.1:5000", true),
            ("http://localhost:5000", true),
            ("http://[::1]:5000", true),
            ("http://10.0.0.1:5000", false),
            ("https://localhost.example.com", false),
        ] {
            assert_eq!(is_of_this_machine(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
