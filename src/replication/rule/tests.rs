use std::time::Duration;

use serde_json::{Map, Value, json};

use super::*;
use crate::replication::naming::Flatten;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => panic!("no object"),
    }
}

fn minimal(more: Value) -> Map<String, Value> {
    let mut members = object(json!({
        "name": "r", "remotes": ["edge"], "source": {"project": "docker.io"},
    }));
    members.extend(object(more));
    members
}

fn read(more: Value) -> Rule {
    Rule::read(minimal(more)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn wrong(more: Value) -> Vec<String> {
    let problems = Rule::read(minimal(more)).expect_err("something is wrong");
    problems.into_iter().map(|problem| problem.field).collect()
}

/// The object of the contract.
fn documented() -> Value {
    json!({
        "name": "edge-1-registry-replication", "description": "", "enabled": true,
        "mode": "push",
        "remotes": ["edge-1-registry", "edge-2-registry"],
        "source": {"project": "docker.io",
                   "filters": [{"type": "name", "value": "library/**"},
                               {"type": "tag", "value": "1.*", "decoration": "matches"},
                               {"type": "label", "value": ["prod"]},
                               {"type": "resource", "value": ["image", "chart"]}]},
        "destination": {"project": "", "flatten": 1},
        "trigger": {"type": "event"},
        "override": false, "propagate_delete": false, "referrers": true, "bandwidth": "-1",
    })
}

#[test]
fn what_is_left_out_is_as_by_default() {
    let rule = read(json!({}));
    assert!(rule.enabled && rule.referrers && rule.trigger.is_event());
    assert!(!rule.overwrite && !rule.propagate_delete);
    assert_eq!((rule.mode, rule.description.as_str()), (Mode::Push, ""));
    assert_eq!((rule.bandwidth, rule.transfer_bandwidth), (None, None));
    assert_eq!(rule.retry_for, Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(
        (rule.fill, rule.platform_mode),
        (Fill::Present, PlatformMode::KeepIndex)
    );
    assert_eq!(
        (rule.naming.project, rule.naming.flatten),
        (None, Flatten::Leading(1))
    );
    assert_eq!((rule.delete_grace, rule.delete_cap), (Duration::ZERO, None));
    assert!(rule.filters.0.is_empty());
    let pull = read(json!({"mode": "pull"}));
    assert!(matches!(pull.trigger, Trigger::Manual));
}

#[test]
fn a_rule_that_is_shown_can_be_given_back() {
    let rule = Rule::read(object(documented())).unwrap();
    let shown = rule.members();
    for (member, value) in object(documented()) {
        if member != "source" {
            assert_eq!(shown[&member], value, "{member}");
        }
    }
    assert_eq!(shown["retry_for"], "7d");
    assert_eq!(shown["delete_grace"], "0s");
    assert_eq!(
        shown["source"]["filters"][1],
        json!({"type": "tag", "value": "1.*", "decoration": "matches"})
    );
    assert_eq!(Rule::read(shown.clone()).unwrap().members(), shown);
}

#[test]
fn every_kind_of_filter_is_read_and_shown() {
    let filters = json!([
        {"type": "semver", "value": ">=1.2, <2"},
        {"type": "newest", "value": 3, "decoration": "matches"},
        {"type": "max_age", "value": "30d", "decoration": "matches"},
        {"type": "platform", "value": ["linux/amd64", "linux/arm/v7"], "decoration": "excludes"},
        {"type": "tag", "value": "/^v[0-9]+/", "decoration": "excludes"},
        {"type": "resource", "value": "chart"},
    ]);
    let rule = read(json!({"source": {"project": "team", "filters": filters}}));
    let shown = rule.members();
    let shown = shown["source"]["filters"].as_array().unwrap();
    let values: Vec<_> = shown.iter().map(|filter| filter["value"].clone()).collect();
    assert_eq!(
        values,
        [
            json!(">=1.2, <2"),
            json!(3),
            json!("30d"),
            json!(["linux/amd64", "linux/arm/v7"]),
            json!("/^v[0-9]+/"),
            json!(["chart"]),
        ]
    );
    assert_eq!(shown[4]["decoration"], "excludes");
}

#[test]
fn an_empty_value_is_no_filter() {
    let filters = json!([
        {"type": "name", "value": ""},
        {"type": "label", "value": []},
        {"type": "resource", "value": "all"},
        {"type": "resource", "value": ["all"]},
        {"type": "tag"},
        {"type": "newest", "value": ""},
    ]);
    let rule = read(json!({"source": {"project": "**", "filters": filters}}));
    assert!(rule.filters.0.is_empty() && rule.is_for_every_project());
}

#[test]
fn every_mistake_is_told_by_its_member() {
    for (more, fields) in [
        (json!({"name": "Big"}), vec!["name"]),
        (json!({"name": null}), vec!["name"]),
        (json!({"remotes": []}), vec!["remotes"]),
        (json!({"remotes": ["a", "a"]}), vec!["remotes"]),
        (
            json!({"mode": "pull", "remotes": ["a", "b"]}),
            vec!["remotes"],
        ),
        (json!({"mode": "both"}), vec!["mode"]),
        (json!({"source": {}}), vec!["source.project"]),
        (json!({"source": {"project": "Ä"}}), vec!["source.project"]),
        (json!({"source": 7}), vec!["source", "source.project"]),
        (json!({"surce": 7}), vec!["surce"]),
        (json!({"bandwidth": "fast"}), vec!["bandwidth"]),
        (json!({"bandwidth": 0}), vec!["bandwidth"]),
        (json!({"retry_for": 7}), vec!["retry_for"]),
        (
            json!({"destination": {"project": "team", "flatten": -2}}),
            vec!["destination.flatten"],
        ),
        (
            json!({"destination": {"project": "Team/"}}),
            vec!["destination.project"],
        ),
        (json!({"trigger": {"type": "cron"}}), vec!["trigger.cron"]),
        (
            json!({"trigger": {"type": "cron", "cron": "x"}}),
            vec!["trigger.cron"],
        ),
        (
            json!({"trigger": {"type": "cron", "cron": "@daily", "timezone": "X/Y"}}),
            vec!["trigger.timezone"],
        ),
        (
            json!({"mode": "pull", "trigger": {"type": "event"}}),
            vec!["trigger.type"],
        ),
        (
            json!({"source": {"project": "**"}, "destination": {"project": "x"}}),
            vec!["destination.project"],
        ),
    ] {
        assert_eq!(wrong(more.clone()), fields, "{more}");
    }
}

#[test]
fn a_bad_filter_is_told_by_its_place() {
    let filters = json!([
        {"type": "name", "value": "a/[b"},
        {"type": "tag", "value": "/(/"},
        {"type": "colour", "value": "red"},
        {"type": "newest", "value": 3, "decoration": "excludes"},
        {"type": "platform", "value": "linux"},
        {"type": "tag", "value": "1", "mode": "x"},
        {"type": "resource", "value": ["all", "image"]},
    ]);
    assert_eq!(
        wrong(json!({"source": {"project": "team", "filters": filters}})),
        [
            "source.filters[0].value",
            "source.filters[1].value",
            "source.filters[2].type",
            "source.filters[3].decoration",
            "source.filters[4].value",
            "source.filters[5].mode",
            "source.filters[6].value",
        ]
    );
}

#[test]
fn bandwidths_are_bytes_per_second_or_none() {
    for (given, expected) in [
        (json!("20MiB/s"), Some(20 << 20)),
        (json!(1000), Some(1000)),
        (json!("1000"), Some(1000)),
        (json!(-1), None),
        (json!("-1"), None),
    ] {
        assert_eq!(
            read(json!({"bandwidth": given})).bandwidth,
            expected,
            "{given}"
        );
    }
}

#[test]
fn a_rule_takes_the_repositories_of_its_project_that_its_filters_take() {
    let takes = |rule: &Rule, name: &str| rule.takes_repository(&name.parse().unwrap());
    let filters = json!([{"type": "name", "value": "library/**"}]);
    let one = read(json!({"source": {"project": "docker.io", "filters": filters}}));
    assert!(takes(&one, "docker.io/library/nginx"));
    assert!(!takes(&one, "docker.io/other/nginx"));
    assert!(!takes(&one, "docker.iox/library/nginx") && !takes(&one, "docker.io"));
    let filters = json!([{"type": "name", "value": "*/library/**"}]);
    let every = read(json!({"source": {"project": "**", "filters": filters}}));
    assert!(takes(&every, "docker.io/library/nginx") && !takes(&every, "library/nginx"));
    let whole = read(json!({}));
    assert!(takes(&whole, "docker.io") && takes(&whole, "docker.io/a/b"));
}

#[test]
fn a_rule_names_its_repositories_if_its_filter_does() {
    let filters = json!([{"type": "name", "value": "library/{nginx,redis}"}]);
    let rule = read(json!({"source": {"project": "docker.io", "filters": filters}}));
    let names = rule.literal_repositories().unwrap();
    let names: Vec<_> = names.iter().map(Name::as_str).collect();
    assert_eq!(
        names,
        ["docker.io/library/nginx", "docker.io/library/redis"]
    );
    assert!(read(json!({})).literal_repositories().is_none());
}

#[test]
fn a_rule_belongs_to_its_project_here() {
    assert_eq!(read(json!({})).local_project(), Some("docker.io"));
    assert_eq!(
        read(json!({"source": {"project": "**"}})).local_project(),
        None
    );
    let pull = json!({"mode": "pull", "source": {"project": "library"}, "destination": {"project": "team/x"}});
    assert_eq!(read(pull).local_project(), Some("team"));
    let kept = json!({"mode": "pull", "source": {"project": "org/a"}});
    assert_eq!(read(kept).local_project(), Some("org"));
}

#[test]
fn saving_warns_of_a_double_star_inside_a_component() {
    let filters = json!([{"type": "name", "value": "lib**/x"}, {"type": "tag", "value": "**"}]);
    let rule = read(json!({"source": {"project": "team", "filters": filters}}));
    let warnings = rule.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("lib**/x"));
}
