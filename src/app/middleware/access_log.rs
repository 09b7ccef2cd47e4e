//! One line per request, written when its body has ended or was cut, and the counts that go with it.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ipnet::IpNet;

use super::{
    client_address::{Peer, client_address},
    recorded_body::{RecordedBody, Recorder},
    request_id::RequestId,
};
use crate::{
    config::Project,
    oci::header::X_CACHE,
    telemetry::{Metrics, log::ACCESS_TARGET},
    v2::Served,
};

/// Long downloads are counted while they run, so often.
const COUNT_EVERY_BYTES: u64 = 8 << 20;
/// More of a path or a user agent says nothing more.
const MAX_LOGGED_BYTES: usize = 512;

/// What the layer needs; cheap to clone.
#[derive(Clone)]
pub(in crate::app) struct AccessLog {
    metrics: Metrics,
    trusted_proxies: Arc<[IpNet]>,
}

impl AccessLog {
    pub(in crate::app) fn new(metrics: Metrics, trusted_proxies: Vec<IpNet>) -> Self {
        Self {
            metrics,
            trusted_proxies: trusted_proxies.into(),
        }
    }
}

pub(in crate::app) async fn log_access(
    State(log): State<AccessLog>,
    request: Request,
    next: Next,
) -> Response {
    let route = route(request.uri().path());
    let mut line = Line::new(&log, &request, route);
    let response = next.run(request).await;
    line.headers_sent(&response);
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::new(RecordedBody::new(body, line)))
}

/// A word from a closed list; the Distribution API says more in its answer.
fn route(path: &str) -> &'static str {
    match path {
        "/" => "about",
        "/healthz" => "healthz",
        "/readyz" => "readyz",
        "/metrics" => "metrics",
        "/v2" => "v2",
        _ if path.starts_with("/v2/") => "v2",
        _ if path.starts_with("/api/") => "api",
        _ => "unknown",
    }
}

/// What is known of one request; dropped before its headers, the client has left.
struct Line {
    metrics: Metrics,
    started: Instant,
    method: Method,
    path: String,
    client: Option<IpAddr>,
    user_agent: String,
    request_id: HeaderValue,
    route: &'static str,
    answer: Option<Answered>,
    bytes: u64,
    written: bool,
}

struct Answered {
    status: StatusCode,
    outcome: Option<HeaderValue>,
    project: Option<Arc<Project>>,
    /// Bytes not yet in the count of the project.
    uncounted: u64,
}

impl Line {
    fn new(log: &AccessLog, request: &Request, route: &'static str) -> Self {
        let headers = request.headers();
        let extensions = request.extensions();
        Self {
            metrics: log.metrics.clone(),
            started: Instant::now(),
            method: request.method().clone(),
            path: shortened(request.uri().path()),
            client: extensions
                .get::<Peer>()
                .map(|peer| client_address(peer.0.ip(), headers, &log.trusted_proxies)),
            user_agent: user_agent(headers),
            request_id: extensions
                .get::<RequestId>()
                .map_or(HeaderValue::from_static(""), |id| id.0.clone()),
            route,
            answer: None,
            bytes: 0,
            written: false,
        }
    }

    fn headers_sent(&mut self, response: &Response) {
        let served = response.extensions().get::<Served>();
        if let Some(served) = served {
            self.route = served.kind;
        }
        self.metrics.http_request(
            self.route,
            method_label(&self.method),
            response.status().as_u16(),
            self.started.elapsed(),
        );
        self.answer = Some(Answered {
            status: response.status(),
            outcome: response.headers().get(X_CACHE).cloned(),
            project: served.and_then(|served| served.project.clone()),
            uncounted: 0,
        });
    }

    fn count(&mut self, at_least: u64) {
        if let Some(answer) = &mut self.answer
            && answer.uncounted >= at_least
            && let Some(project) = &answer.project
        {
            self.metrics.client_bytes(&project.name, answer.uncounted);
            answer.uncounted = 0;
        }
    }

    fn write(&mut self, complete: bool) {
        self.written = true;
        self.count(1);
        if !complete {
            self.metrics.http_aborted(self.route);
        }
        let status = self
            .answer
            .as_ref()
            .map_or(0, |answer| answer.status.as_u16());
        let outcome = self
            .answer
            .as_ref()
            .and_then(|answer| answer.outcome.as_ref()?.to_str().ok())
            .unwrap_or_default();
        tracing::info!(
            target: ACCESS_TARGET,
            method = %self.method,
            path = self.path,
            status,
            bytes = self.bytes,
            duration_ms = milliseconds(self.started.elapsed()),
            outcome,
            aborted = !complete,
            client = self.client.map(tracing::field::display),
            user_agent = self.user_agent,
            request_id = self.request_id.to_str().unwrap_or_default(),
            "{} {} {status}", self.method, self.path,
        );
    }
}

impl Recorder for Line {
    fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(answer) = &mut self.answer {
            answer.uncounted += bytes;
        }
        self.count(COUNT_EVERY_BYTES);
    }

    fn ended(&mut self, complete: bool) {
        // What HEAD would send is never asked for.
        self.write(complete || self.method == Method::HEAD);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.written {
            self.write(false);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    shortened(
        agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default(),
    )
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_LOGGED_BYTES)].to_owned()
}

/// Methods are the client's words; labels come from a closed list.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
