//! Repository names (distribution-spec, "Pulling manifests": `<name>`); at most 255 characters.

use std::{fmt, str::FromStr, sync::Arc};

/// A validated repository name such as `docker.io/library/nginx`; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a repository name")]
pub struct NameError(pub String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The components between slashes.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
    /// The first component: a project's name.
    pub fn first(&self) -> &str {
        todo!()
    }
    /// All after the first component, if there is more than one.
    pub fn rest(&self) -> Option<Name> {
        todo!()
    }
    /// `prefix/self`; fails when the result is not a name (too long).
    pub fn under(&self, _prefix: &str) -> Result<Name, NameError> {
        todo!()
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
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
