//! What wraps a request to a remote, as one list from outside in:
//!
//! 1. patience: one deadline for all that follows (`retry`)
//! 2. retries: rounds over the URLs, with jittered waits (`failover`, `retry`)
//! 3. URL choice: in order, those that answer (`failover`, `health`) and whose limit allows it (`budget`)
//! 4. a slot among `max_connections` (`limit`)
//! 5. authorization, renewed once after a 401 (`authorize`, `challenge`, `token`)
//! 6. redirects, by hand (`redirect`, `guard`)
//! 7. the exchange itself: connection, metrics, log (`endpoint`)
//! 8. the status as an error (here), the body with its limits (`body`)

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::{
    BlobStreamBody, ClientError, ErrorKind, Presence, Priority, SetupError,
    authorize::{Authorizer, Carried},
    body::{BodyContext, read_bounded},
    budget::Cost,
    document,
    endpoint::{Endpoint, Incoming, Outgoing, Payload, Wire},
    error::{Failure, clean},
    limit::{Limits, Slot},
    range::content_length,
    retry, tls,
};
use crate::{config, telemetry::Metrics};

const MAX_ERROR_BODY_BYTES: u64 = 16 * 1024;
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// One question to a remote.
pub(super) struct Call {
    /// For metrics and log: manifest, blob, tags, referrers, manage.
    pub(super) kind: &'static str,
    pub(super) method: Method,
    /// Path and query below each URL of the remote.
    pub(super) path: String,
    /// What a token must allow.
    pub(super) scope: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    /// 206 is an answer too.
    pub(super) takes_parts: bool,
    /// Which URL is asked first, by its place in the list.
    pub(super) first_url: usize,
    /// A later page or a step of an upload session, at the URL (by its place in the list) that gave the one before.
    pub(super) page: Option<(usize, Url)>,
}

impl Call {
    /// Its content is judged by its digest and by nothing else.
    fn is_download(&self) -> bool {
        self.kind == "blob" && self.method == Method::GET
    }

    /// A web page is no answer to it. What reads referrers judges that itself.
    fn takes_no_pages(&self) -> bool {
        self.is_small_question() && self.kind != "referrers"
    }

    /// Its answer is small and should come soon.
    pub(super) fn is_small_question(&self) -> bool {
        self.is_question() && !self.is_download()
    }

    /// It goes to what is beside the registry, which wants our login and knows no tokens of the registry.
    fn is_management(&self) -> bool {
        self.kind == "manage"
    }

    /// It is there to be read.
    fn is_question(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// What it takes of a rate limit.
    pub(super) fn cost(&self) -> Cost {
        if self.kind == "manifest" && self.method == Method::GET {
            Cost::Pull
        } else {
            Cost::Other
        }
    }
}

/// A good answer, its body still to be read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: BlobStreamBody,
    /// Which of the remote's URLs answered, by its place in the list, and what it was asked.
    pub(super) endpoint: usize,
    pub(super) url: Url,
}

/// A good answer with its whole body.
pub(super) struct Document {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) endpoint: usize,
    pub(super) url: Url,
}

/// The way to one remote.
pub(super) struct Transport {
    pub(super) wire: Wire,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) authorizer: Authorizer,
    pub(super) limits: Limits,
    body: BodyContext,
    /// Why it refused our login when it was last pinged.
    pub(super) refusal: ArcSwapOption<String>,
    /// It has told the version of a tag.
    pub(super) keeps_versions: AtomicBool,
    /// It has told of a tag, and not the version.
    pub(super) keeps_none: AtomicBool,
    /// Ends what watches the URLs.
    watches: Arc<DropGuard>,
}

/// One try of a call: at which URL, by its place in the list, with what.
pub(super) struct Try {
    pub(super) place: usize,
    pub(super) url: Url,
    pub(super) slot: Slot,
    pub(super) priority: Priority,
}

impl Transport {
    pub(super) fn new(
        remote: &config::Remote,
        metrics: Metrics,
        limits: Limits,
    ) -> Result<Self, SetupError> {
        let failed = |message| SetupError {
            remote: remote.name.clone(),
            message,
        };
        let tls = tls::client_config(remote).map_err(failed)?;
        let stop = CancellationToken::new();
        let endpoints = remote.urls.iter().map(|url| {
            let (url, tls, stop) = (url.clone(), tls.clone(), stop.clone());
            Endpoint::new(remote, url, tls, &metrics, stop).map(Arc::new)
        });
        let endpoints = endpoints.collect::<Result<_, _>>().map_err(failed)?;
        let name: Arc<str> = Arc::from(remote.name.as_str());
        let body = BodyContext {
            remote: Arc::clone(&name),
            metrics: metrics.clone(),
            idle_timeout: remote.idle_timeout,
            bandwidth: limits.bandwidth.clone(),
            priority: Priority::Foreground,
        };
        let wire = Wire {
            remote: name,
            metrics,
            header_timeout: remote.header_timeout,
            answer_timeout: remote.answer_timeout,
        };
        Ok(Self {
            wire,
            endpoints,
            authorizer: Authorizer::new(remote).map_err(failed)?,
            limits,
            body,
            refusal: ArcSwapOption::empty(),
            keeps_versions: AtomicBool::new(false),
            keeps_none: AtomicBool::new(false),
            watches: Arc::new(stop.drop_guard()),
        })
    }

    /// The same way, gone by somebody else: connections, limits and what is known of the URLs are shared, tokens are not.
    pub(super) fn with_login(&self, username: &str, password: &str) -> Self {
        Self {
            wire: self.wire.clone(),
            endpoints: self.endpoints.clone(),
            authorizer: self.authorizer.with_login(username, password),
            limits: self.limits.clone(),
            body: self.body.clone(),
            refusal: ArcSwapOption::empty(),
            keeps_versions: AtomicBool::new(false),
            keeps_none: AtomicBool::new(false),
            watches: Arc::clone(&self.watches),
        }
    }

    pub(super) fn remote(&self) -> &Arc<str> {
        &self.wire.remote
    }

    /// At the best of its URLs.
    pub(super) fn presence(&self) -> Presence {
        let presences = self.endpoints.iter().map(|at| at.health.presence());
        presences.min().unwrap_or(Presence::Gone)
    }

    /// Layers 5 to 8, once.
    pub(super) async fn attempt(&self, call: &Call, at: Try) -> Result<Answer, Failure> {
        let endpoint = &self.endpoints[at.place];
        // Content and changes may take their time.
        let soon = match call.is_small_question() {
            true => self.wire.answer_timeout,
            false => Duration::MAX,
        };
        let answer = Box::pin(self.attempt_alone(call, at));
        endpoint.health.await_answer(answer, soon).await
    }

    async fn attempt_alone(&self, call: &Call, at: Try) -> Result<Answer, Failure> {
        let endpoint = &self.endpoints[at.place];
        // Boxed: large, and part of every future that asks a remote.
        let authorized = Box::pin(self.authorized(call, endpoint, &at.url)).await;
        // Of a failure here: the token server's.
        let incoming = authorized.map_err(|failure| endpoint.note_limit(call.cost(), failure))?;
        let (status, foreign) = (incoming.response.status(), incoming.foreign);
        if !foreign {
            let headers = incoming.response.headers();
            endpoint.budget.observe(status, headers, Instant::now());
        }
        if !is_answer(call, status) {
            // Boxed: large, and seldom wanted.
            let failure = Box::pin(refusal(&self.wire, incoming)).await;
            // A content server's limit is not the registry's.
            return Err(match foreign {
                true => failure,
                false => endpoint.note_limit(call.cost(), failure),
            });
        }
        if call.takes_no_pages() && document::is_web_page(incoming.response.headers()) {
            let message = "answers with a web page";
            return Err(ClientError::invalid(&self.wire.remote, message).into());
        }
        Ok(self.answer(incoming.response, at))
    }

    fn answer(&self, response: reqwest::Response, at: Try) -> Answer {
        let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let expected = content_length(&head.headers);
        let context = BodyContext {
            priority: at.priority,
            ..self.body.clone()
        };
        Answer {
            status: head.status,
            body: BlobStreamBody::new(context, body, expected, at.slot),
            headers: head.headers,
            endpoint: at.place,
            url: at.url,
        }
    }

    /// Layer 5: with what the URL wanted last time; after a 401, once more with what it wants now.
    async fn authorized(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        url: &Url,
    ) -> Result<Incoming, Failure> {
        if call.is_management() {
            let carried = self.authorizer.own_login(endpoint).await?;
            return self.exchange(call, endpoint, url, &carried).await;
        }
        let carried = self
            .authorizer
            .up_front(&self.wire, endpoint, &call.scope)
            .await?;
        let incoming = self.exchange(call, endpoint, url, &carried).await?;
        if incoming.response.status() != StatusCode::UNAUTHORIZED || incoming.foreign {
            return Ok(incoming);
        }
        let headers = incoming.response.headers();
        let better = self
            .authorizer
            .answer(&self.wire, endpoint, headers, &call.scope, carried)
            .await?;
        if matches!(better, Carried::Nothing) {
            return Ok(incoming);
        }
        // A body read to its end leaves the connection for the next request.
        let _ = read_error_body(&self.wire, incoming.response).await;
        self.exchange(call, endpoint, url, &better).await
    }

    async fn exchange(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        url: &Url,
        carried: &Carried,
    ) -> Result<Incoming, Failure> {
        let outgoing = Outgoing {
            kind: call.kind,
            method: &call.method,
            url: url.clone(),
            headers: &call.headers,
            authorization: carried.header(),
            body: call.body.clone().map_or(Payload::Nothing, Payload::Whole),
        };
        endpoint.exchange(&self.wire, outgoing).await
    }
}

/// The whole of what was asked for, or a part when that may be. Other successes (202, 204) answer no question of ours, but
/// are how changes are confirmed, and the state of an upload session.
fn is_answer(call: &Call, status: StatusCode) -> bool {
    match status.as_u16() {
        200..=299 if !call.is_question() => true,
        204 => call.kind == "upload",
        200 | 203 => true,
        206 => call.takes_parts,
        _ => false,
    }
}

/// An answer that is not a success, as an error with the remote's own words.
pub(super) async fn refusal(wire: &Wire, incoming: Incoming) -> Failure {
    let status = incoming.response.status();
    let retry_after = retry::retry_after(incoming.response.headers(), SystemTime::now());
    let tag_state = document::tag_state(incoming.response.headers()).map(Box::new);
    let (kind, again) = match incoming.knows_nothing() {
        true => (ErrorKind::Invalid, false),
        false => classify(status, incoming.foreign),
    };
    let said = read_error_body(wire, incoming.response).await;
    let said = said.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").to_owned());
    let message = match kind {
        ErrorKind::NotFound => format!("does not have it: {said}"),
        ErrorKind::Denied => format!("the remote refuses: {said}"),
        ErrorKind::RateLimited => format!("too many requests: {said}"),
        _ => format!("answered {}: {said}", status.as_u16()),
    };
    let mut error = ClientError::new(kind, &wire.remote, message).with_status(status.as_u16());
    error.retry_after = retry_after;
    error.tag_state = tag_state;
    Failure {
        again,
        ..Failure::from(error)
    }
}

/// What a status means, and whether the same request may soon be answered better.
fn classify(status: StatusCode, foreign: bool) -> (ErrorKind, bool) {
    match status.as_u16() {
        404 => (ErrorKind::NotFound, false),
        // A content server knows nothing of who we are: its no says nothing about our rights.
        401 | 403 if !foreign => (ErrorKind::Denied, false),
        408 => (ErrorKind::TimedOut, true),
        429 => (ErrorKind::RateLimited, true),
        500 | 502 | 503 | 504 => (ErrorKind::Unreachable, true),
        505.. | 501 => (ErrorKind::Unreachable, false),
        _ => (ErrorKind::Invalid, false),
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
    /// RFC 9457.
    detail: Option<String>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The first error in the specification's error body, or the detail of a problem, if there is one.
async fn read_error_body(wire: &Wire, response: reqwest::Response) -> Option<String> {
    let read = read_bounded(&wire.remote, response, MAX_ERROR_BODY_BYTES);
    let bytes = timeout(ERROR_BODY_TIMEOUT, read).await.ok()?.ok()?;
    let body: ErrorBody = serde_json::from_slice(&bytes).ok()?;
    let said = match (body.errors.into_iter().next(), body.detail) {
        (Some(first), _) => format!("{} {}", first.code, first.message),
        (None, detail) => detail?,
    };
    let said = clean(&said, 200);
    (!said.is_empty()).then_some(said)
}
