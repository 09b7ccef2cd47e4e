//! `[server]`

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Where and how the server listens.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    pub mirror_listen: Option<SocketAddr>,
    pub tls: Option<TlsFiles>,
    pub shutdown_grace: Duration,
    pub trusted_proxies: Vec<ipnet::IpNet>,
    pub public_url: Option<url::Url>,
}

/// PEM files, re-read when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}
