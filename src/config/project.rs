//! `[[project]]`: the first component of repository names; bound to a remote (mirror) or taking pushes (hosted).

use std::time::Duration;

use super::Pattern;
use crate::oci::{Name, Tag};

/// A tenant's space.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    pub kind: ProjectKind,
    /// Values of `?ns=` that mean this project, lower case.
    pub hosts: Vec<String>,
    /// Completes names that start with no project's name.
    pub default: bool,
    pub visibility: Visibility,
    pub allow: Vec<Pattern>,
    pub deny: Vec<Pattern>,
    /// Put before the remote's repository name.
    pub prefix: Option<Name>,
    pub keep_deleted: bool,
    pub negative_ttl: Duration,
    pub offline: bool,
    /// First match wins; the last one matches everything.
    pub freshness: Vec<Freshness>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectKind {
    Hosted,
    /// Filled from the remote of this name.
    Mirror {
        remote: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    Public,
    Private,
    Remote,
}

/// How long a tag may be served without asking.
#[derive(Debug, Clone)]
pub struct Freshness {
    pub tags: Pattern,
    pub mode: FreshnessMode,
    pub ttl: Duration,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: StaleIfError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreshnessMode {
    Ttl,
    Always,
    Immutable,
}

/// How long the cached answer is given while the remote is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleIfError {
    Unlimited,
    For(Duration),
}

impl Project {
    /// The rule that decides for this tag.
    pub fn freshness_of(&self, _tag: &Tag) -> &Freshness {
        todo!()
    }
    /// How long a list of tags or referrers is served without asking: the ttl of the last rule, which matches everything.
    pub fn list_ttl(&self) -> Duration {
        self.freshness.last().map_or(Duration::ZERO, |rule| rule.ttl)
    }
    /// `allow` and `deny` on the repository name without the project. No `allow` allows all; `deny` wins.
    pub fn admits(&self, _rest: &str) -> bool {
        todo!()
    }
}
