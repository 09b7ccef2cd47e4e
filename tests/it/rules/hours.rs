//! How much of a remote rules use at once, and in which hours.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, image};
use crate::harness::{FakeRegistry, ImageBuilder};

#[tokio::test(flavor = "multi_thread")]
async fn no_more_tasks_run_at_once_than_the_remote_and_the_rule_allow() {
    let sites = Sites::start().await;
    let narrow = json!({
        "name": "narrow", "urls": [sites.edge.url()], "username": "admin",
        "password": crate::api::PASSWORD, "max_concurrent": 1, "bandwidth": "200KiB/s",
    });
    let made = sites.post("/remotes", narrow).await;
    assert_eq!(
        (made.status, &made.body["max_concurrent"]),
        (201, &json!(1))
    );
    let images: Vec<_> = (1..4)
        .map(|seed| ImageBuilder::new(seed).layer(100_000).build())
        .collect();
    for (number, image) in images.iter().enumerate() {
        sites.push(&format!("team/app-{number}"), "1", image).await;
    }
    let manual = json!({"type": "manual"});
    let by_remote = json!({"name": "by-remote", "remotes": ["narrow"], "trigger": manual});
    let by_rule = json!({
        "name": "by-rule", "concurrency": 1, "bandwidth": "200KiB/s", "trigger": manual,
        "destination": {"project": "team/second", "flatten": 1},
    });
    for rule in [by_remote, by_rule] {
        let made = sites.rule(rule).await;
        let name = made["name"].as_str().expect("a name");
        let id = sites.run(name, json!({})).await;
        let path = format!("/executions/{id}");
        eventually(async || {
            let execution = sites.get(&path).await;
            assert!(
                execution["tasks"]["running"].as_u64() <= Some(1),
                "{execution}"
            );
            (execution["status"] == "Succeeded").then_some(())
        })
        .await;
    }
}

/// An hour that is far from now, as the API has it.
fn far_hours() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let hour = now.expect("after 1970").as_secs() / 3600 % 24;
    let (from, to) = ((hour + 11) % 24, (hour + 12) % 24);
    format!("{from:02}:00-{to:02}:00")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_is_used_in_its_hours_only() {
    let sites = Sites::start().await;
    let remote = |hours: Value| {
        json!({
            "name": "night", "urls": [sites.edge.url()], "username": "admin",
            "password": crate::api::PASSWORD, "allowed_hours": hours,
        })
    };
    let night = remote(json!(far_hours()));
    assert_eq!(sites.post("/remotes", night.clone()).await.status, 201);
    let big = ImageBuilder::new(1).layer(3_000_000).build();
    sites.push("team/app", "1", &big).await;
    let more = json!({"remotes": ["night"], "bandwidth": "100KiB/s"});
    let mut rule = sites.rule(more).await;
    let path = format!("/executions/{}", rule["execution"].as_str().unwrap());
    eventually(async || (sites.get(&path).await["tasks"]["pending"] == 1).then_some(())).await;
    // Not even after a while.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(sites.get(&path).await["tasks"]["pending"], 1);
    let set = async |remote: Value| {
        let put = sites
            .call(Method::PUT, "/remotes/night", Some(remote))
            .await;
        assert_eq!(put.status, 200, "{}", put.body);
    };
    set(remote(Value::Null)).await;
    sites.sends().await;
    // The hours are over in the middle of a blob.
    set(night).await;
    let waiting = eventually(async || sites.tasks("Retrying").await.first().cloned()).await;
    assert!(
        waiting["error"].as_str().unwrap().contains("hour"),
        "{waiting}"
    );
    assert!(waiting["next_attempt_at"].is_string(), "{waiting}");
    rule["bandwidth"] = json!("-1");
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    set(remote(json!("00:00-00:00"))).await;
    let again = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&again).await["status"], "Succeeded");
    sites.arrived("team/app", "1", Some(&big)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_to_pull_is_asked_in_the_hours_of_the_remote_or_by_a_person() {
    let remote = FakeRegistry::start().await;
    remote.put_image("upstream/app", "1", &image(1));
    let sites = Sites::start().await;
    let night =
        |hours: Value| json!({"name": "night", "urls": [remote.url()], "allowed_hours": hours});
    let made = sites.post("/remotes", night(json!(far_hours()))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let filters = json!([{"type": "name", "value": "app"}]);
    let more = json!({
        "mode": "pull", "remotes": ["night"], "source": {"project": "upstream", "filters": filters},
        "destination": {"project": "team"}, "trigger": {"type": "manual"},
    });
    sites.rule(more).await;
    let id = sites.run("to-edge", json!({})).await;
    let path = format!("/executions/{id}");
    let waits = eventually(async || {
        let execution = sites.get(&path).await;
        let message = execution["message"].as_str()?.to_owned();
        message.contains("hour").then_some(execution)
    })
    .await;
    assert_eq!(waits["status"], "InProgress", "{waits}");
    assert!(remote.requests().is_empty());

    let dry = sites.run("to-edge", json!({"dry_run": true})).await;
    let dry = sites.execution(&dry, &["Planned", "Failed"]).await;
    assert_eq!(
        (&dry["status"], &dry["tasks"]["total"]),
        (&json!("Planned"), &json!(1))
    );

    let put = sites
        .call(Method::PUT, "/remotes/night", Some(night(Value::Null)))
        .await;
    assert_eq!(put.status, 200, "{}", put.body);
    sites
        .hub
        .execute("UPDATE execution SET held_until = 0")
        .await;
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
}
