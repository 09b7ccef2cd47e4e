//! `/events`: what happens, told while the caller listens, as server-sent events.
//!
//! Each listener reads the rows at its own pace, a page at a time: nothing is kept for it in memory, and one that takes
//! nothing is cut as any client is. Its place is the id of the last event: who comes back with `Last-Event-ID` goes on
//! there.

use std::{
    convert::Infallible,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use utoipa::ToSchema;

use super::{
    Api,
    problem::Problem,
    progress::{self, Progressing, Told},
    rules::may_see,
    timestamp::Timestamp,
};
use crate::{
    access::Caller,
    meta::{Meta, MetaError, Notice, Position},
    notify,
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// So that proxies pass each event on at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How many listen at once.
const MAX_LISTENERS: usize = 256;
/// Rows that are looked at together.
const PAGE: u32 = 100;
/// How often it is looked whether something has happened, for all who listen together.
const POLL: Duration = Duration::from_millis(250);
/// A comment is sent when nothing else was for so long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Who listens for longer comes back: rights are looked up anew then.
const LONGEST: Duration = Duration::from_mins(5);
/// Who missed more begins with what happens next.
const MAX_MISSED: i64 = 10_000;
/// What browsers wait before they come back, in milliseconds.
const BEGINNING: &str = "retry: 2000\n: listening\n\n";

/// What listeners share.
pub(super) struct Listeners {
    places: Arc<Semaphore>,
    newest: Mutex<Option<(Instant, Position)>>,
    progressing: Progressing,
}

/// What one event says, beside the members of its kind: those of a webhook's `data`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LiveEvent {
    /// `pushed`, `filled`, `labelled`, `deleted`, `execution_started`, `execution_succeeded`, `execution_failed` or
    /// `execution_stopped`; `execution_progress`, at most once a second, has no id: who comes back is not told of it again
    pub event: String,
    pub at: Timestamp,
    #[serde(flatten)]
    pub data: Value,
}

/// Somebody who listens.
struct Listener {
    api: Arc<Api>,
    caller: Caller,
    position: Position,
    told: Told,
    /// To be said before anything else.
    first: Option<String>,
    last_said: Instant,
    ends_at: Instant,
    _place: OwnedSemaphorePermit,
}

#[utoipa::path(
    get, path = "/events", tag = "events", operation_id = "listenEvents",
    params(("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen: what happened since is told first")),
    responses(
        (status = 200, description = "Server-sent events until the caller leaves, for five minutes at most: what happens to repositories that the caller may pull and to executions of rules that the caller may see, and how far these are. `event: lagged` says that some were left out",
            body = LiveEvent, content_type = "text/event-stream"),
        (status = 503, description = "Too many listen already"),
    )
)]
pub(super) async fn listen(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = Arc::clone(&api.listeners.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many listen already"))?;
    let seen = seen(&headers)?;
    let newest = api.parts.meta.newest_notice().await?;
    let (position, has_lagged) = match seen {
        None => (newest, false),
        Some(seen) => begin(&api.parts.meta, seen, newest).await?,
    };
    let mut first = BEGINNING.to_owned();
    if has_lagged {
        let _ = write!(first, "id: {position}\nevent: lagged\ndata: {{}}\n\n");
    }
    let now = Instant::now();
    let listener = Listener {
        api,
        caller,
        position,
        told: Told::default(),
        first: Some(first),
        last_said: now,
        ends_at: now + LONGEST,
        _place: place,
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(said(listener))).into_response())
}

/// What a client says that it has seen. Browsers send an empty one, too.
fn seen(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || {
        Problem::bad_field(
            "Last-Event-ID",
            "expected the `id` of an event, such as 12.3",
        )
    };
    position.map(Some).ok_or_else(wrong)
}

/// Where to go on, and whether something is left out.
async fn begin(
    meta: &Meta,
    seen: Position,
    newest: Position,
) -> Result<(Position, bool), MetaError> {
    let missed = (newest.event - seen.event, newest.execution - seen.execution);
    // Ids of another database, or too many.
    if [missed.0, missed.1]
        .iter()
        .any(|missed| !(0..=MAX_MISSED).contains(missed))
    {
        return Ok((newest, true));
    }
    // Those in between are forgotten.
    let is_next = |notice: &Notice| match notice {
        Notice::Content(event) => event.id == seen.event + 1,
        Notice::Execution(event) => event.id == seen.execution + 1,
    };
    let next = meta.notices_after(seen, 1).await?;
    Ok((seen, !next.iter().all(is_next)))
}

fn said(listener: Listener) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(listener, async |mut listener| {
        let text = listener.next().await?;
        listener.last_said = Instant::now();
        Some((Ok(text.into()), listener))
    })
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_LISTENERS)),
            newest: Mutex::default(),
            progressing: Progressing::default(),
        }
    }
}

impl Listeners {
    /// The newest of all, as it was a moment ago.
    async fn newest(&self, meta: &Meta) -> Result<Position, MetaError> {
        let mut newest = self.newest.lock().await;
        match *newest {
            Some((at, position)) if at.elapsed() < POLL => Ok(position),
            _ => {
                let position = meta.newest_notice().await?;
                *newest = Some((Instant::now(), position));
                Ok(position)
            }
        }
    }
}

impl Listener {
    /// What is said next; `None`: that was all.
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let leaving = self.api.parts.leaving.clone();
        while !leaving.is_cancelled() && Instant::now() < self.ends_at {
            match self.some().await {
                Ok(text) if !text.is_empty() => return Some(text),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a listener is not told what happens: {error}");
                    return None;
                }
            }
            if self.last_said.elapsed() >= HEARTBEAT {
                return Some(": still here\n\n".to_owned());
            }
            leaving.run_until_cancelled(sleep(POLL)).await;
        }
        None
    }

    /// What the caller may see of what happened since; empty: nothing did.
    async fn some(&mut self) -> Result<String, MetaError> {
        let meta = &self.api.parts.meta;
        let mut text = String::new();
        while text.is_empty() && self.api.listeners.newest(meta).await? != self.position {
            let notices = meta.notices_after(self.position, PAGE).await?;
            if notices.is_empty() {
                break;
            }
            for notice in notices {
                self.position = self.position.past(&notice);
                if self.may_see(&notice).await?
                    && let Some((data, _)) = notify::data(meta, &notice).await?
                {
                    let place = format!("id: {}\n", self.position);
                    text.push_str(&written(&place, notice.kind(), notice.at(), data));
                }
            }
        }
        if text.is_empty() {
            text = self.progress().await?;
        }
        Ok(text)
    }

    /// How far executions are that the caller may see. It has no id: nobody goes on there.
    async fn progress(&mut self) -> Result<String, MetaError> {
        let (api, told) = (&self.api, &mut self.told);
        let news = api.listeners.progressing.news(&api.parts, told).await?;
        let mut text = String::new();
        for one in news.iter() {
            let rule = one.rule.as_ref();
            if self.caller.is_admin() || rule.is_some_and(|rule| may_see(&self.caller, rule)) {
                text.push_str(&written("", progress::KIND, one.at, one.data.clone()));
            }
        }
        Ok(text)
    }

    async fn may_see(&self, notice: &Notice) -> Result<bool, MetaError> {
        let parts = &self.api.parts;
        match notice {
            _ if self.caller.is_admin() => Ok(true),
            Notice::Content(event) => {
                let projects = parts.projects.now();
                Ok(projects.may_pull(&self.caller, &event.repository))
            }
            Notice::Execution(event) => {
                let execution = parts.meta.execution(event.execution).await?;
                let rule = execution.and_then(|row| parts.replication.rule_of(&row));
                Ok(rule.is_some_and(|rule| may_see(&self.caller, &rule)))
            }
        }
    }
}

/// One event; `place`: the line with its id, if it has one.
fn written(place: &str, kind: &str, at: SystemTime, data: Value) -> String {
    let event = LiveEvent {
        event: kind.to_owned(),
        at: at.into(),
        data,
    };
    let data = serde_json::to_string(&event).expect("an object with texts as keys is JSON");
    format!("{place}event: {kind}\ndata: {data}\n\n")
}
