//! When rules act, how fast, and how they are stopped; and what one destination means to the others.

use std::time::Instant;

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, image};
use crate::{
    harness::{ImageBuilder, Trouble},
    push::Pusher,
};

impl Sites {
    /// Tasks of the rule that have one of these states.
    pub(super) async fn tasks(&self, status: &str) -> Vec<Value> {
        let listed = self.get("/rules/to-edge/tasks").await;
        let tasks = listed["items"].as_array().expect("a list").iter();
        tasks
            .filter(|task| task["status"] == status)
            .cloned()
            .collect()
    }

    async fn switch(&self, enabled: bool) -> Value {
        let body = Some(json!({"enabled": enabled}));
        let switched = self.call(Method::PATCH, "/rules/to-edge", body).await;
        assert_eq!(switched.status, 200, "{}", switched.body);
        switched.body
    }

    /// Waits until some of a blob is sent.
    pub(super) async fn sends(&self) {
        eventually(async || {
            let running = self.tasks("Running").await;
            running
                .iter()
                .any(|task| task["bytes_sent"].as_u64() > Some(0))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_rule_stops_it_within_a_second_in_the_middle_of_a_blob() {
    let sites = Sites::start().await;
    let big = ImageBuilder::new(1).layer(3_000_000).build();
    sites.push("team/app", "1", &big).await;
    sites.rule(json!({"bandwidth": "100KiB/s"})).await;
    sites.sends().await;
    let begun = Instant::now();
    sites.switch(false).await;
    eventually(async || (!sites.tasks("Stopped").await.is_empty()).then_some(())).await;
    assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
    // What happens meanwhile is nothing to it.
    let small = image(2);
    sites.push("team/other", "1", &small).await;
    assert_eq!(sites.at_edge("team/app", "1").await, None);
    // Enabled again, it begins with all that matches, in the limits that it has by now.
    let mut rule = sites.get("/rules/to-edge").await;
    rule["bandwidth"] = json!("-1");
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    let enabled = sites.switch(true).await;
    let execution = enabled["execution"].as_str().expect("an execution");
    assert_eq!(sites.done(execution).await["status"], "Succeeded");
    sites.arrived("team/app", "1", Some(&big)).await;
    sites.arrived("team/other", "1", Some(&small)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bandwidth_holds_for_what_is_being_sent() {
    let sites = Sites::start().await;
    let big = ImageBuilder::new(1).layer(3_000_000).build();
    sites.push("team/app", "1", &big).await;
    let mut rule = sites.rule(json!({"bandwidth": "10KiB/s"})).await;
    sites.sends().await;
    rule["bandwidth"] = json!("-1");
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    // It would take five minutes.
    sites.arrived("team/app", "1", Some(&big)).await;
    let done = eventually(async || sites.tasks("Succeeded").await.first().cloned()).await;
    assert_eq!(done["attempts"], 1, "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_with_a_time_begins_when_it_has_come() {
    let sites = Sites::start().await;
    let one = image(1);
    sites.push("team/app", "1", &one).await;
    let trigger = json!({"type": "cron", "cron": "0 3 * * *", "timezone": "Europe/Zurich"});
    let made = sites.rule(json!({"trigger": trigger})).await;
    assert_eq!(made["execution"], Value::Null);
    assert_eq!(sites.get("/executions").await["items"], json!([]));
    sites.hub.execute("UPDATE rule SET due_at = 1").await;
    sites.arrived("team/app", "1", Some(&one)).await;
    let listed = sites.get("/executions?rule=to-edge").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["trigger"], "cron");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_comes_though_a_plan_waits_and_a_remote_is_away() {
    let sites = Sites::start().await;
    sites.near().await;
    let trigger = json!({"type": "cron", "cron": "0 3 * * *"});
    let more = json!({"remotes": ["edge", "near"], "trigger": trigger});
    sites.rule(more).await;
    let dry = sites.run("to-edge", json!({"dry_run": true})).await;
    sites.execution(&dry, &["Planned"]).await;
    sites.line.set(Trouble::Refused);
    let one = image(1);
    for (repository, tag, open) in [
        ("team/app", "1", 1),
        ("team/other", "1", 2),
        ("team/app", "2", 3),
    ] {
        sites.push(repository, tag, &one).await;
        sites.hub.execute("UPDATE rule SET due_at = 1").await;
        sites.arrived(repository, tag, Some(&one)).await;
        // What is under way to the remote that is away is not sent there twice.
        eventually(async || {
            let waiting = sites.tasks("Retrying").await;
            (waiting.len() == open).then_some(())
        })
        .await;
        let later = "UPDATE task SET due_at = 9000000000000 WHERE status = 'Retrying'";
        sites.hub.execute(later).await;
    }
    let waiting = sites.tasks("Retrying").await;
    let tags = |task: &Value| task["tags"].as_array().map_or(0, Vec::len);
    assert!(waiting.iter().all(|task| tags(task) == 1), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_gone_through_while_a_delete_waits() {
    let sites = Sites::with("reconcile = \"1s\"").await;
    for tag in ["1", "2"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    let more = json!({"propagate_delete": true, "delete_grace": "1h"});
    let made = sites.rule(more).await;
    sites.done(made["execution"].as_str().expect("an id")).await;
    let delete = Pusher::of(&sites.hub).request(Method::DELETE, "/v2/team/app/manifests/2");
    assert_eq!(Pusher::send(delete).await.status, 202);
    let deletes = async || {
        let mut waiting = sites.tasks("Pending").await;
        waiting.retain(|task| task["tags"] == json!(["2"]));
        waiting.len()
    };
    eventually(async || (deletes().await > 0).then_some(())).await;
    let ended = async || {
        let listed = sites.get("/executions?status=Succeeded").await;
        listed["items"].as_array().map_or(0, Vec::len)
    };
    let before = ended().await;
    eventually(async || (ended().await > before + 1).then_some(())).await;
    assert_eq!(deletes().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_waits_takes_no_place() {
    let sites = Sites::with("concurrency = 2\n").await;
    sites.near().await;
    let big = |seed| ImageBuilder::new(seed).layer(500_000).build();
    for seed in [1, 2] {
        sites
            .push(&format!("team/app-{seed}"), "1", &big(seed))
            .await;
    }
    let manual = json!({"type": "manual"});
    sites.rule(json!({"trigger": manual})).await;
    let dry = sites.run("to-edge", json!({"dry_run": true})).await;
    sites.execution(&dry, &["Planned"]).await;
    let near = json!({
        "name": "to-near", "remotes": ["near"], "trigger": manual, "bandwidth": "50KiB/s",
    });
    sites.rule(near).await;
    let id = sites.run("to-near", json!({})).await;
    let path = format!("/executions/{id}");
    eventually(async || {
        let execution = sites.get(&path).await;
        assert_ne!(execution["tasks"]["succeeded"], 1, "{execution}");
        (execution["tasks"]["running"] == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_rule_that_is_disabled_or_gone_is_applied_or_retried() {
    let sites = Sites::start().await;
    sites.push("team/app", "1", &image(1)).await;
    let manual = json!({"retry_for": "1s", "trigger": {"type": "manual"}});
    sites.rule(manual).await;
    let dry = async || {
        let id = sites.run("to-edge", json!({"dry_run": true})).await;
        sites.execution(&id, &["Planned"]).await;
        id
    };
    let plan = dry().await;
    let never_applied = dry().await;
    let call = async |id: &str, what: &str| {
        let path = format!("/executions/{id}/{what}");
        sites.post(&path, json!({})).await
    };
    assert_eq!(call(&never_applied, "stop").await.status, 200);
    let refused = call(&never_applied, "retry").await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        refused.body.to_string().contains("applied"),
        "{}",
        refused.body
    );
    sites.line.set(Trouble::Refused);
    let failed = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&failed).await["status"], "Failed");
    sites.line.set(Trouble::None);

    sites.switch(false).await;
    for (id, what) in [(&plan, "apply"), (&failed, "retry")] {
        let refused = call(id, what).await;
        assert_eq!(refused.status, 409, "{what}: {}", refused.body);
        let told = refused.body.to_string();
        assert!(told.contains("disabled; enable it"), "{what}: {told}");
    }
    // The plan still waits.
    sites.switch(true).await;
    assert_eq!(call(&plan, "apply").await.status, 200);
    assert_eq!(sites.done(&plan).await["status"], "Succeeded");
    let deleted = sites.call(Method::DELETE, "/rules/to-edge", None).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    let refused = call(&failed, "retry").await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let tasks = sites.get(&format!("/executions/{failed}")).await;
    assert_eq!(tasks["status"], "Failed", "{tasks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_away_does_not_slow_another() {
    for trouble in [Trouble::Silent, Trouble::Refused] {
        let sites = Sites::with("concurrency = 2\n").await;
        sites.near().await;
        sites.line.set(trouble);
        sites.rule(json!({"remotes": ["edge", "near"]})).await;
        let images: Vec<_> = (1..9).map(image).collect();
        let begun = Instant::now();
        for (number, image) in images.iter().enumerate() {
            sites.push(&format!("team/app-{number}"), "1", image).await;
        }
        for (number, image) in images.iter().enumerate() {
            let repository = format!("team/app-{number}");
            sites.arrived(&repository, "1", Some(image)).await;
        }
        assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
        let waiting = eventually(async || {
            let open = sites.get("/rules/to-edge/tasks").await;
            let open = open["items"].as_array()?.iter();
            let of_edge = open.filter(|task| task["remote"] == "edge");
            let open: Vec<_> = of_edge.map(|task| task["status"].clone()).collect();
            (!open.is_empty()).then_some(open)
        })
        .await;
        assert!(
            waiting.iter().all(
                |status| ["Pending", "Running", "Retrying"].contains(&status.as_str().unwrap())
            ),
            "{waiting:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_done_in_time_fails_and_is_done_by_a_retry() {
    let sites = Sites::start().await;
    sites.push("team/app", "1", &image(1)).await;
    sites.line.set(Trouble::Refused);
    let manual = json!({"retry_for": "1s", "trigger": {"type": "manual"}});
    sites.rule(manual).await;
    let id = sites.run("to-edge", json!({})).await;
    let failed = sites.done(&id).await;
    assert_eq!(failed["status"], "Failed", "{failed}");
    let task = &sites.tasks("Failed").await[0];
    assert!(task["error"].as_str().unwrap().contains("tried"), "{task}");
    sites.line.set(Trouble::None);
    let retried = sites
        .post(&format!("/executions/{id}/retry"), json!({}))
        .await;
    assert_eq!(retried.status, 200, "{}", retried.body);
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    sites.arrived("team/app", "1", Some(&image(1))).await;
}
