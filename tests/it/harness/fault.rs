//! `Fault`: everything that can go wrong with an answer, scripted by the test.

use std::time::Duration;

use bytes::Bytes;

use super::matcher::On;
use super::reply::{Body, Length, Reply, Step};
use super::request::Request;

/// One departure from the right answer. Offsets count from the first byte of that answer's body;
/// faults in the body do nothing to a HEAD.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    // Another answer.
    /// This status with an error body, and Retry-After if given.
    Status(u16, Option<&'static str>),
    /// 401 with this `WWW-Authenticate`.
    Challenge(String),
    /// 307 to this URL; relative ones are sent as they are.
    Redirect(String),
    /// 307 to the same path, again and again.
    RedirectLoop,
    /// 200 with a web page, as captive portals and proxies give.
    HtmlPage,
    /// The right headers for these wrong bytes; digest header and status stay.
    WrongBody(Bytes),
    EmptyBody,
    /// JSON that breaks off, with a fitting length.
    GarbageJson,
    /// The right bytes, then spaces up to this length.
    HugeBody(u64),
    /// The right bytes, then spaces for ever, without a length.
    EndlessBody,

    // Wrong headers.
    WrongMediaType(&'static str),
    WrongDigestHeader,
    NoDigestHeader,
    /// No Content-Length: chunked.
    NoLength,
    /// Content-Length says so much more or less than the body has; the connection closes after it.
    WrongContentLength(i64),
    /// Content-Range names a start one byte later.
    WrongContentRange,
    /// 200 with everything, whatever Range said.
    IgnoreRange,
    /// 206 with this many of the bytes that were asked for.
    ShortRange(usize),
    /// Any header, for what has no fault of its own.
    Header(&'static str, String),
    NoHeader(&'static str),

    // Wrong bytes.
    FlipByteAt(u64),

    // Trouble on the wire.
    /// An orderly close after so many bytes of the body.
    CutAfter(u64),
    /// RST after so many bytes of the body; the client may not get all of them.
    ResetAfter(u64),
    /// Nothing for this long, then on.
    StallAfter(u64, Duration),
    /// Nothing ever again; the connection stays open.
    HangAfter(u64),
    /// So many bytes at a time with this pause between.
    SlowDrip(usize, Duration),
    /// Waits before the headers.
    Delay(Duration),
    HangBeforeHeaders,
    /// The status line and half the headers, then a close.
    CutInHeaders,
    DropBeforeAnswer,
    ResetBeforeAnswer,
    /// Bytes that are not HTTP.
    GarbageHttp,
    /// A complete answer, then an unannounced close of the kept-alive connection.
    CloseAfterAnswer,
}

/// A fault with what it is for and how often.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) on: On,
    pub(super) fault: Fault,
    /// None: always.
    pub(super) left: Option<usize>,
}

/// Takes the faults for this request off the script: the first counted one, and all that are always on.
pub(super) fn take_faults(script: &mut Vec<Scripted>, request: &Request) -> Vec<Fault> {
    let mut counted = false;
    let mut faults = Vec::new();
    for scripted in script
        .iter_mut()
        .filter(|scripted| scripted.on.matches(request))
    {
        if let Some(left) = &mut scripted.left {
            if counted || *left == 0 {
                continue;
            }
            *left -= 1;
            counted = true;
        }
        faults.push(scripted.fault.clone());
    }
    script.retain(|scripted| scripted.left != Some(0));
    faults
}

// === impl Fault ===

impl Fault {
    /// A status that some clients retry, without Retry-After.
    pub(crate) fn status(code: u16) -> Self {
        Self::Status(code, None)
    }

    /// 429 with Retry-After in seconds.
    pub(crate) fn too_many(retry_after: &'static str) -> Self {
        Self::Status(429, Some(retry_after))
    }

    /// Whether the fault needs the whole content to work on, as if no Range was asked for.
    pub(super) fn ignores_range(&self) -> bool {
        matches!(self, Self::IgnoreRange)
    }

    pub(super) fn apply(self, reply: &mut Reply, request: &Request) {
        let Some(fault) = self.replace_answer(reply, request) else {
            return;
        };
        let Some(fault) = fault.bend_headers(reply) else {
            return;
        };
        fault.break_wire(reply);
    }

    /// Faults that give another answer; gives the fault back if it is none of them.
    fn replace_answer(self, reply: &mut Reply, request: &Request) -> Option<Self> {
        match self {
            Self::Status(code, retry_after) => {
                swap(reply, Reply::error(code, "FAULT"));
                if let Some(seconds) = retry_after {
                    reply.set("Retry-After", seconds);
                }
            }
            Self::Challenge(challenge) => {
                swap(
                    reply,
                    Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge),
                );
            }
            Self::Redirect(url) => swap(reply, Reply::new(307, "").with("Location", url)),
            Self::RedirectLoop => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query.extend_pairs(&request.query);
                let location = format!("{}?{}", request.path, query.finish());
                swap(reply, Reply::new(307, "").with("Location", location));
            }
            Self::HtmlPage => {
                let page = "<!doctype html><title>Sign in</title><p>Please sign in";
                swap(
                    reply,
                    Reply::new(200, page).with("Content-Type", "text/html"),
                );
            }
            Self::WrongBody(bytes) => reply.body = Body::Bytes(bytes),
            Self::EmptyBody => reply.body = Body::Bytes(Bytes::new()),
            Self::GarbageJson => {
                reply.body =
                    Body::Bytes(Bytes::from_static(b"{\"schemaVersion\": 2, \"layers\": ["));
            }
            Self::HugeBody(length) => pad(reply, Some(length)),
            Self::EndlessBody => pad(reply, None),
            other => return Some(other),
        }
        None
    }

    /// Faults that change headers; gives the fault back if it is none of them.
    fn bend_headers(self, reply: &mut Reply) -> Option<Self> {
        match self {
            Self::WrongMediaType(media_type) => reply.set("Content-Type", media_type),
            Self::WrongDigestHeader => {
                reply.set(
                    "Docker-Content-Digest",
                    format!("sha256:{}", "0".repeat(64)),
                );
            }
            Self::NoDigestHeader => reply.remove("Docker-Content-Digest"),
            Self::NoLength => reply.length = Length::Unsaid,
            Self::WrongContentLength(by) => {
                let length = reply.body.length().unwrap_or(0);
                reply.length = Length::Claimed(length.saturating_add_signed(by));
                reply.script.close_after = true;
            }
            Self::WrongContentRange => {
                let range = reply.header("Content-Range").and_then(later_start);
                if let Some(range) = range {
                    reply.set("Content-Range", range);
                }
            }
            Self::ShortRange(length) => shorten(reply, length),
            Self::Header(name, value) => reply.set(name, value),
            Self::NoHeader(name) => reply.remove(name),
            Self::IgnoreRange => {}
            other => return Some(other),
        }
        None
    }

    fn break_wire(self, reply: &mut Reply) {
        let script = &mut reply.script;
        match self {
            Self::FlipByteAt(offset) => script.flipped_byte = Some(offset),
            Self::CutAfter(offset) => script.in_body.push((offset, Step::Cut)),
            Self::ResetAfter(offset) => script.in_body.push((offset, Step::Reset)),
            Self::StallAfter(offset, time) => script.in_body.push((offset, Step::Wait(time))),
            Self::HangAfter(offset) => script.in_body.push((offset, Step::Hang)),
            Self::SlowDrip(bytes, pause) => script.drip = Some((bytes.max(1), pause)),
            Self::Delay(time) => script.before_head.push(Step::Wait(time)),
            Self::HangBeforeHeaders => script.before_head.push(Step::Hang),
            Self::CutInHeaders => script.head_cut = true,
            Self::DropBeforeAnswer => script.before_head.push(Step::Cut),
            Self::ResetBeforeAnswer => script.before_head.push(Step::Reset),
            Self::GarbageHttp => {
                let noise = Bytes::from_static(b"\x16\x03\x01 what is this\r\n\r\n");
                script.before_head.push(Step::Raw(noise));
            }
            Self::CloseAfterAnswer => script.close_after = true,
            other => unreachable!("{other:?} was handled before the wire"),
        }
    }
}

/// Another answer in the place of the right one; what was scripted for the wire stays.
fn swap(reply: &mut Reply, other: Reply) {
    let script = std::mem::take(&mut reply.script);
    *reply = Reply { script, ..other };
}

fn pad(reply: &mut Reply, length: Option<u64>) {
    reply.body = Body::Padded {
        bytes: reply.body.bytes().clone(),
        length,
    };
}

/// `bytes 5-9/10` → `bytes 6-9/10`.
fn later_start(range: &str) -> Option<String> {
    let (start, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    Some(format!("bytes {}-{rest}", start + 1))
}

/// A 206 that stops early, and says so.
fn shorten(reply: &mut Reply, length: usize) {
    let bytes = reply.body.bytes();
    let bytes = bytes.slice(..bytes.len().min(length));
    let range = reply.header("Content-Range").and_then(|range| {
        let (start, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
        let (_, total) = rest.split_once('/')?;
        let end = start.parse::<u64>().ok()? + bytes.len() as u64 - 1;
        Some(format!("bytes {start}-{end}/{total}"))
    });
    if let Some(range) = range {
        reply.set("Content-Range", range);
        reply.body = Body::Bytes(bytes);
    }
}
