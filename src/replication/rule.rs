//! A rule: what to replicate, where to and when. Pure; `read.rs` makes one of what was given.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{fields::FieldProblem, filter::Filters, naming::Naming, read, schedule::Schedule};
use crate::{config::Pattern, oci::Name};

/// The project of a rule that is for every one.
pub const EVERY_PROJECT: &str = "**";

/// A rule as it was given, validated.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the contract's members")]
pub struct Rule {
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub mode: Mode,
    /// One at least; exactly one for a pull.
    pub remotes: Vec<String>,
    /// A project of ours for a push, of the remote for a pull (where it may have several components); [`EVERY_PROJECT`].
    pub project: String,
    pub filters: Filters,
    pub naming: Naming,
    pub trigger: Trigger,
    /// A tag at the destination that this rule did not put there is overwritten.
    pub overwrite: bool,
    pub propagate_delete: bool,
    pub referrers: bool,
    /// Bytes per second of the whole rule; `None`: no limit.
    pub bandwidth: Option<u64>,
    /// Bytes per second of one transfer.
    pub transfer_bandwidth: Option<u64>,
    pub retry_for: Duration,
    pub fill: Fill,
    pub platform_mode: PlatformMode,
    /// Tasks of this rule at once; `None`: as many as the server runs.
    pub concurrency: Option<u32>,
    pub delete_grace: Duration,
    /// `None`: the larger of 100 tags or a fifth of the rule's.
    pub delete_cap: Option<u32>,
}

/// Which way a rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Push,
    Pull,
}

/// When a rule acts.
#[derive(Debug, Clone)]
pub enum Trigger {
    Manual,
    Cron(Schedule),
    /// With each change of the source.
    Event,
}

/// What of a mirror project is replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// What is here.
    Present,
    All,
}

/// What becomes of an index of which some platforms are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformMode {
    /// It stays as it is; children are left out.
    KeepIndex,
    /// A new one without the others.
    RewriteIndex,
}

impl Rule {
    /// Does it make indexes on their way that have not the digests of those here?
    pub(super) fn rewrites(&self) -> bool {
        self.platform_mode == PlatformMode::RewriteIndex && self.filters.choose_platforms()
    }

    /// Reads a rule of the API's object; every mistake is told.
    pub fn read(members: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        read::rule(members)
    }

    /// Is it for every project?
    pub fn is_for_every_project(&self) -> bool {
        self.project == EVERY_PROJECT
    }

    /// The project of ours whose admins may change the rule; `None`: there is none.
    pub fn local_project(&self) -> Option<&str> {
        match self.mode {
            Mode::Push if self.is_for_every_project() => None,
            Mode::Push => Some(&self.project),
            Mode::Pull => match &self.naming.project {
                Some(project) => Some(project.first()),
                None if self.is_for_every_project() => None,
                None => self.project.split('/').next(),
            },
        }
    }

    /// Does the rule take anything of this repository (whole name)?
    pub fn takes_repository(&self, repository: &Name) -> bool {
        if self.is_for_every_project() {
            return self.filters.take_name(repository.as_str());
        }
        let rest = match repository.as_str().strip_prefix(&self.project) {
            Some("") => "",
            Some(rest) => match rest.strip_prefix('/') {
                Some(rest) => rest,
                None => return false,
            },
            None => return false,
        };
        self.filters.take_name(rest)
    }

    /// The only repositories (whole names) that the rule can take, if it names them.
    pub fn literal_repositories(&self) -> Option<Vec<Name>> {
        let names = self.filters.literal_names()?;
        let whole = |name: String| {
            if self.is_for_every_project() {
                name
            } else if name.is_empty() {
                self.project.clone()
            } else {
                format!("{}/{name}", self.project)
            }
        };
        let names = names.into_iter().map(|name| whole(name).parse().ok());
        Some(names.flatten().collect())
    }

    /// What a person who saves the rule should know.
    pub fn warnings(&self) -> Vec<String> {
        let partial = |pattern: &Pattern| {
            pattern.has_partial_double_star().then(|| {
                format!("in `{pattern}`, a `**` that is no whole component does what one `*` does")
            })
        };
        self.filters.patterns().filter_map(partial).collect()
    }
}

impl Mode {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("push", Self::Push), ("pull", Self::Pull)];

    pub fn as_str(self) -> &'static str {
        word(&Self::WORDS, |mode| *mode == self)
    }
}

impl Fill {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("present", Self::Present), ("all", Self::All)];

    pub fn as_str(self) -> &'static str {
        word(&Self::WORDS, |fill| *fill == self)
    }
}

impl PlatformMode {
    pub(super) const WORDS: [(&'static str, Self); 2] = [
        ("keep_index", Self::KeepIndex),
        ("rewrite_index", Self::RewriteIndex),
    ];

    pub fn as_str(self) -> &'static str {
        word(&Self::WORDS, |mode| *mode == self)
    }
}

impl Trigger {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Cron(_) => "cron",
            Self::Event => "event",
        }
    }

    pub fn is_event(&self) -> bool {
        matches!(self, Self::Event)
    }
}

fn word<T>(words: &[(&'static str, T)], is_it: impl Fn(&T) -> bool) -> &'static str {
    let found = words.iter().find(|(_, value)| is_it(value));
    found.expect("each value has its word").0
}

#[cfg(test)]
mod tests;
