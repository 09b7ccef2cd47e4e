//! Dry runs: what would be done, without doing it.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, image};
use crate::push::Pusher;

async fn planned(sites: &Sites, rule: &str) -> (String, Value) {
    let id = sites.run(rule, json!({"dry_run": true})).await;
    let execution = sites.execution(&id, &["Planned", "Failed"]).await;
    assert_eq!(execution["status"], "Planned", "{execution}");
    let plan = sites.get(&format!("/executions/{id}/plan")).await;
    (id, plan)
}

fn actions(plan: &Value) -> Vec<(String, String, String)> {
    let text = |item: &Value, member: &str| item[member].as_str().expect("a text").to_owned();
    let items = plan["items"].as_array().expect("a list");
    let mut actions: Vec<_> = items
        .iter()
        .map(|item| {
            (
                text(item, "destination"),
                text(item, "tag"),
                text(item, "action"),
            )
        })
        .collect();
    actions.sort();
    actions
}

fn action(destination: &str, tag: &str, action: &str) -> (String, String, String) {
    (destination.to_owned(), tag.to_owned(), action.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_is_copied_skipped_and_left_alone() {
    let sites = Sites::start().await;
    let (one, two) = (image(1), image(2));
    sites.push("team/app", "new", &one).await;
    sites.push("team/app", "same", &one).await;
    sites.push("team/app", "other", &one).await;
    sites.push("library/app", "new", &one).await;
    let edge = Pusher::of(&sites.edge);
    edge.image("team/app", "same", &one).await;
    edge.image("team/app", "other", &two).await;
    // As a registry that does not know which write a tag is of.
    sites.edge.execute("DELETE FROM tag_version").await;
    let off = json!({"enabled": false, "trigger": {"type": "manual"}});
    sites.rule(off).await;
    let (id, plan) = planned(&sites, "to-edge").await;
    assert_eq!(
        actions(&plan),
        [
            action("team/app", "new", "copy"),
            action("team/app", "other", "conflict"),
            action("team/app", "same", "skip"),
        ]
    );
    assert_eq!(
        (&plan["totals"]["copy"], &plan["totals"]["conflict"]),
        (&json!(1), &json!(1))
    );
    assert!(
        plan["totals"]["bytes"].as_u64().unwrap() >= 10_000,
        "{plan}"
    );
    let execution = sites.get(&format!("/executions/{id}")).await;
    assert_eq!(execution["repositories"], 1);
    assert_eq!(sites.at_edge("team/app", "new").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_flattening_decide_what_goes_where() {
    let sites = Sites::start().await;
    let one = image(1);
    for (repository, tag) in [
        ("team/a/web", "1.0"),
        ("team/a/web", "1.1"),
        ("team/a/web", "latest"),
        ("team/b/db", "1.0"),
        ("team/c/web", "1.0"),
    ] {
        sites.push(repository, tag, &one).await;
    }
    let filters = json!([
        {"type": "name", "value": "{a,b}/**"},
        {"type": "tag", "value": "/^[0-9]/"},
        {"type": "resource", "value": "image"},
    ]);
    let more = json!({
        "source": {"project": "team", "filters": filters},
        "destination": {"project": "team", "flatten": 2},
        "trigger": {"type": "manual"},
    });
    sites.rule(more).await;
    let (_, plan) = planned(&sites, "to-edge").await;
    assert_eq!(
        actions(&plan),
        [
            action("team/db", "1.0", "copy"),
            action("team/web", "1.0", "copy"),
            action("team/web", "1.1", "copy"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_that_would_go_to_one_place_are_found_before_anything_is_sent() {
    let sites = Sites::start().await;
    sites.push("team/x/img", "1", &image(1)).await;
    sites.push("team/y/img", "1", &image(2)).await;
    sites.push("team/y/img", "2", &image(2)).await;
    let more = json!({
        "destination": {"project": "team", "flatten": -1}, "trigger": {"type": "manual"},
    });
    sites.rule(more).await;
    let (id, plan) = planned(&sites, "to-edge").await;
    assert_eq!(
        actions(&plan),
        [
            action("team/img", "1", "collision"),
            action("team/img", "1", "collision"),
            action("team/img", "2", "copy"),
        ]
    );
    let execution = sites.get(&format!("/executions/{id}")).await;
    assert!(
        execution["message"].as_str().unwrap().contains("2 tags"),
        "{execution}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_flattened_so_far_fails_the_execution_before_any_task() {
    let sites = Sites::start().await;
    sites.push("team/app", "1", &image(1)).await;
    let more = json!({
        "destination": {"project": "team", "flatten": 2}, "trigger": {"type": "manual"},
    });
    sites.rule(more).await;
    let id = sites.run("to-edge", json!({})).await;
    let execution = sites.done(&id).await;
    assert_eq!(execution["status"], "Failed");
    assert_eq!(execution["tasks"]["total"], 0);
    assert!(
        execution["message"].as_str().unwrap().contains("team/app"),
        "{execution}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_stopped_is_not_carried_out() {
    let sites = Sites::start().await;
    sites.push("team/app", "1", &image(1)).await;
    sites.rule(json!({"trigger": {"type": "manual"}})).await;
    let (id, _) = planned(&sites, "to-edge").await;
    let path = format!("/executions/{id}");
    let stopped = sites.post(&format!("{path}/stop"), json!({})).await;
    assert_eq!(
        (stopped.status, &stopped.body["status"]),
        (200, &json!("Stopped"))
    );
    assert_eq!(
        sites.post(&format!("{path}/apply"), json!({})).await.status,
        409
    );
    assert_eq!(
        sites.post(&format!("{path}/stop"), json!({})).await.status,
        409
    );
    let listed = sites.get("/executions?rule=to-edge&status=Stopped").await;
    assert_eq!(listed["items"][0]["id"], json!(id));
    let none = sites.get("/executions?rule=to-edge&status=Failed").await;
    assert_eq!(none["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_execution_and_no_task_is_not_found() {
    let sites = Sites::start().await;
    let unknown = "019a0000-0000-7000-8000-000000000000";
    for path in [
        format!("/executions/{unknown}"),
        format!("/executions/{unknown}/tasks"),
        format!("/tasks/{unknown}"),
        format!("/tasks/{unknown}/log"),
        "/executions/none".to_owned(),
    ] {
        assert_eq!(
            sites.call(Method::GET, &path, None).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_away_leaves_the_plan_of_the_others() {
    let sites = Sites::start().await;
    let away = json!({"name": "away", "urls": ["http://127.0.0.1:1"], "header_timeout": "1s"});
    assert_eq!(sites.post("/remotes", away).await.status, 201);
    sites.push("team/app", "1", &image(1)).await;
    let more = json!({"remotes": ["away", "edge"], "trigger": {"type": "manual"}});
    sites.rule(more).await;
    let (id, plan) = planned(&sites, "to-edge").await;
    let told = |remote: &str| {
        let items = plan["items"].as_array().expect("a list");
        let of = items.iter().find(|item| item["remote"] == remote);
        let item = of.expect("its tag");
        (item["action"].clone(), item["message"].is_string())
    };
    assert_eq!(told("edge"), (json!("copy"), false), "{plan}");
    assert_eq!(told("away"), (json!("copy"), true), "{plan}");
    let path = format!("/executions/{id}");
    let message = sites.get(&path).await["message"].clone();
    assert!(
        message.as_str().unwrap().contains("`away` could not be"),
        "{message}"
    );
    let applied = sites.post(&format!("{path}/apply"), json!({})).await;
    assert_eq!(applied.status, 200, "{}", applied.body);
    sites.arrived("team/app", "1", Some(&image(1))).await;
}
