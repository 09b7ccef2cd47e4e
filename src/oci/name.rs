//! Repository names (distribution-spec, "Pulling manifests": `<name>`); at most 255 characters.

use std::{fmt, str::FromStr, sync::Arc};

/// A validated repository name such as `docker.io/library/nginx`; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// A text that is not a repository name, shortened when it is long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a repository name")]
pub struct NameError(pub String);

impl Name {
    /// Longest allowed name, in bytes.
    pub const MAX_LENGTH: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components between slashes.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The first component: a project's name.
    pub fn first(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(first, _)| first)
    }

    /// All after the first component, if there is more than one.
    pub fn rest(&self) -> Option<Name> {
        // What follows a slash in a name is a name.
        self.0.split_once('/').map(|(_, rest)| Self(rest.into()))
    }

    /// `prefix/self`; fails when the result is not a name (too long).
    pub fn under(&self, prefix: &str) -> Result<Name, NameError> {
        format!("{prefix}/{self}").parse()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= Self::MAX_LENGTH && text.split('/').all(is_component) {
            Ok(Self(text.into()))
        } else {
            Err(NameError(super::shortened(text)))
        }
    }
}

/// True for one component of a name. Read by hand, in one pass, so that no text can make it slow.
// spec: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
pub(crate) fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_word(*first)
        && is_word(*last)
        && bytes
            .chunk_by(|a, b| is_word(*a) == is_word(*b))
            .all(|run| {
                is_word(run[0])
                    || matches!(run, b"." | b"_" | b"__")
                    || run.iter().all(|byte| *byte == b'-')
            })
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_grammar_are_names() {
        for text in [
            "a",
            "0",
            "library/nginx",
            "docker.io/library/nginx",
            "a.b_c__d-e---f/1",
            "manifests/blobs/tags/uploads/list",
            "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p",
        ] {
            assert_eq!(
                text.parse::<Name>().map(|name| name.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_outside_the_grammar_is_no_name() {
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "a/B", ".a", "a.", "_a", "a_", "-a", "a-", "a..b",
            "a___b", "a._b", "a-_b", "a b", "a:b", "é", "a/.", "a/..", "_catalog", "a%2fb", "a\0b",
            "a\n",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        assert!("a".repeat(255).parse::<Name>().is_ok());
        assert!("a".repeat(256).parse::<Name>().is_err());
    }

    #[test]
    fn a_long_text_is_shortened_in_the_error() {
        let error = "é".repeat(10_000).parse::<Name>().unwrap_err();
        assert!(error.0.len() < 300, "{}", error.0.len());
    }

    #[test]
    fn a_name_gives_its_project_and_the_rest() {
        let name: Name = "docker.io/library/nginx".parse().unwrap();
        assert_eq!(name.first(), "docker.io");
        assert_eq!(name.rest().unwrap().as_str(), "library/nginx");
        let single: Name = "alpine".parse().unwrap();
        assert_eq!((single.first(), single.rest()), ("alpine", None));
    }

    #[test]
    fn a_prefix_must_leave_a_valid_name() {
        let name: Name = "nginx".parse().unwrap();
        assert_eq!(name.under("library").unwrap().as_str(), "library/nginx");
        assert!(name.under("Library").is_err());
        assert!(name.under(&"a".repeat(250)).is_err());
    }

    proptest! {
        /// The specification's expression, written down once more, is the judge.
        #[test]
        fn the_hand_written_reader_agrees_with_the_expression(text in "[a-bA0._/-]{0,12}") {
            let component = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
            let expression = regex::Regex::new(&format!("^{component}(/{component})*$")).unwrap();
            prop_assert_eq!(text.parse::<Name>().is_ok(), expression.is_match(&text));
        }
    }
}
