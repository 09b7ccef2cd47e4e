//! `Builder`: sets up a fake registry before it starts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::auth::Issuer;
use super::content::Content;
use super::listener::{Port, Service};
use super::options::{Auth, Options, Referrers};
use super::pace::Pace;
use super::registry::FakeRegistry;
use super::server::Server;
use super::tls::{Authority, ClientCertificates};

/// Options of a server that is not running yet.
#[must_use = "a builder does nothing until it is started"]
pub(crate) struct Builder {
    options: Options,
    address: Ipv4Addr,
    content: Arc<Content>,
    issuer: Arc<Issuer>,
    shared_bandwidth: Option<u64>,
    authority: Option<Arc<Authority>>,
    client_certificates: ClientCertificates,
    protocols: &'static [&'static str],
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            options: Options::default(),
            address: Ipv4Addr::LOCALHOST,
            content: Arc::default(),
            issuer: Arc::default(),
            shared_bandwidth: None,
            authority: None,
            client_certificates: ClientCertificates::NotAsked,
            protocols: &["h2", "http/1.1"],
        }
    }
}

// === impl Builder ===

impl Builder {
    /// Another loopback address than 127.0.0.1, to be another host.
    pub(crate) fn address(mut self, address: [u8; 4]) -> Self {
        self.address = address.into();
        self
    }

    /// Any option that has no method of its own.
    pub(crate) fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        self.options(|options| options.auth = Auth::Basic { user, password })
    }

    /// Tokens for everybody who asks.
    pub(crate) fn bearer(self) -> Self {
        self.options(|options| options.auth = Auth::Bearer { account: None })
    }

    /// Tokens for this account only.
    pub(crate) fn bearer_account(self, user: &str, password: &str) -> Self {
        let account = Some((user.to_owned(), password.to_owned()));
        self.options(|options| options.auth = Auth::Bearer { account })
    }

    /// Anonymous tokens, and 401 for repositories that do not exist, as Docker Hub does.
    pub(crate) fn like_docker_hub(self) -> Self {
        self.bearer()
            .options(|options| options.hides_unknown = true)
    }

    /// Sends clients to another server's token endpoint, whose tokens are good here.
    pub(crate) fn tokens_from(mut self, other: &FakeRegistry) -> Self {
        self.issuer = Arc::clone(&other.server.issuer);
        self.realm(&format!("{}/token", other.url()))
    }

    /// The realm of challenges, whoever listens there.
    pub(crate) fn realm(self, url: &str) -> Self {
        self.options(|options| options.realm = Some(url.to_owned()))
    }

    /// Blobs are answered with 307 to `cdn`, which holds the same content.
    pub(crate) fn redirect_blobs_to(mut self, cdn: &FakeRegistry) -> Self {
        self.content = Arc::clone(&cdn.server.content);
        self.options(|options| options.redirect_blobs = Some(cdn.url().to_owned()))
    }

    /// The same content under another address, as a second URL of one remote.
    pub(crate) fn content_of(mut self, other: &FakeRegistry) -> Self {
        self.content = Arc::clone(&other.server.content);
        self
    }

    pub(crate) fn page_size(self, tags: usize) -> Self {
        self.options(|options| options.page_size = tags)
    }

    pub(crate) fn referrers(self, how: Referrers) -> Self {
        self.options(|options| options.referrers = how)
    }

    pub(crate) fn latency(self, latency: Duration) -> Self {
        self.options(|options| options.latency = latency)
    }

    /// Bytes per second of each connection.
    pub(crate) fn bandwidth(self, bytes_per_second: u64) -> Self {
        self.options(|options| options.bandwidth = Some(bytes_per_second))
    }

    /// Bytes per second of all connections together.
    pub(crate) fn shared_bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.shared_bandwidth = Some(bytes_per_second);
        self
    }

    /// HTTPS (HTTP/2 and HTTP/1.1 by ALPN) with a certificate of this authority.
    pub(crate) fn tls(mut self, authority: &Arc<Authority>) -> Self {
        self.authority = Some(Arc::clone(authority));
        self
    }

    /// With `tls`: offers HTTP/1.1 only, so that the faults below HTTP can be played.
    pub(crate) fn http1_only(mut self) -> Self {
        self.protocols = &["http/1.1"];
        self
    }

    /// With `tls`: clients must show a certificate of the same authority.
    pub(crate) fn require_client_certificate(mut self) -> Self {
        self.client_certificates = ClientCertificates::Required;
        self
    }

    #[expect(
        clippy::unused_async,
        reason = "starting needs a runtime, and callers should see that"
    )]
    pub(crate) async fn start(self) -> FakeRegistry {
        let port = Port::reserve((self.address, 0).into()).expect("loopback has free ports");
        let tls = self
            .authority
            .map(|authority| authority.server_config(self.client_certificates, self.protocols));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", port.address);
        let shared_pace = self.shared_bandwidth.map(|rate| Arc::new(Pace::new(rate)));
        let server = Arc::new(Server::new(
            url,
            self.content,
            self.issuer,
            self.options,
            shared_pace,
        ));
        let service = Service::Answering {
            server: Arc::clone(&server),
            tls: tls.clone(),
        };
        let running = port.listen(service).expect("the port was just reserved");
        FakeRegistry {
            server,
            port,
            tls,
            running: Mutex::new(Some(running)),
        }
    }
}
