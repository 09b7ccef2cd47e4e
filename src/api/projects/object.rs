//! A project as an answer has it, and what is done with a body before the configuration reads it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{body::Body, problem::Problem, timestamp::Timestamp};
use super::ProjectMember;
use crate::{
    config::{self, FreshnessMode, ProjectKind, StaleIfError},
    settings::{self, KnownProject},
};

/// Where something is declared, and so where it can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ManagedBy {
    /// The configuration file: it cannot be changed here
    Configuration,
    /// There without being asked for: a PUT replaces it
    BuiltIn,
    Api,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Filled from a remote
    Mirror,
    /// Pushed to
    Hosted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Anybody may pull
    Public,
    /// A right is needed
    Private,
    /// Whom the remote itself lets in
    Remote,
}

/// How long tags may be served without asking the remote.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Freshness {
    /// A pattern on tags
    pub tags: String,
    /// `ttl`, `always` or `immutable`
    pub mode: String,
    #[schema(example = "1m")]
    pub ttl: String,
    pub stale_while_revalidate: String,
    /// A duration, or `unlimited`
    pub stale_if_error: String,
}

/// A tag goes that is neither among the newest nor young enough.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Retention {
    /// A pattern on tags
    pub tags: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "90days")]
    pub max_age: Option<String>,
}

/// A tenant's space: the first component of repository names. The members are those of `[[project]]` in the configuration
/// file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Project {
    #[schema(example = "team")]
    pub name: String,
    pub kind: Kind,
    pub description: String,
    pub managed_by: ManagedBy,
    /// Of a mirror
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Of a mirror: values of `?ns=` that mean this project
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Completes names that start with no project's name
    pub default: bool,
    pub visibility: Visibility,
    /// Patterns on repository names without the project; none: all
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    /// Put before the remote's repository name
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Budget of a mirror's cache; not there: unlimited
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Of a mirror
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_deleted: Option<bool>,
    /// Of a mirror
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
    /// Of a mirror
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<String>,
    /// Of a mirror with the visibility `remote`: how long the remote's answer holds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict_ttl: Option<String>,
    /// The same while the remote is down
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict_if_error: Option<String>,
    /// Of a mirror; first match wins, and tags that none matches may be a minute old
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Vec<Freshness>>,
    /// Of a hosted project: how much it may have; not there: unlimited
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// Of a hosted project: patterns of tags that stay where they were first pushed
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable_tags: Option<Vec<String>>,
    /// Of a hosted project: an index may name what is not here
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse_index: Option<bool>,
    /// Of a hosted project: an image may name blobs that are not here
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse_image: Option<bool>,
    /// Of a hosted project: which tags go by themselves; first match wins
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Vec<Retention>>,
    /// Of a hosted project
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_create_repositories: Option<bool>,
    /// Of a hosted project
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hide_default: Option<bool>,
    /// Users with rights in this project by its name; not there: the caller may not see them
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<ProjectMember>>,
    pub created_at: Option<Timestamp>,
    pub changed_at: Option<Timestamp>,
}

/// What an answer has and a change need not have.
pub(super) const TOLD: [&str; 3] = ["managed_by", "created_at", "changed_at"];

/// What an answer only tells is left out, so that what was got can be put.
pub(super) fn check(body: &mut Body) -> Result<(), Problem> {
    for told in TOLD {
        body.0.remove(told);
    }
    match body.0.get("description") {
        None | Some(serde_json::Value::Null | serde_json::Value::String(_)) => Ok(()),
        Some(_) => Err(Problem::bad_field("description", "expected a text")),
    }
}

/// As the configuration says it.
pub(in crate::api) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

impl From<settings::ManagedBy> for ManagedBy {
    fn from(managed_by: settings::ManagedBy) -> Self {
        match managed_by {
            settings::ManagedBy::Configuration => Self::Configuration,
            settings::ManagedBy::BuiltIn => Self::BuiltIn,
            settings::ManagedBy::Api => Self::Api,
        }
    }
}

impl From<config::Visibility> for Visibility {
    fn from(visibility: config::Visibility) -> Self {
        match visibility {
            config::Visibility::Public => Self::Public,
            config::Visibility::Private => Self::Private,
            config::Visibility::Remote => Self::Remote,
        }
    }
}

impl From<&config::Freshness> for Freshness {
    fn from(rule: &config::Freshness) -> Self {
        let mode = match rule.mode {
            FreshnessMode::Ttl => "ttl",
            FreshnessMode::Always => "always",
            FreshnessMode::Immutable => "immutable",
        };
        Self {
            tags: rule.tags.to_string(),
            mode: mode.to_owned(),
            ttl: duration(rule.ttl),
            stale_while_revalidate: duration(rule.stale_while_revalidate),
            stale_if_error: match rule.stale_if_error {
                StaleIfError::Unlimited => "unlimited".to_owned(),
                StaleIfError::For(time) => duration(time),
            },
        }
    }
}

impl From<&config::Retention> for Retention {
    fn from(rule: &config::Retention) -> Self {
        Self {
            tags: rule.tags.to_string(),
            newest: rule.newest,
            max_age: rule.max_age.map(duration),
        }
    }
}

impl From<KnownProject> for Project {
    fn from(known: KnownProject) -> Self {
        let project = &known.project;
        let texts =
            |patterns: &[config::Pattern]| patterns.iter().map(ToString::to_string).collect();
        let (kind, remote) = match &project.kind {
            ProjectKind::Hosted => (Kind::Hosted, None),
            ProjectKind::Mirror { remote } => (Kind::Mirror, Some(remote.clone())),
        };
        let (mirror, hosted) = (project.is_mirror(), !project.is_mirror());
        Self {
            name: project.name.clone(),
            kind,
            description: known.description,
            managed_by: known.managed_by.into(),
            remote,
            hosts: mirror.then(|| project.hosts.clone()),
            default: project.default,
            visibility: project.visibility.into(),
            allow: texts(&project.allow),
            deny: texts(&project.deny),
            prefix: project.prefix.as_ref().map(ToString::to_string),
            max_bytes: project.max_bytes,
            keep_deleted: mirror.then_some(project.keep_deleted),
            offline: mirror.then_some(project.offline),
            negative_ttl: mirror.then(|| duration(project.negative_ttl)),
            verdict_ttl: mirror.then(|| duration(project.verdict_ttl)),
            verdict_if_error: mirror.then(|| duration(project.verdict_if_error)),
            freshness: mirror.then(|| project.freshness_given().iter().map(Into::into).collect()),
            quota: project.quota,
            immutable_tags: hosted.then(|| texts(&project.immutable_tags)),
            sparse_index: hosted.then_some(project.sparse_index),
            sparse_image: hosted.then_some(project.sparse_image),
            retention: hosted.then(|| project.retention.iter().map(Into::into).collect()),
            auto_create_repositories: hosted.then_some(project.auto_create_repositories),
            hide_default: hosted.then_some(project.hide_default),
            members: None,
            created_at: known.created_at.map(Into::into),
            changed_at: known.changed_at.map(Into::into),
        }
    }
}
