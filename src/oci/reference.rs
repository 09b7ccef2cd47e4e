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
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_decides_between_tag_and_digest() {
        let digest = Digest::sha256(b"");
        assert_eq!(digest.to_string().parse(), Ok(Reference::Digest(digest)));
        assert_eq!(
            "latest".parse(),
            Ok(Reference::Tag("latest".parse().unwrap()))
        );
        assert!(matches!(
            "sha256:00".parse::<Reference>(),
            Err(ReferenceError::Digest(_))
        ));
        assert!(matches!(
            "a b".parse::<Reference>(),
            Err(ReferenceError::Tag(_))
        ));
    }
}
