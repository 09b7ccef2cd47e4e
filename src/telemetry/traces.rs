//! OpenTelemetry traces: one span for each request of a client, each request to a remote, each fill; sent by OTLP over
//! HTTP. Off unless an endpoint is configured: then no span of `TARGET` is ever made.
//!
//! What the SDK takes from the standard variables itself: headers and time limit of the exporter, the sampler, the
//! resource's attributes, the size of its queue. A collector that cannot be reached costs nobody anything: the queue is
//! bounded, and what does not fit is dropped.

use std::{
    fmt::Display,
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::runtime::Handle;
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The target of all spans that are for traces and not for the log.
pub(super) const TARGET: &str = "traces";
/// The scope's name.
const TRACER: &str = "entrepot";
/// A collector that does not answer holds up the end of the process no longer than this.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

static W3C: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// Why traces cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("no HTTP client for the collector of traces: {0}")]
    Client(#[source] reqwest::Error),
    #[error("no exporter of traces: {0}")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// The way of all spans to the collector.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends spans to `endpoint`, the whole URL, from tasks on the current runtime. `tls` says whom to trust.
    pub fn start(
        endpoint: &url::Url,
        service: &str,
        tls: rustls::ClientConfig,
    ) -> Result<Self, TracesError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(TracesError::Client)?;
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_endpoint(endpoint.as_str())
            .build()
            .map_err(TracesError::Exporter)?;
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(Exporter::new(exporter))
            .build();
        Ok(Self { provider })
    }

    /// Takes the spans of this process that are for traces.
    pub(super) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(TRACER))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET))
            .boxed()
    }

    /// Sends what is left, within a few seconds; spans that end later are lost.
    pub async fn flush(self) {
        let flush = move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent: {error}"),
            Err(panic) => tracing::warn!(%panic, "the last traces were not sent"),
        }
    }
}

/// Exports on the runtime: the SDK calls from a thread of its own, where no socket can be waited for.
#[derive(Debug)]
struct Exporter {
    otlp: Arc<OtlpExporter>,
    runtime: Handle,
    /// Did the last export fail? Told once, not every few seconds.
    failing: AtomicBool,
}

impl Exporter {
    fn new(otlp: OtlpExporter) -> Self {
        Self {
            otlp: Arc::new(otlp),
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        }
    }

    fn tell(&self, result: &OTelSdkResult) {
        let failing = result.is_err();
        if self.failing.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        match result {
            Ok(()) => tracing::info!("traces are sent again"),
            Err(error) => tracing::warn!(%error, "traces cannot be sent and are dropped: {error}"),
        }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let otlp = Arc::clone(&self.otlp);
        let sent = self.runtime.spawn(async move { otlp.export(batch).await });
        let result = sent
            .await
            .unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        self.tell(&result);
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}

/// A client's request. Its trace goes on from the client's own `traceparent`; [`end_request`] says how it went.
pub fn request_span(method: &Method, headers: &HeaderMap, client: Option<IpAddr>) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
        http.response.body.size = Empty,
        client.address = client.map(tracing::field::display),
        entrepot.repository = Empty,
        entrepot.outcome = Empty,
        entrepot.aborted = Empty,
    );
    if !span.is_disabled() {
        continue_trace(&span, &W3C.extract(&Headers(headers)));
    }
    span
}

/// How a client's request went.
pub struct RequestEnd<'a> {
    pub method: &'a str,
    /// From a closed list.
    pub route: &'static str,
    /// 0: the client left before there was an answer.
    pub status: u16,
    pub bytes: u64,
    pub repository: Option<&'a str>,
    pub outcome: &'a str,
    pub aborted: bool,
}

/// Completes the span of a client's request.
pub fn end_request(span: &Span, end: &RequestEnd<'_>) {
    if span.is_disabled() {
        return;
    }
    let name = format!("{} {}", end.method, end.route);
    span.context().span().update_name(name);
    span.record("http.route", end.route);
    span.record("http.response.status_code", end.status);
    span.record("http.response.body.size", end.bytes);
    span.record("entrepot.aborted", end.aborted);
    if let Some(repository) = end.repository {
        span.record("entrepot.repository", repository);
    }
    if !end.outcome.is_empty() {
        span.record("entrepot.outcome", end.outcome);
    }
    if end.status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// A request to a remote, as a part of what goes on now; [`end_remote`] says how it went.
pub fn remote_span(remote: &str, kind: &'static str, method: &Method, host: Option<&str>) -> Span {
    info_span!(
        target: TARGET,
        "remote",
        otel.kind = "client",
        otel.name = format_args!("remote {method} {kind}"),
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.response.status_code = Empty,
        server.address = host,
        entrepot.remote = remote,
        entrepot.kind = kind,
    )
}

/// Completes the span of a request to a remote; status 0: no answer.
pub fn end_remote(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status == 0 || status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Work that goes on without the request that began it, such as a fill: in the request's trace, but with a span and an
/// end of its own. [`end_work`] says how it went.
pub fn work_span(name: &'static str, digest: Option<&dyn Display>) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "work",
        otel.name = name,
        otel.status_code = Empty,
        entrepot.digest = digest.map(tracing::field::display),
        entrepot.bytes = Empty,
    );
    if !span.is_disabled() {
        continue_trace(&span, &Span::current().context());
    }
    span
}

/// Says in the current work's span how it went.
pub fn end_work(bytes: Option<u64>, succeeded: bool) {
    let span = Span::current();
    if let Some(bytes) = bytes {
        span.record("entrepot.bytes", bytes);
    }
    if !succeeded {
        span.record("otel.status_code", "ERROR");
    }
}

/// Puts the span's `traceparent` on a request.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        W3C.inject_context(&span.context(), &mut HeadersMut(headers));
    }
}

fn continue_trace(span: &Span, context: &opentelemetry::Context) {
    if context.span().span_context().is_valid() {
        // It was just made, by the layer that made it possible: neither begun nor of another layer.
        let _ = span.set_parent(context.clone());
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::try_from(key);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
