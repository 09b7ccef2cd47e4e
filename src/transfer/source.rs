//! One answer of a remote or of object storage, as the bytes that are still wanted.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    FillRequest,
    origin::{Opened, OriginBody, OriginError},
};
use crate::client::{ClientError, ErrorKind};

/// A body from an offset on, never beyond the announced length.
pub(super) struct Source {
    body: OriginBody,
    /// Bytes that are had already, sent again by a remote that ignored the Range.
    skip: u64,
    /// Bytes still wanted; unknown without an announced length.
    wanted: Option<u64>,
    /// Whose body it is, for errors.
    name: Arc<str>,
}

impl Source {
    pub(super) fn new(
        opened: Opened,
        written: u64,
        total: Option<u64>,
        request: &FillRequest,
    ) -> Self {
        Self {
            name: request.origin.name().into(),
            skip: written.saturating_sub(opened.offset),
            wanted: total.map(|total| total.saturating_sub(written)),
            body: opened.body,
        }
    }

    /// `None` when every wanted byte has come.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, OriginError> {
        while self.wanted != Some(0) {
            let Some(chunk) = self.body.next().await else {
                return self.at_end();
            };
            let mut chunk = chunk?;
            let skipped = self.skip.min(chunk.len() as u64);
            self.skip -= skipped;
            let _ = chunk.split_to(usize::try_from(skipped).expect("at most the chunk's length"));
            if let Some(wanted) = &mut self.wanted {
                chunk.truncate(usize::try_from(*wanted).unwrap_or(usize::MAX));
                *wanted -= chunk.len() as u64;
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Nothing of what is had already is still to be sent again.
    pub(super) fn is_past_what_was_here(&self) -> bool {
        self.skip == 0
    }

    /// It is said that this was all.
    fn at_end(&self) -> Result<Option<Bytes>, OriginError> {
        match self.wanted {
            None | Some(0) => Ok(None),
            Some(missing) => Err(OriginError::Remote(ClientError {
                kind: ErrorKind::Unreachable,
                remote: self.name.clone(),
                message: format!("the body ended {missing} bytes early"),
                status: None,
                retry_after: None,
                tag_state: None,
            })),
        }
    }
}
