//! What wraps a request to a remote, as one list from outside in:
//!
//! 1. patience: one deadline for all that follows (`retry`)
//! 2. retries: rounds over the URLs, with jittered waits (`retry`)
//! 3. URL choice: in order; the next one when one has no good answer
//! 4. a slot among `max_connections` (`limit`)
//! 5. authorization, renewed once after a 401 (`authorize`, `challenge`, `token`)
//! 6. redirects, by hand (`redirect`, `guard`)
//! 7. the exchange itself: connection, metrics, log (`endpoint`)
//! 8. the status as an error (here), the body with its limits (`body`)

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use url::Url;

use super::{
    BlobStreamBody, ClientError, ErrorKind, SetupError,
    authorize::{Authorizer, Carried},
    body::{BodyContext, read_bounded},
    document,
    endpoint::{Endpoint, Incoming, Outgoing, Wire},
    error::{Failure, clean},
    limit::Limits,
    range::content_length,
    retry::{self, Deadline},
    tls,
};
use crate::{config, telemetry::Metrics};

const MAX_ERROR_BODY_BYTES: u64 = 16 * 1024;
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// One question to a remote.
pub(super) struct Call {
    /// For metrics and log: manifest, blob, tags, referrers.
    pub(super) kind: &'static str,
    pub(super) method: Method,
    /// Path and query below each URL of the remote.
    pub(super) path: String,
    /// What a token must allow.
    pub(super) scope: String,
    pub(super) headers: HeaderMap,
    /// 206 is an answer too.
    pub(super) takes_parts: bool,
    /// Which URL is asked first, by its place in the list.
    pub(super) first_url: usize,
    /// A later page, at the URL (by its place in the list) that gave the page before.
    pub(super) page: Option<(usize, Url)>,
}

impl Call {
    /// Its content is judged by its digest and by nothing else.
    fn is_download(&self) -> bool {
        self.kind == "blob" && self.method == Method::GET
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
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) endpoint: usize,
    pub(super) url: Url,
}

/// The way to one remote.
pub(super) struct Transport {
    wire: Wire,
    endpoints: Vec<Endpoint>,
    authorizer: Authorizer,
    limits: Limits,
    body: BodyContext,
}

impl Transport {
    pub(super) fn new(remote: &config::Remote, metrics: Metrics) -> Result<Self, SetupError> {
        let failed = |message| SetupError {
            remote: remote.name.clone(),
            message,
        };
        let tls = tls::client_config(remote).map_err(failed)?;
        let urls = remote.urls.iter().cloned();
        let endpoints = urls.map(|url| Endpoint::new(remote, url, tls.clone()));
        let endpoints = endpoints.collect::<Result<_, _>>().map_err(failed)?;
        let limits = Limits::new(remote);
        let name: Arc<str> = Arc::from(remote.name.as_str());
        let body = BodyContext {
            remote: Arc::clone(&name),
            metrics: metrics.clone(),
            idle_timeout: remote.idle_timeout,
            bandwidth: limits.bandwidth.clone(),
        };
        let wire = Wire {
            remote: name,
            metrics,
            header_timeout: remote.header_timeout,
        };
        Ok(Self {
            wire,
            endpoints,
            authorizer: Authorizer::new(remote).map_err(failed)?,
            limits,
            body,
        })
    }

    pub(super) fn remote(&self) -> &Arc<str> {
        &self.wire.remote
    }

    /// Asks until the headers are here; the body is the caller's to read.
    pub(super) async fn open(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<Answer, ClientError> {
        self.ask(call, deadline, &|answer| ready(Ok(answer)).boxed())
            .await
    }

    /// Asks until the whole body, of at most `limit` bytes, is here.
    pub(super) async fn load(
        &self,
        call: &Call,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Document, ClientError> {
        let read = |answer: Answer| {
            let read = async move {
                Ok(Document {
                    bytes: answer.body.read_whole(limit, deadline.whole).await?,
                    headers: answer.headers,
                    endpoint: answer.endpoint,
                    url: answer.url,
                })
            };
            read.boxed()
        };
        self.ask(call, deadline, &read).await
    }

    /// Layers 1 and 2: rounds over the URLs until one answers or the patience is at its end.
    async fn ask<T>(
        &self,
        call: &Call,
        mut deadline: Deadline,
        finish: &(impl Fn(Answer) -> BoxFuture<'static, Result<T, Failure>> + Sync),
    ) -> Result<T, ClientError> {
        let mut delays = retry::delays(deadline.patience);
        loop {
            let failure = match self.round(call, &mut deadline, finish).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let remaining = deadline.remaining();
            let Some(wait) = retry::wait_before_next(&failure, delays.next(), remaining) else {
                return Err(failure.error);
            };
            tracing::warn!(
                remote = %self.wire.remote,
                kind = call.kind,
                error = %failure.error,
                wait_ms = wait.as_millis(),
                "asking a remote again"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// Layer 3: each URL in its order, with an equal share of the time that is left.
    async fn round<T>(
        &self,
        call: &Call,
        deadline: &mut Deadline,
        finish: &(impl Fn(Answer) -> BoxFuture<'static, Result<T, Failure>> + Sync),
    ) -> Result<T, Failure> {
        let targets = self.targets(call)?;
        let mut failed = None;
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        for (left, (endpoint, url)) in (1..=count).rev().zip(targets) {
            let slot = self.slot(deadline).await?;
            let share = deadline.remaining() / left;
            let attempt = match timeout(share, self.attempt(call, endpoint, url, slot)).await {
                Ok(Ok(answer)) => finish(answer).await,
                Ok(Err(failure)) => Err(failure),
                Err(_) => Err(self.timed_out("answer", deadline.granted)),
            };
            match attempt {
                Ok(done) => return Ok(done),
                Err(failure) => failed = Some(retry::merge(failed, failure)),
            }
        }
        Err(failed.expect("a remote has at least one URL"))
    }

    fn targets(&self, call: &Call) -> Result<Vec<(usize, Url)>, Failure> {
        if let Some(page) = &call.page {
            return Ok(vec![page.clone()]);
        }
        let urls = self.endpoints.iter().enumerate().map(|(place, endpoint)| {
            let url = endpoint.url.join(&call.path);
            url.map(|url| (place, url))
        });
        let mut urls: Vec<_> = urls
            .collect::<Result<_, _>>()
            .map_err(|error| ClientError::invalid(&self.wire.remote, error.to_string()))?;
        let first = call.first_url % urls.len();
        urls.rotate_left(first);
        Ok(urls)
    }

    /// Layer 4. That our own downloads take all places says nothing about the remote: who has nothing else to serve
    /// waits in the queue, and the time for an answer begins after it.
    async fn slot(&self, deadline: &mut Deadline) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let (began, longest) = (Instant::now(), deadline.queue());
        let slot = timeout(longest, self.limits.slot()).await;
        deadline.queued(began.elapsed());
        slot.map_err(|_| Failure {
            again: false,
            ..self.timed_out("free connection", longest)
        })
    }

    /// Layers 5 to 8, once.
    async fn attempt(
        &self,
        call: &Call,
        place: usize,
        url: Url,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, Failure> {
        let incoming = self.authorized(call, &self.endpoints[place], &url).await?;
        if !is_answer(call, incoming.response.status()) {
            return Err(refusal(&self.wire, incoming).await);
        }
        if document::is_web_page(incoming.response.headers()) && !call.is_download() {
            let message = "answers with a web page";
            return Err(ClientError::invalid(&self.wire.remote, message).into());
        }
        Ok(self.answer(incoming.response, slot, place, url))
    }

    fn answer(
        &self,
        response: reqwest::Response,
        slot: Option<OwnedSemaphorePermit>,
        endpoint: usize,
        url: Url,
    ) -> Answer {
        let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let expected = content_length(&head.headers);
        Answer {
            status: head.status,
            body: BlobStreamBody::new(self.body.clone(), body, expected, slot),
            headers: head.headers,
            endpoint,
            url,
        }
    }

    /// Layer 5: with what the URL wanted last time; after a 401, once more with what it wants now.
    async fn authorized(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        url: &Url,
    ) -> Result<Incoming, Failure> {
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
            body: None,
        };
        endpoint.exchange(&self.wire, outgoing).await
    }

    fn timed_out(&self, what: &str, waited: Duration) -> Failure {
        let message = format!("no {what} within {}", humantime::format_duration(waited));
        let error = ClientError::new(ErrorKind::TimedOut, &self.wire.remote, message);
        Failure::again(error)
    }
}

/// The whole of what was asked for, or a part when that may be. Other successes (202, 204) answer no question of ours.
fn is_answer(call: &Call, status: StatusCode) -> bool {
    match status.as_u16() {
        200 | 203 => true,
        206 => call.takes_parts,
        _ => false,
    }
}

/// An answer that is not a success, as an error with the remote's own words.
pub(super) async fn refusal(wire: &Wire, incoming: Incoming) -> Failure {
    let status = incoming.response.status();
    let retry_after = retry::retry_after(incoming.response.headers(), SystemTime::now());
    let (kind, again) = classify(status, incoming.foreign);
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
    Failure { error, again }
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
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The first error in the specification's error body, if there is one.
async fn read_error_body(wire: &Wire, response: reqwest::Response) -> Option<String> {
    let read = read_bounded(&wire.remote, response, MAX_ERROR_BODY_BYTES);
    let bytes = timeout(ERROR_BODY_TIMEOUT, read).await.ok()?.ok()?;
    let body: ErrorBody = serde_json::from_slice(&bytes).ok()?;
    let first = body.errors.into_iter().next()?;
    let said = clean(&format!("{} {}", first.code, first.message), 200);
    (!said.is_empty()).then_some(said)
}
