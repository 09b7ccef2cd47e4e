//! Who we are at a remote: one login, or a way to get one that lasts for a while. Asked by `authorize` when a remote wants
//! to know; nothing is fetched for a remote that does not.
//!
//! - fixed: a name and a password, or a token, from the configuration
//! - `docker_config`: what `docker login` and `podman login` left behind, by host and repository
//! - `helper`: a program that speaks Docker's protocol for credential helpers
//! - `provider`: what a cloud's service gives out for an access key or for what this machine is
//!
//! The last three are kept until shortly before they expire (`renewal`).

mod docker_config;
mod helper;
mod login;
mod renewal;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use docker_config::DockerConfig;
use helper::Helper;
use url::Url;

use self::renewal::Renewal;
pub(super) use self::{
    login::Login,
    renewal::{CredentialError, Grant, Source},
};
use super::{ClientError, ErrorKind, provider};
use crate::config::{self, Provider};

/// The credentials of one remote.
pub(super) struct Credentials {
    remote: Arc<str>,
    kind: Kind,
}

enum Kind {
    None,
    Fixed(Arc<Login>),
    /// By server.
    Renewed(HashMap<String, Renewal>),
    DockerConfig(DockerConfig),
}

impl Credentials {
    /// Asks nobody. The error says what cannot be set up.
    pub(super) fn for_remote(remote: &config::Remote) -> Result<Self, String> {
        let kind = match &remote.credentials {
            config::Credentials::None => Kind::None,
            config::Credentials::Password { username, password } => {
                Kind::Fixed(Arc::new(Login::password(username, password.expose())))
            }
            config::Credentials::Token(token) => {
                let login = match provider::token_username(remote.provider) {
                    Some(username) => Login::password(username, token.expose()),
                    None => Login::token(token.expose()),
                };
                Kind::Fixed(Arc::new(login))
            }
            config::Credentials::Helper(program) => Kind::renewed(remote, |url| {
                let server = helper_key(remote.provider, url);
                Ok(Box::new(Helper::required(program.clone(), server)))
            })?,
            config::Credentials::DockerConfig(config) => {
                Kind::DockerConfig(DockerConfig::new(&remote.name, remote.provider, config))
            }
            config::Credentials::Cloud(cloud) => {
                Kind::renewed(remote, |url| provider::source(remote, cloud, url))?
            }
        };
        Ok(Self {
            remote: Arc::from(remote.name.as_str()),
            kind,
        })
    }

    /// This login, for the same remote.
    pub(super) fn with_login(&self, username: &str, password: &str) -> Self {
        Self {
            remote: Arc::clone(&self.remote),
            kind: Kind::Fixed(Arc::new(Login::password(username, password))),
        }
    }

    /// The login for a repository at one of the remote's URLs; `None`: we have none and ask as nobody.
    /// May be dropped: what is being fetched is fetched on, for whoever asks next.
    pub(super) async fn get(
        &self,
        url: &Url,
        repository: &str,
    ) -> Result<Option<Arc<Login>>, ClientError> {
        let login = match &self.kind {
            Kind::None => Ok(None),
            Kind::Fixed(login) => Ok(Some(Arc::clone(login))),
            Kind::Renewed(renewals) => match renewals.get(&server(url)) {
                Some(renewal) => renewal.get().await,
                None => Ok(None),
            },
            Kind::DockerConfig(config) => config.get(url, repository).await,
        };
        login.map_err(|error| self.failed(&error))
    }

    /// A login to try after one was refused; `None`: there is no other, or the refused one was only just made.
    pub(super) async fn renewed(
        &self,
        url: &Url,
        repository: &str,
        refused: &Arc<Login>,
    ) -> Result<Option<Arc<Login>>, ClientError> {
        let login = match &self.kind {
            Kind::None | Kind::Fixed(_) => Ok(None),
            Kind::Renewed(renewals) => match renewals.get(&server(url)) {
                Some(renewal) => renewal.renewed(refused).await,
                None => Ok(None),
            },
            Kind::DockerConfig(config) => config.renewed(url, repository, refused).await,
        };
        let login = login.map_err(|error| self.failed(&error))?;
        Ok(login.filter(|login| login != refused))
    }

    /// Who gives out logins may be away for a while, as the remote itself may be.
    fn failed(&self, error: &CredentialError) -> ClientError {
        let message = format!("no login for it: {}", error.what);
        let kind = match error.is_refusal {
            true => ErrorKind::Credentials,
            false => ErrorKind::Unreachable,
        };
        ClientError::new(kind, &self.remote, message)
    }
}

impl Kind {
    fn renewed(
        remote: &config::Remote,
        source: impl Fn(&Url) -> Result<Box<dyn Source>, String>,
    ) -> Result<Self, String> {
        let renewals = remote.urls.iter().map(|url| {
            let renewal = Renewal::new(&remote.name, source(url)?);
            Ok((server(url), renewal))
        });
        Ok(Self::Renewed(renewals.collect::<Result<_, String>>()?))
    }
}

/// Host, and port if it is not the scheme's own.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The name under which `docker login` keeps a server: Docker Hub's is older than its registry.
fn helper_key(provider: Provider, url: &Url) -> String {
    match provider {
        Provider::DockerHub => "https://index.docker.io/v1/".to_owned(),
        _ => server(url),
    }
}
