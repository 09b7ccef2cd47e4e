//! `[[project]]`: the first component of repository names; bound to a remote (mirror) or taking pushes (hosted).

mod claims;
mod freshness;
mod read;
mod retention;

pub(super) use read::{Settings, read_all};

use std::time::Duration;

use super::Pattern;
use crate::oci::{Name, Tag};

/// A tenant's space.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "keys of the configuration, each by itself"
)]
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
    /// Still serve a tag that the remote says is gone, or hides.
    pub keep_deleted: bool,
    /// How long a remote's "not there" or "not for you" is remembered.
    pub negative_ttl: Duration,
    /// With visibility `remote`: how long the remote's yes or no holds, and how long while it is down.
    pub verdict_ttl: Duration,
    pub verdict_if_error: Duration,
    /// Never ask the remote for this project.
    pub offline: bool,
    /// Budget of its cache in bytes; `None` is unlimited.
    pub max_bytes: Option<u64>,
    /// Hosted: a push makes its repository; otherwise it must have been created.
    pub auto_create_repositories: bool,
    /// Hosted: may have a name that hides repositories of the default project.
    pub hide_default: bool,
    /// First match wins; the last one matches everything.
    pub freshness: Vec<Freshness>,
    /// Hosted: tags that stay where they were first pushed.
    pub immutable_tags: Vec<Pattern>,
    /// Hosted: an index may name manifests that are not in its repository.
    pub sparse_index: bool,
    /// Hosted: an image may name blobs that are not in its repository.
    pub sparse_image: bool,
    /// Hosted: how many bytes it may have; `None` is unlimited.
    pub quota: Option<u64>,
    /// Hosted: which tags go by themselves; first match wins, what none matches stays.
    pub retention: Vec<Retention>,
}

/// How long tags stay: a tag goes that is neither among the newest nor young enough.
#[derive(Debug, Clone)]
pub struct Retention {
    pub tags: Pattern,
    /// So many of each repository, by the time they were last pushed, stay.
    pub newest: Option<u32>,
    /// What was pushed since stays.
    pub max_age: Option<Duration>,
}

/// Where a project's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectKind {
    /// Pushes.
    Hosted,
    /// Filled from the remote of this name.
    Mirror { remote: String },
}

/// Who may pull.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Anybody.
    Public,
    /// Who holds a right.
    #[default]
    Private,
    /// Whom the remote lets in.
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

/// When the remote is asked about a tag that is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreshnessMode {
    /// When the cached answer is older than the ttl.
    Ttl,
    /// Each time.
    Always,
    /// Never again.
    Immutable,
}

/// How long the cached answer is given while the remote is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleIfError {
    Unlimited,
    For(Duration),
}

impl Project {
    /// Is it filled from a remote?
    pub fn is_mirror(&self) -> bool {
        matches!(self.kind, ProjectKind::Mirror { .. })
    }

    /// The rules that were given: all but the last one, which goes without saying.
    pub fn freshness_given(&self) -> &[Freshness] {
        let split = self.freshness.split_last();
        split.map_or(&[], |(_unsaid, given)| given)
    }

    /// The rule that decides for this tag.
    pub fn freshness_of(&self, tag: &Tag) -> &Freshness {
        let matching = self
            .freshness
            .iter()
            .find(|rule| rule.tags.matches(tag.as_str()));
        matching
            .or(self.freshness.last())
            .expect("reading ends the list with a rule for every tag")
    }

    /// The rule for lists of tags and referrers: the first one that is for every tag. No list is immutable: tags come and
    /// go while each of them stays.
    pub fn freshness_of_lists(&self) -> Freshness {
        let mut rules = self.freshness.iter();
        let rule = rules.find(|rule| rule.tags.is_everything());
        let mut rule = rule
            .expect("reading ends the list with a rule for every tag")
            .clone();
        if rule.mode == FreshnessMode::Immutable {
            rule.mode = FreshnessMode::Ttl;
        }
        rule
    }

    /// `allow` and `deny` on the repository name without the project. No `allow` allows all; `deny` wins.
    pub fn admits(&self, rest: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(rest));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }
}
