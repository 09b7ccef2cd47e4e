//! The names of all repositories, for lists and searches.

use super::super::{Api, problem::Problem};
use crate::oci::Name;

/// Names that are read at a time.
const NAMES: u32 = 1000;

/// Names of repositories, read a piece at a time.
pub(in crate::api) struct Names<'a> {
    api: &'a Api,
    containing: &'a str,
    piece: std::vec::IntoIter<Name>,
    last: String,
    has_ended: bool,
}

impl<'a> Names<'a> {
    /// All that have the text in them.
    pub(in crate::api) fn new(api: &'a Api, containing: &'a str) -> Self {
        Self {
            api,
            containing,
            piece: Vec::new().into_iter(),
            last: String::new(),
            has_ended: false,
        }
    }

    pub(in crate::api) async fn next(&mut self) -> Result<Option<Name>, Problem> {
        if self.piece.len() == 0 && !self.has_ended {
            let meta = &self.api.parts.meta;
            let piece = meta.repositories_containing(self.containing, &self.last, NAMES);
            let piece = piece.await?;
            self.has_ended = piece.len() < NAMES as usize;
            if let Some(last) = piece.last() {
                self.last = last.to_string();
            }
            self.piece = piece.into_iter();
        }
        Ok(self.piece.next())
    }
}
