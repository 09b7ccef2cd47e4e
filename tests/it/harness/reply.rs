//! An answer before it is sent: status, headers, body, and the script of what goes wrong on the wire.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::gate::Gate;

/// Made by `answer`, bent by `fault`, sent by `http1` and `http2`.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) length: Length,
    pub(super) script: Script,
}

#[derive(Debug)]
pub(super) enum Body {
    Bytes(Bytes),
    /// The bytes, then spaces up to the length; without a length, for ever.
    Padded {
        bytes: Bytes,
        length: Option<u64>,
    },
}

/// What the headers say about the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    True,
    Unsaid,
    Claimed(u64),
}

/// Departures from a plain answer.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) before_head: Vec<Step>,
    pub(super) head_cut: bool,
    /// Steps at offsets of this answer's body.
    pub(super) in_body: Vec<(u64, Step)>,
    pub(super) flipped_byte: Option<u64>,
    pub(super) drip: Option<(usize, Duration)>,
    pub(super) close_after: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(Duration),
    Hang,
    Gate(Arc<Gate>),
    /// An orderly close of the connection (HTTP/2: of the stream).
    Cut,
    /// RST.
    Reset,
    /// These bytes instead of an HTTP answer, then a close.
    Raw(Bytes),
}

// === impl Reply ===

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
            length: Length::True,
            script: Script::default(),
        }
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).with("Content-Type", "application/json")
    }

    /// An error body as the specification shapes it.
    pub(super) fn error(status: u16, code: &str) -> Self {
        let error = serde_json::json!({"code": code, "message": code.to_lowercase()});
        Self::json(status, &serde_json::json!({"errors": [error]}))
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The Content-Length to send, if any.
    pub(super) fn said_length(&self) -> Option<u64> {
        match self.length {
            Length::True => self.body.length(),
            Length::Unsaid => None,
            Length::Claimed(length) => Some(length),
        }
    }
}

// === impl Body ===

impl Body {
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Padded { length, .. } => *length,
        }
    }

    /// The bytes without padding.
    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Bytes(bytes) | Self::Padded { bytes, .. } => bytes,
        }
    }

    /// Up to `limit` bytes from `offset`; empty at the end.
    pub(super) fn chunk(&self, offset: u64, limit: usize) -> Bytes {
        const PADDING: &[u8] = &[b' '; 64 * 1024];
        let bytes = self.bytes();
        if let Ok(start) = usize::try_from(offset)
            && start < bytes.len()
        {
            return bytes.slice(start..bytes.len().min(start.saturating_add(limit)));
        }
        let Self::Padded { length, .. } = self else {
            return Bytes::new();
        };
        let left = length.map_or(u64::MAX, |length| length.saturating_sub(offset));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        Bytes::from_static(&PADDING[..left.min(limit).min(PADDING.len())])
    }
}
