//! What rules send, and what they delete: from the event to the tag at the other side.

use http::Method;
use serde_json::{Value, json};

use super::{PATIENCE, Sites, eventually, far, far_image, image};
use crate::{
    harness::{ImageBuilder, On, Trouble, get},
    push::Pusher,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_matches_is_sent_when_a_rule_is_made_and_then_each_change() {
    let sites = Sites::start().await;
    let (one, two) = (image(1), image(2));
    sites.push("team/app", "old", &one).await;
    let made = sites.rule(json!({})).await;
    let begun = made["execution"].as_str().expect("an execution");
    let execution = sites.done(begun).await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    assert_eq!(
        (&execution["trigger"], &execution["success_rate"]),
        (&json!("event"), &json!(1.0))
    );
    assert!(
        execution["bytes_sent"].as_u64().unwrap() > 10_000,
        "{execution}"
    );
    sites.arrived("team/app", "old", Some(&one)).await;

    sites.push("team/app", "new", &two).await;
    sites.arrived("team/app", "new", Some(&two)).await;
    sites.push("team/app", "old", &two).await;
    sites.arrived("team/app", "old", Some(&two)).await;
    // All of it can be pulled there.
    for digest in two.layers() {
        let blob = get(&sites.edge.blob_url("team/app", &digest)).await;
        assert_eq!(blob.status, 200);
    }
    assert_eq!(sites.at_edge("library/app", "new").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_in_the_metrics_by_their_states() {
    let sites = Sites::start().await;
    sites.push("team/app", "1", &image(1)).await;
    sites.rule(json!({"trigger": {"type": "manual"}})).await;
    let id = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    let metrics = sites.hub.metrics().await;
    for line in [
        r#"entrepot_tasks{status="Succeeded"} 1"#,
        r#"entrepot_tasks{status="Pending"} 0"#,
        r#"entrepot_tasks{status="Failed"} 0"#,
    ] {
        assert!(metrics.lines().any(|had| had == line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_carried_out_as_it_was_looked_at() {
    let sites = Sites::start().await;
    let (one, two) = (image(1), image(2));
    sites.push("team/app", "1", &one).await;
    sites.rule(json!({"trigger": {"type": "manual"}})).await;
    let id = sites.run("to-edge", json!({"dry_run": true})).await;
    sites.execution(&id, &["Planned"]).await;
    sites.push("team/app", "1", &two).await;
    sites.push("team/app", "2", &two).await;
    let applied = sites
        .post(&format!("/executions/{id}/apply"), json!({}))
        .await;
    assert_eq!(applied.status, 200, "{}", applied.body);
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    assert_eq!(sites.at_edge("team/app", "1").await, Some(one.root.clone()));
    assert_eq!(sites.at_edge("team/app", "2").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rule_did_not_put_there_is_left_alone_and_told() {
    let sites = Sites::start().await;
    let (ours, theirs) = (image(1), image(2));
    Pusher::of(&sites.edge)
        .image("team/app", "1", &theirs)
        .await;
    // As a registry that does not know which write a tag is of.
    sites.edge.execute("DELETE FROM tag_version").await;
    sites.push("team/app", "1", &ours).await;
    sites.push("team/app", "2", &ours).await;
    let made = sites.rule(json!({"propagate_delete": true})).await;
    let id = made["execution"].as_str().unwrap();
    assert_eq!(sites.done(id).await["status"], "Succeeded");
    assert_eq!(
        sites.at_edge("team/app", "1").await,
        Some(theirs.root.clone())
    );
    assert_eq!(
        sites.at_edge("team/app", "2").await,
        Some(ours.root.clone())
    );
    let tasks = sites
        .get(&format!("/executions/{id}/tasks?remote=edge"))
        .await;
    let task = &tasks["items"][0];
    assert!(
        task["error"].as_str().unwrap().contains("team/app:1"),
        "{task}"
    );
    let log = get_text(
        &sites,
        &format!("/tasks/{}/log", task["id"].as_str().unwrap()),
    )
    .await;
    assert!(log.contains("left alone"), "{log}");

    // Deletes go no further than what was put there, either.
    let hub = Pusher::of(&sites.hub);
    for tag in ["1", "2"] {
        let path = format!("/v2/team/app/manifests/{tag}");
        let deleted = Pusher::send(hub.request(Method::DELETE, &path)).await;
        assert_eq!(deleted.status, 202);
    }
    sites.arrived("team/app", "2", None).await;
    assert_eq!(
        sites.at_edge("team/app", "1").await,
        Some(theirs.root.clone())
    );
}

async fn get_text(sites: &Sites, path: &str) -> String {
    let hub = Pusher::of(&sites.hub);
    let answer = hub.get(&format!("/api/v1{path}")).await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn override_lets_a_rule_replace_what_is_there() {
    let sites = Sites::start().await;
    let (ours, theirs) = (image(1), image(2));
    Pusher::of(&sites.edge)
        .image("team/app", "1", &theirs)
        .await;
    sites.edge.execute("DELETE FROM tag_version").await;
    sites.push("team/app", "1", &ours).await;
    sites.rule(json!({"override": true})).await;
    sites.arrived("team/app", "1", Some(&ours)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_away_gets_the_final_state_of_each_tag() {
    let sites = Sites::start().await;
    sites.push("team/app", "gone", &image(9)).await;
    let made = sites.rule(json!({"propagate_delete": true})).await;
    sites.done(made["execution"].as_str().unwrap()).await;
    sites.line.set(Trouble::Refused);
    for seed in 1..4 {
        sites.push("team/app", "moving", &image(seed)).await;
    }
    let hub = Pusher::of(&sites.hub);
    let delete = hub.request(Method::DELETE, "/v2/team/app/manifests/gone");
    assert_eq!(Pusher::send(delete).await.status, 202);
    let retrying = eventually(async || {
        let listed = sites.get("/rules/to-edge/tasks").await;
        let task = listed["items"]
            .as_array()?
            .iter()
            .find(|task| task["status"] == "Retrying")?;
        Some(task.clone())
    })
    .await;
    assert!(
        retrying["next_attempt_at"].is_string() && retrying["error"].is_string(),
        "{retrying}"
    );
    let path = format!("/executions/{}", retrying["execution"].as_str().unwrap());
    eventually(async || (sites.get(&path).await["status"] == "Retrying").then_some(())).await;
    sites.line.set(Trouble::None);
    sites.arrived("team/app", "moving", Some(&image(3))).await;
    sites.arrived("team/app", "gone", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_task() {
    let mut sites = Sites::start().await;
    sites.rule(json!({})).await;
    sites.line.set(Trouble::Silent);
    sites.push("team/app", "1", &image(1)).await;
    eventually(async || {
        let listed = sites.get("/rules/to-edge/tasks").await;
        (!listed["items"].as_array()?.is_empty()).then_some(())
    })
    .await;
    sites.hub.stop().await;
    sites.line.set(Trouble::None);
    sites.hub.start_again().await;
    sites.arrived("team/app", "1", Some(&image(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_blob_goes_on_where_the_destination_has_it() {
    const LAYER: u64 = 24_000_000;
    let mut sites = Sites::start().await;
    let big = ImageBuilder::new(1)
        .layer(usize::try_from(LAYER).unwrap())
        .build();
    sites.push("team/app", "1", &big).await;
    let mut rule = sites.rule(json!({"bandwidth": "6MB/s"})).await;
    eventually(async || (sites.line.bytes_to_server() > LAYER / 2).then_some(())).await;
    sites.hub.stop().await;
    sites.line.set(Trouble::Silent);
    sites.hub.start_again().await;
    rule["bandwidth"] = json!("-1");
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    sites.line.repair();
    sites.arrived("team/app", "1", Some(&big)).await;
    let sent = sites.line.bytes_to_server();
    assert!(sent < LAYER * 5 / 4, "{sent} bytes were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_sent_just_before_a_crash_is_the_rules_own() {
    let sites = Sites::start().await;
    sites.push("team/app", "1", &image(1)).await;
    let made = sites.rule(json!({})).await;
    sites.done(made["execution"].as_str().unwrap()).await;
    // It was killed after the tag, and before that was noted.
    sites.hub.execute("DELETE FROM delivery").await;
    sites
        .hub
        .execute("UPDATE execution SET status = 'InProgress', ended_at = NULL")
        .await;
    sites
        .hub
        .execute("UPDATE task SET status = 'Running', ended_at = NULL, due_at = 1, held_until = 1")
        .await;
    sites.done(made["execution"].as_str().unwrap()).await;
    sites.push("team/app", "1", &image(2)).await;
    sites.arrived("team/app", "1", Some(&image(2))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_miss_at_the_hub_warms_the_other_site() {
    let (remote, image) = far_image().await;
    let mirror = far(&remote);
    let sites = Sites::with(&mirror).await;
    let more = json!({
        "source": {"project": "far"}, "destination": {"project": "team", "flatten": 1},
    });
    sites.rule(more).await;
    let hub = &sites.hub;
    assert_eq!(
        get(&hub.manifest_url("far/library/app", "1")).await.status,
        200
    );
    let child = image.children()[0].clone();
    assert_eq!(
        get(&hub.manifest_url("far/library/app", &child))
            .await
            .status,
        200
    );
    let parts = image.layers_of(&child);
    for digest in parts {
        assert_eq!(
            get(&hub.blob_url("far/library/app", &digest)).await.status,
            200
        );
    }
    let config = child_config(&image, &child);
    assert_eq!(
        get(&hub.blob_url("far/library/app", &config)).await.status,
        200
    );
    sites.arrived("team/library/app", "1", Some(&image)).await;
    let there = get(&sites.edge.manifest_url("team/library/app", &child)).await;
    assert_eq!(there.status, 200);
    // The other platform was never asked for.
    let other = image.children()[1].clone();
    assert_eq!(
        get(&sites.edge.manifest_url("team/library/app", &other))
            .await
            .status,
        404
    );
    assert_eq!(remote.count(On::manifest().reference(&other)), 0);
}

fn child_config(image: &crate::harness::Image, child: &str) -> String {
    let manifest: Value = serde_json::from_slice(&image.manifest(child).bytes).expect("JSON");
    manifest["config"]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_acts_within_a_second_in_the_middle_of_a_blob_and_a_retry_goes_on() {
    let sites = Sites::start().await;
    let big = ImageBuilder::new(1).layer(3_000_000).build();
    sites.push("team/app", "1", &big).await;
    let made = sites
        .rule(json!({"bandwidth": "100KiB/s", "trigger": {"type": "manual"}}))
        .await;
    assert_eq!(made["bandwidth"], "102400B/s");
    let id = sites.run("to-edge", json!({})).await;
    let path = format!("/executions/{id}");
    eventually(async || (sites.get(&path).await["bytes_sent"].as_u64()? > 0).then_some(())).await;
    let begun = std::time::Instant::now();
    let stopped = sites.post(&format!("{path}/stop"), json!({})).await;
    assert_eq!(stopped.status, 200);
    sites.execution(&id, &["Stopped"]).await;
    assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
    assert_eq!(sites.at_edge("team/app", "1").await, None);
    let mut fast = sites.get("/rules/to-edge").await;
    fast["bandwidth"] = json!(-1);
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(fast)).await;
    assert_eq!(put.status, 200);
    let again = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&again).await["status"], "Succeeded");
    sites.arrived("team/app", "1", Some(&big)).await;
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_fails_the_task_with_the_words_of_the_other_side() {
    let sites = Sites::start().await;
    sites.push("library/app", "1", &image(1)).await;
    let more = json!({"source": {"project": "library"}});
    let made = sites.rule(more).await;
    let id = made["execution"].as_str().unwrap();
    let execution = sites.done(id).await;
    assert_eq!(
        (&execution["status"], &execution["success_rate"]),
        (&json!("Failed"), &json!(0.0))
    );
    let tasks = sites
        .get(&format!("/executions/{id}/tasks?status=Failed"))
        .await;
    assert!(
        tasks["items"][0]["error"]
            .as_str()
            .unwrap()
            .contains("edge"),
        "{tasks}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bandwidths_that_change_in_the_file_hold_for_what_runs() {
    let sites = Sites::with("bandwidth = \"50KiB/s\"\n").await;
    let big = ImageBuilder::new(1).layer(3_000_000).build();
    sites.push("team/app", "1", &big).await;
    sites.rule(json!({})).await;
    eventually(async || (sites.line.bytes_to_server() > 100_000).then_some(())).await;
    let file = sites.hub.folder.path().join("entrepot.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let faster = text.replace("\"50KiB/s\"", "\"20MB/s\"").replace(
        "name = \"edge\"\n",
        "name = \"edge\"\nbandwidth = \"2MB/s\"\n",
    );
    assert_eq!(faster.matches("MB/s").count(), 2, "{faster}");
    std::fs::write(&file, faster).unwrap();
    sites.arrived("team/app", "1", Some(&big)).await;
    let edge = sites.get("/remotes/edge").await;
    assert_eq!(edge["bandwidth"], "2000000B/s", "{edge}");
}
