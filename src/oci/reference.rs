//! What names a manifest inside a repository: a tag or a digest.

use std::{fmt, str::FromStr};

use super::{Digest, Tag};

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

/// Why a text is neither a tag nor a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error(transparent)]
    Tag(#[from] super::tag::TagError),
    #[error(transparent)]
    Digest(#[from] super::digest::DigestError),
}

impl FromStr for Reference {
    type Err = ReferenceError;
    /// A text with `:` is a digest, all else a tag.
    fn from_str(_text: &str) -> Result<Self, ReferenceError> {
        todo!()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}
