//! A rule as the API shows and takes it.

use std::{collections::BTreeMap, time::SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    amount::{Count, Rate},
    problem::Problem,
    timestamp::Timestamp,
};
use crate::replication::KnownRule;

/// What is replicated, where to and when.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the contract's members")]
pub struct Rule {
    pub id: Uuid,
    #[schema(example = "edge-1-registry-replication")]
    pub name: String,
    pub description: String,
    pub enabled: bool,
    /// `push` or `pull`
    pub mode: String,
    pub remotes: Vec<String>,
    pub source: RuleSource,
    pub destination: RuleDestination,
    pub trigger: RuleTrigger,
    /// A tag at the destination that the rule did not put there is overwritten
    #[serde(rename = "override")]
    pub overwrite: bool,
    pub propagate_delete: bool,
    pub referrers: bool,
    /// Of the whole rule: bytes per second, or `-1`
    pub bandwidth: String,
    /// Of one transfer: bytes per second, or `-1`
    pub transfer_bandwidth: String,
    #[schema(example = "7d")]
    pub retry_for: String,
    /// Of a mirror project: `present` or `all`
    pub fill: String,
    /// `keep_index` or `rewrite_index`
    pub platform_mode: String,
    /// Tasks of this rule at once; not there: as many as the server runs
    #[serde(default)]
    pub concurrency: Option<u32>,
    pub delete_grace: String,
    /// Tags that may be deleted without asking; not there: the larger of 100 and a fifth of the rule's
    #[serde(default)]
    pub delete_cap: Option<u32>,
    /// Who made it
    pub owner: String,
    /// What may not be as meant
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The execution that this change has begun
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Uuid>,
    /// A planned execution of more deletes than `delete_cap`, which waits to be applied
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_deletes: Option<Uuid>,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleSource {
    /// `**`: every project; of a rule that pulls: the project on the remote
    pub project: String,
    #[serde(default)]
    pub filters: Vec<RuleFilter>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleFilter {
    /// `name`, `tag`, `label`, `resource`, `semver`, `newest`, `max_age` or `platform`
    #[serde(rename = "type")]
    pub kind: String,
    /// A text, a list of texts or a number, as the type asks for
    pub value: Value,
    /// `matches` or `excludes`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoration: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleDestination {
    /// Put in front; empty: the source's whole name is kept
    #[serde(default)]
    pub project: String,
    /// How many leading components of the source's whole name are dropped; -1: all but the last
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1, maximum = 255)]
    pub flatten: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleTrigger {
    /// `manual`, `cron` or `event`
    #[serde(rename = "type")]
    pub kind: String,
    /// Minute, hour, day, month and weekday, or `@daily` and the like
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Zurich")]
    pub timezone: Option<String>,
}

/// What a rule is to be. What is left out is as by default.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleFields {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]*$", max_length = 255)]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    pub remotes: Vec<String>,
    pub source: RuleSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<RuleDestination>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<RuleTrigger>,
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate_delete: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrers: Option<bool>,
    /// Of the whole rule
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "20MiB/s")]
    pub bandwidth: Option<Rate>,
    /// Of one transfer
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_bandwidth: Option<Rate>,
    /// How long what fails for now is tried again
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub retry_for: Option<String>,
    /// Of a mirror project: `present` or `all`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(present|all)$")]
    pub fill: Option<String>,
    /// What becomes of an index when platforms are chosen: `keep_index` or `rewrite_index`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(keep_index|rewrite_index)$")]
    pub platform_mode: Option<String>,
    /// Tasks of this rule at once; not there: as many as the server runs
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Count>,
    /// How long a tag must be gone before it is deleted at the destination
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0s")]
    pub delete_grace: Option<String>,
    /// Tags that may be deleted without asking; not there: the larger of 100 and a fifth of the rule's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_cap: Option<Count>,
}

/// What is changed of a rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleSwitch {
    /// False: what runs is stopped
    pub enabled: bool,
}

/// `expiring`: the remotes whose credentials end, and when.
pub(super) fn shown(
    known: &KnownRule,
    expiring: &BTreeMap<String, SystemTime>,
) -> Result<Rule, Problem> {
    let mut members = known.rule.members();
    let mut warnings = known.rule.warnings();
    if known.rule.enabled {
        warnings.extend(credential_warnings(&known.rule.remotes, expiring));
    }
    let more = serde_json::json!({
        "id": known.id,
        "owner": known.owner,
        "warnings": warnings,
        "created_at": Timestamp::from(known.created_at),
        "changed_at": Timestamp::from(known.changed_at),
    });
    if let Value::Object(more) = more {
        members.extend(more);
    }
    serde_json::from_value(Value::Object(members)).map_err(|error| {
        tracing::error!(%error, "a rule cannot be shown: {error}");
        Problem::internal()
    })
}

fn credential_warnings(
    remotes: &[String],
    expiring: &BTreeMap<String, SystemTime>,
) -> impl Iterator<Item = String> {
    let ends = remotes
        .iter()
        .filter_map(|remote| Some((remote, expiring.get(remote)?)));
    ends.map(|(remote, at)| {
        let when = humantime::format_rfc3339_seconds(*at);
        format!("the credentials of remote `{remote}` end at {when}: the rule fails from then on")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{
        api::{openapi::documented, rules::TOLD},
        replication::Rule as Checked,
    };

    fn keys(object: &Value) -> BTreeSet<String> {
        object
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    }

    #[test]
    fn what_a_body_may_hold_is_documented_and_all_of_it_is_shown() {
        let given = json!({
            "name": "r", "remotes": ["edge"], "trigger": {"type": "cron", "cron": "@daily"},
            "source": {"project": "team", "filters": [{"type": "name", "value": "**"}]},
        });
        let given = given.as_object().expect("an object").clone();
        let rule = Checked::read(given).expect("a right rule");
        let whole = Value::Object(rule.members());
        let mut members = keys(&whole);
        assert_eq!(documented::<RuleFields>(), members);
        assert_eq!(documented::<RuleSource>(), keys(&whole["source"]));
        assert_eq!(
            documented::<RuleFilter>(),
            keys(&whole["source"]["filters"][0])
        );
        assert_eq!(documented::<RuleDestination>(), keys(&whole["destination"]));
        assert_eq!(documented::<RuleTrigger>(), keys(&whole["trigger"]));
        members.extend(TOLD.map(str::to_owned));
        assert_eq!(documented::<Rule>(), members);
    }
}
