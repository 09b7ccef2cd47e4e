//! One URL of a remote with its HTTP client, and the exchange of one request with it: redirects, metrics, log.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use url::Url;

use super::{
    ClientError, ErrorKind,
    authorize::Scheme,
    budget::{Budget, Cost},
    error::Failure,
    guard::{Guard, GuardedResolver},
    health::{self, Health},
    redirect::Trail,
};
use crate::{
    config,
    telemetry::{Metrics, traces},
};

const MAX_IDLE_CONNECTIONS: usize = 32;
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What every request of one remote has in common.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) remote: Arc<str>,
    pub(super) metrics: Metrics,
    pub(super) header_timeout: Duration,
    pub(super) answer_timeout: Duration,
}

/// One URL of a remote.
pub(super) struct Endpoint {
    /// Its path ends with `/`.
    pub(super) url: Url,
    /// How it wanted to be asked last time.
    pub(super) scheme: ArcSwapOption<Scheme>,
    pub(super) health: Health,
    pub(super) budget: Budget,
    /// Ends its watches.
    stop: CancellationToken,
    http: reqwest::Client,
    guard: Arc<Guard>,
}

/// A request as it leaves; the credentials apart, since a redirect may drop them.
pub(super) struct Outgoing<'a> {
    /// For metrics and log.
    pub(super) kind: &'static str,
    pub(super) method: &'a Method,
    pub(super) url: Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) authorization: Option<&'a HeaderValue>,
    pub(super) body: Payload,
}

/// What a request brings; it goes to the origin that is asked and to no other.
pub(super) enum Payload {
    Nothing,
    Whole(Bytes),
    /// Can be sent once; gone then.
    Once(Option<reqwest::Body>),
}

impl Payload {
    /// What to send now.
    fn next(&mut self, remote: &Arc<str>) -> Result<Option<reqwest::Body>, ClientError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Whole(bytes) => Ok(Some(bytes.clone().into())),
            Self::Once(body) => match body.take() {
                Some(body) => Ok(Some(body)),
                None => Err(ClientError::invalid(remote, "redirects an upload")),
            },
        }
    }
}

/// An answer, after all redirects.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) response: reqwest::Response,
    /// It came from another origin than the one asked.
    pub(super) foreign: bool,
    /// From one that was asked for the same thing, as a registry that stands in for another is.
    same_thing: bool,
}

impl Incoming {
    /// "Not there" from a content server: it has lost what the registry promised, and nobody has said that it is gone.
    pub(super) fn knows_nothing(&self) -> bool {
        self.foreign && !self.same_thing && self.response.status() == StatusCode::NOT_FOUND
    }
}

impl Endpoint {
    pub(super) fn new(
        remote: &config::Remote,
        url: Url,
        tls: ClientConfig,
        metrics: &Metrics,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        let proxies = proxy_hosts(remote.proxy.as_ref());
        let guard = Arc::new(Guard::new(&url, &remote.realms, proxies));
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(GuardedResolver(Arc::clone(&guard)))
            .redirect(Policy::none())
            .referer(false)
            // Retries are decided in one place, and counted.
            .retry(reqwest::retry::never())
            .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(remote.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(IDLE_CONNECTION_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .http2_adaptive_window(true)
            // A connection that died unnoticed would take every request and every probe with it.
            .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
            .http2_keep_alive_while_idle(true)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES);
        if let Some(proxy) = &remote.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| error.to_string())?;
            builder = builder.proxy(proxy);
        }
        let label = url.as_str().trim_end_matches('/');
        Ok(Self {
            health: Health::new(metrics.remote_healthy(&remote.name, label)),
            budget: Budget::new(remote.rate_reserve),
            url,
            scheme: ArcSwapOption::empty(),
            stop,
            http: builder.build().map_err(|error| error.to_string())?,
            guard,
        })
    }

    /// Sends a request and follows where it is led.
    pub(super) async fn exchange(
        &self,
        wire: &Wire,
        mut outgoing: Outgoing<'_>,
    ) -> Result<Incoming, Failure> {
        let mut trail = Trail::new(&self.guard, outgoing.url.clone());
        loop {
            let authorization = outgoing.authorization.filter(|_| !trail.left_origin());
            let response = self
                .send(wire, &mut outgoing, trail.url(), authorization)
                .await?;
            let followed = trail
                .follow(response.status(), response.headers())
                .map_err(|why| ClientError::invalid(&wire.remote, why))?;
            if !followed {
                return Ok(Incoming {
                    foreign: trail.left_origin(),
                    same_thing: is_same_thing(&outgoing.url, trail.url()),
                    response,
                });
            }
            if !matches!(outgoing.body, Payload::Nothing) && trail.left_origin() {
                let message = "redirects a request that is for it alone to another server";
                return Err(ClientError::invalid(&wire.remote, message).into());
            }
        }
    }

    /// Takes note of how a call that began then has ended; `None`: well.
    pub(super) fn note(self: &Arc<Self>, wire: &Wire, began: Instant, failure: Option<&Failure>) {
        let outage = |failure: &&Failure| {
            let kind = failure.error.kind;
            matches!(kind, ErrorKind::Unreachable | ErrorKind::TimedOut)
        };
        let Some(failure) = failure.filter(outage) else {
            return self.health.answered(Instant::now());
        };
        let Some(opening) = self.health.failed(failure, began) else {
            return;
        };
        tracing::warn!(remote = %wire.remote, url = %self.url, error = %failure.error, "a URL of a remote is passed over until it answers again");
        let watch = health::watch(Arc::clone(self), wire.clone(), opening);
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(watch));
    }

    /// Takes note if this is the registry's 429, and says in it until when nothing will be sent.
    pub(super) fn note_limit(&self, cost: Cost, mut failure: Failure) -> Failure {
        if failure.error.kind == ErrorKind::RateLimited {
            let asked = failure.error.retry_after;
            let wait = self.budget.refuse(asked, cost, Instant::now());
            failure.error.retry_after = Some(wait);
        }
        failure
    }

    /// Does anybody answer there? What they say of our rights is another matter.
    pub(super) async fn probe(&self, wire: &Wire) -> Result<(), Failure> {
        let url = self.url.join("v2/");
        let outgoing = Outgoing {
            kind: "probe",
            method: &Method::GET,
            url: url.map_err(|error| ClientError::invalid(&wire.remote, error.to_string()))?,
            headers: &HeaderMap::new(),
            authorization: None,
            body: Payload::Nothing,
        };
        let longest = wire.header_timeout.min(PROBE_TIMEOUT);
        let answered = timeout(longest, self.exchange(wire, outgoing)).await;
        let unwell = |kind, message| Err(ClientError::new(kind, &wire.remote, message).into());
        match answered {
            Ok(Ok(incoming)) if !incoming.response.status().is_server_error() => Ok(()),
            Ok(Ok(incoming)) => unwell(
                ErrorKind::Unreachable,
                format!("answered {}", incoming.response.status().as_u16()),
            ),
            Ok(Err(failure)) => Err(failure),
            Err(_) => unwell(ErrorKind::TimedOut, "no answer in time".to_owned()),
        }
    }

    async fn send(
        &self,
        wire: &Wire,
        outgoing: &mut Outgoing<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, Failure> {
        let Outgoing { kind, method, .. } = outgoing;
        let mut request = reqwest::Request::new((*method).clone(), url.clone());
        request.headers_mut().clone_from(outgoing.headers);
        *request.body_mut() = outgoing.body.next(&wire.remote)?;
        if let Some(value) = authorization {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, value.clone());
        }
        let span = traces::remote_span(&wire.remote, kind, method, url.host_str());
        // Whom a remote redirects to is no part of the trace.
        if url.origin() == self.url.origin() {
            traces::inject(&span, request.headers_mut());
        }
        let sent = Instant::now();
        let result = self.http.execute(request).instrument(span.clone()).await;
        let latency = sent.elapsed();
        let status = result
            .as_ref()
            .map_or(0, |response| response.status().as_u16());
        traces::end_remote(&span, status);
        wire.metrics
            .remote_request(&wire.remote, kind, static_name(method), status, latency);
        tracing::debug!(
            remote = %wire.remote,
            kind,
            %method,
            host = url.host_str(),
            path = url.path(),
            status,
            duration_ms = latency.as_millis(),
            "asked a remote"
        );
        result.map_err(|error| Failure::of_request(&wire.remote, error))
    }
}

/// Do both paths end with the same two components, such as `manifests/latest`?
fn is_same_thing(asked: &Url, at: &Url) -> bool {
    let last_two = |url: &Url| {
        let mut components = url.path_segments()?.rev().map(str::to_owned);
        Some([components.next()?, components.next()?])
    };
    let asked = last_two(asked);
    asked.is_some() && asked == last_two(at)
}

/// As a label of metrics.
pub(super) fn static_name(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "GET",
    }
}

/// The hosts that requests may go through: the remote's own proxy, else the environment's.
fn proxy_hosts(own: Option<&Url>) -> HashSet<String> {
    if let Some(proxy) = own {
        return proxy.host_str().map(str::to_owned).into_iter().collect();
    }
    let environment = Matcher::from_system();
    let probes = ["http://probe.invalid/", "https://probe.invalid/"].map(http::Uri::from_static);
    let found = probes.iter().filter_map(|uri| environment.intercept(uri));
    let hosts = found.filter_map(|proxy| proxy.uri().host().map(str::to_lowercase));
    hosts.collect()
}
