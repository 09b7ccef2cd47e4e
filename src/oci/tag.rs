//! Tags: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec, "Pulling manifests").

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A validated tag; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

/// A text that is not a tag, shortened when it is long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tag")]
pub struct TagError(pub String);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.as_str().to_owned()
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = text.len() <= 128
            && text.bytes().next().is_some_and(is_word)
            && text
                .bytes()
                .all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(TagError(super::shortened(text)))
        }
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_grammar_are_tags() {
        for text in [
            "latest",
            "v1.2.3-rc.1",
            "_",
            "A",
            "0",
            "sha256-e3b0.sig",
            "a..b--",
            &"a".repeat(128),
        ] {
            assert_eq!(
                text.parse::<Tag>().map(|tag| tag.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_outside_the_grammar_is_no_tag() {
        for text in [
            "",
            ".a",
            "-a",
            "a b",
            "a/b",
            "a:b",
            "é",
            "a+b",
            "a\n",
            &"a".repeat(129),
        ] {
            assert!(text.parse::<Tag>().is_err(), "{text:?}");
        }
    }
}
