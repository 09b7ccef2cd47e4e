//! `entrepot healthcheck`: one small request to `/healthz`, for container images that hold nothing but this binary.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::Url;

use super::{ConfigFile, Failure};
use crate::{client::AcceptAny, config};

const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask this address instead of the configured one, such as `http://127.0.0.1:5000/healthz`
    #[arg(long)]
    url: Option<Url>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let url = match &options.url {
        Some(url) => url.clone(),
        None => configured(&options.file)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, check(&url))
            .await
            .map_err(|_| anyhow!("no answer from {url} within {TIMEOUT:?}"))?
            .with_context(|| format!("{url} is not healthy"))
    })?;
    println!("ok");
    Ok(())
}

fn configured(file: &ConfigFile) -> Result<Url, Failure> {
    let mut url = own_url(&file.load()?.server);
    url.set_path("/healthz");
    Ok(url)
}

/// The server that this configuration makes, as it is reached from this machine.
pub(super) fn own_url(server: &config::Server) -> Url {
    let scheme = if server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut address: SocketAddr = server.listen;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() {
            "127.0.0.1"
        } else {
            "::1"
        };
        address.set_ip(loopback.parse().expect("a loopback address parses"));
    }
    let url = format!("{scheme}://{address}/");
    url.parse().expect("an address makes a URL")
}

async fn check(url: &Url) -> anyhow::Result<()> {
    let host = url.host_str().context("the URL has no host")?;
    let port = url.port_or_known_default().context("the URL has no port")?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    match url.scheme() {
        "http" => ask(stream, host, url.path()).await,
        "https" => {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
            ask(connector()?.connect(name, stream).await?, host, url.path()).await
        }
        other => bail!("`{other}` is not http or https"),
    }
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> anyhow::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: entrepot-healthcheck\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status).await?;
    if &status == b"HTTP/1.1 200" {
        Ok(())
    } else {
        bail!("it answered {}", String::from_utf8_lossy(&status));
    }
}

fn connector() -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        // The certificate names the public host and not this address; nothing secret is sent, and only "alive" is heard.
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
