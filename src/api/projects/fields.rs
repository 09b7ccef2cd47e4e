//! What the document says that a body of a project may hold. The configuration reads it, by the same names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, ProjectMember, Visibility};
use crate::api::amount::Size;

/// How long tags may be served without asking the remote. What is left out is as by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct FreshnessFields {
    /// A pattern on tags; not there: all
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "latest")]
    pub tags: Option<String>,
    /// `ttl` (asked again after `ttl`), `always` or `immutable`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(ttl|always|immutable)$")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1m")]
    pub ttl: Option<String>,
    /// For so long after the ttl the old answer is given, and the remote asked behind it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "30s")]
    pub stale_while_revalidate: Option<String>,
    /// How long the old answer is given while the remote is down: a duration, or `unlimited`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "unlimited")]
    pub stale_if_error: Option<String>,
}

/// A tag goes that is neither among the newest nor young enough. One of the two must be there.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RetentionFields {
    /// A pattern on tags; not there: all
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ci-*")]
    pub tags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10000)]
    pub newest: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "90days")]
    pub max_age: Option<String>,
}

/// What a project is to be. What is left out is as by default; members that mean nothing for its kind are refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ProjectFields)]
pub struct ProjectFields {
    /// One component of a repository name
    #[serde(default)]
    #[schema(
        example = "team",
        pattern = "^[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*$",
        max_length = 200
    )]
    pub name: String,
    /// Not there: `mirror`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of a mirror; not there: the remote of the project's name
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Of a mirror: values of `?ns=` that mean this project
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Completes names that start with no project's name; one project at most does
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Patterns on repository names without the project; none: all
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Patterns on the same; these win
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
    /// Of a mirror: put before the remote's repository name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "team-a")]
    pub prefix: Option<String>,
    /// Of a mirror: the budget of its cache; `unlimited`, as if not there
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
    /// Of a mirror: a tag is still served that the remote says is gone, or hides
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_deleted: Option<bool>,
    /// Of a mirror: its remote is never asked
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
    /// Of a mirror: how long a remote's "not there" is remembered
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "10s")]
    pub negative_ttl: Option<String>,
    /// Of a mirror with the visibility `remote`: how long the remote's answer holds
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "5m")]
    pub verdict_ttl: Option<String>,
    /// The same while the remote is down
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1h")]
    pub verdict_if_error: Option<String>,
    /// Of a mirror; first match wins, and tags that none matches may be a minute old
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Vec<FreshnessFields>>,
    /// Of a hosted project: how much it may have; `unlimited`, as if not there
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// Of a hosted project: which tags go by themselves; first match wins
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Vec<RetentionFields>>,
    /// Of a hosted project: patterns of tags that stay where they were first pushed
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable_tags: Option<Vec<String>>,
    /// Of a hosted project: an index may name what is not here
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse_index: Option<bool>,
    /// Of a hosted project: an image may name blobs that are not here
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse_image: Option<bool>,
    /// Of a hosted project: a push makes its repository
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_create_repositories: Option<bool>,
    /// Of a hosted project: it may have a name that hides repositories of the default project
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hide_default: Option<bool>,
    /// Left out of a change: they stay as they are
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<ProjectMember>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{
            openapi::{documented, known_keys},
            projects::{Freshness, Project, Retention, object::TOLD},
        },
        config::{Declared, Row, Rows},
    };

    /// The keys that are known where `members` has one that is not.
    fn known(members: &Value) -> BTreeSet<String> {
        let rows = Rows {
            remotes: Vec::new(),
            projects: vec![Row::new(
                "docker.io",
                members.as_object().expect("an object"),
                [].into(),
            )],
        };
        let read = Declared::default().with(&rows).expect("nothing declared");
        known_keys(&read.refused[0].error.problem)
    }

    /// What `[[project]]` knows, of a mirror and of a hosted project, and what the API adds.
    fn taken() -> BTreeSet<String> {
        let mut keys = known(&json!({"nobodys": 1}));
        keys.extend(["description", "members"].map(str::to_owned));
        keys
    }

    #[test]
    fn what_a_body_may_hold_is_documented() {
        assert_eq!(documented::<ProjectFields>(), taken());
        let freshness = known(&json!({"freshness": [{"nobodys": 1}]}));
        assert_eq!(documented::<FreshnessFields>(), freshness);
        let hosted = json!({"kind": "hosted", "retention": [{"newest": 1, "nobodys": 1}]});
        assert_eq!(documented::<RetentionFields>(), known(&hosted));
    }

    #[test]
    fn all_of_it_is_shown() {
        let mut shown = taken();
        shown.extend(TOLD.map(str::to_owned));
        assert_eq!(documented::<Project>(), shown);
        assert_eq!(documented::<Freshness>(), documented::<FreshnessFields>());
        assert_eq!(documented::<Retention>(), documented::<RetentionFields>());
    }
}
