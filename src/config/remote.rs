//! `[[remote]]`: a registry elsewhere.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::Secret;

/// What kind of registry a remote is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    DockerRegistry,
    /// Completes names of one component with `library/`.
    DockerHub,
    Entrepot,
    Harbor,
    Ecr,
    Google,
    Azure,
    Ghcr,
    Quay,
    Gitlab,
    Aliyun,
    Tencent,
}

/// A registry elsewhere, with all that is needed to talk to it.
#[derive(Debug, Clone)]
pub struct Remote {
    pub name: String,
    pub provider: Provider,
    /// Tried in order; at least one; `http` or `https`; the path ends with `/`.
    pub urls: Vec<Url>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub verify_tls: bool,
    pub ca: Option<PathBuf>,
    /// (certificate, key), both PEM.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    pub proxy: Option<Url>,
    pub connect_timeout: Duration,
    pub header_timeout: Duration,
    /// Instead of `header_timeout` when something cached can be served.
    pub answer_timeout: Duration,
    pub idle_timeout: Duration,
    pub retry_for: Duration,
    /// Further hosts whose token realm is trusted.
    pub realms: Vec<String>,
    pub max_connections: Option<u32>,
    /// Bytes per second.
    pub bandwidth: Option<u64>,
}

impl Remote {
    /// True when requests carry no credentials of ours.
    pub fn is_anonymous(&self) -> bool {
        self.password.is_none()
    }
}
