//! `[server]`

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use super::{
    ConfigError,
    error::Problem,
    section::Section,
    value::{address, count, duration, network, origin_url},
};

/// Where and how the server listens.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// A second, pull-only listener for mirror projects.
    pub mirror_listen: Option<SocketAddr>,
    pub tls: Option<TlsFiles>,
    /// How long running requests may go on after a SIGTERM.
    pub shutdown_grace: Duration,
    /// Networks whose `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// How many requests of the Distribution API one client may send; `None`: as many as it likes.
    pub requests_per_second: Option<NonZeroU32>,
    /// This server as clients see it: scheme, host and port.
    pub public_url: Option<url::Url>,
}

/// PEM files, re-read when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

impl Server {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let server = Self {
            listen: section.take("listen", address)?.unwrap_or(LISTEN),
            mirror_listen: section.take("mirror_listen", address)?,
            tls: read_tls(&mut section)?,
            shutdown_grace: section
                .take("shutdown_grace", duration)?
                .unwrap_or(Duration::from_secs(30)),
            trusted_proxies: section
                .take_list("trusted_proxies", network)?
                .unwrap_or_default(),
            requests_per_second: section
                .take("requests_per_second", count)?
                .and_then(NonZeroU32::new),
            public_url: section.take("public_url", origin_url)?,
        };
        if server.mirror_listen == Some(server.listen) && server.listen.port() != 0 {
            let problem = Problem::new("must be another address or port than `server.listen`");
            return Err(section.error("mirror_listen", problem));
        }
        section.finish()?;
        Ok(server)
    }
}

fn read_tls(section: &mut Section<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    let mut tls = section.table("tls")?;
    if !tls.is_set() {
        return Ok(None);
    }
    let (cert, key) = (tls.file("cert")?, tls.file("key")?);
    let missing = |tls: &Section<'_>, key| {
        Err(tls.error(key, Problem::new("missing; `cert` and `key` go together")))
    };
    match (cert, key) {
        (Some(cert), Some(key)) => {
            tls.finish()?;
            Ok(Some(TlsFiles { cert, key }))
        }
        (None, _) => missing(&tls, "cert"),
        (_, None) => missing(&tls, "key"),
    }
}
