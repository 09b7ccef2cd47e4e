//! Deletes that go on to other sites: when, in what order, and how many.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, far, image};
use crate::{
    harness::{FakeRegistry, Trouble, get},
    push::Pusher,
};

impl Sites {
    /// Waits for the plan of deletes that the rule shows; its id, and the plan.
    async fn waiting_deletes(&self) -> (String, Value) {
        let id = eventually(async || {
            let rule = self.get("/rules/to-edge").await;
            rule["waiting_deletes"].as_str().map(str::to_owned)
        })
        .await;
        let plan = self.get(&format!("/executions/{id}/plan")).await;
        (id, plan)
    }

    async fn apply(&self, id: &str) {
        let path = format!("/executions/{id}/apply");
        let applied = self.post(&path, json!({})).await;
        assert_eq!(applied.status, 200, "{}", applied.body);
        assert_eq!(self.done(id).await["status"], "Succeeded");
    }

    async fn delete(&self, repository: &str, tag: &str) {
        let hub = Pusher::of(&self.hub);
        let path = format!("/v2/{repository}/manifests/{tag}");
        let deleted = Pusher::send(hub.request(Method::DELETE, &path)).await;
        assert_eq!(deleted.status, 202);
    }

    /// A rule that deletes, and what there is is at the edge.
    async fn deleting(&self, more: Value) {
        let mut rule = json!({"propagate_delete": true});
        let (Value::Object(rule), Value::Object(more)) = (&mut rule, more) else {
            panic!("no object");
        };
        rule.extend(more);
        let made = self.rule(Value::Object(rule.clone())).await;
        let first = self.done(made["execution"].as_str().expect("an id")).await;
        assert_eq!(first["status"], "Succeeded", "{first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_deletes_than_the_rule_allows_wait_for_somebody_to_look_at_them() {
    let sites = Sites::start().await;
    for tag in ["1", "2", "3"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    sites.deleting(json!({"delete_cap": 1})).await;
    sites.hub.execute("UPDATE rule SET enabled = FALSE").await;
    for tag in ["1", "2"] {
        sites.delete("team/app", tag).await;
    }
    sites.hub.execute("UPDATE rule SET enabled = TRUE").await;
    let planned = eventually(async || {
        let listed = sites.get("/executions?status=Planned").await;
        listed["items"].as_array()?.first().cloned()
    })
    .await;
    let id = planned["id"].as_str().unwrap();
    let plan = sites.get(&format!("/executions/{id}/plan")).await;
    assert_eq!(plan["totals"]["delete"], 2, "{plan}");
    let rule = sites.get("/rules/to-edge").await;
    assert_eq!(rule["waiting_deletes"], planned["id"], "{rule}");
    assert_eq!(sites.at_edge("team/app", "1").await, Some(image(1).root));
    // Going through everything does not delete them, either, nor is there another plan.
    let again = sites.done(&sites.run("to-edge", json!({})).await).await;
    assert!(
        again["message"].as_str().unwrap().contains("2 tags"),
        "{again}"
    );
    let listed = sites.get("/executions?status=Planned").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(sites.at_edge("team/app", "2").await, Some(image(1).root));

    let applied = sites
        .post(&format!("/executions/{id}/apply"), json!({}))
        .await;
    assert_eq!(applied.status, 200);
    assert_eq!(sites.done(id).await["status"], "Succeeded");
    let rule = sites.get("/rules/to-edge").await;
    assert!(rule.get("waiting_deletes").is_none(), "{rule}");
    assert_eq!(sites.at_edge("team/app", "1").await, None);
    assert_eq!(sites.at_edge("team/app", "2").await, None);
    assert_eq!(sites.at_edge("team/app", "3").await, Some(image(1).root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_comes_back_within_the_grace_stays() {
    let sites = Sites::start().await;
    sites.push("team/app", "back", &image(1)).await;
    sites.push("team/app", "gone", &image(2)).await;
    sites.deleting(json!({"delete_grace": "2s"})).await;
    sites.delete("team/app", "back").await;
    sites.delete("team/app", "gone").await;
    sites.push("team/app", "back", &image(3)).await;
    sites.arrived("team/app", "back", Some(&image(3))).await;
    assert_eq!(sites.at_edge("team/app", "gone").await, Some(image(2).root));
    sites.arrived("team/app", "gone", None).await;
    assert_eq!(sites.at_edge("team/app", "back").await, Some(image(3).root));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_renamed_is_there_under_its_new_name_before_the_old_one_goes() {
    let sites = Sites::start().await;
    sites.push("team/app", "old", &image(1)).await;
    sites.deleting(json!({})).await;
    sites.line.set(Trouble::Refused);
    sites.push("team/app", "new", &image(1)).await;
    eventually(async || {
        let listed = sites.get("/rules/to-edge/tasks").await;
        let tasks = listed["items"].as_array()?;
        tasks
            .iter()
            .any(|task| task["status"] == "Retrying")
            .then_some(())
    })
    .await;
    sites.delete("team/app", "old").await;
    sites.line.set(Trouble::None);
    eventually(async || {
        let new = sites.at_edge("team/app", "new").await;
        let old = sites.at_edge("team/app", "old").await;
        assert!(new.is_some() || old.is_some());
        (new.is_some() && old.is_none()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_forgets_is_deleted_nowhere() {
    let remote = FakeRegistry::start().await;
    remote.put_image("library/app", "1", &image(1));
    let mirror = far(&remote);
    let sites = Sites::with(&mirror).await;
    let pulled = async || {
        let hub = &sites.hub;
        let url = hub.manifest_url("far/library/app", "1");
        assert_eq!(get(&url).await.status, 200);
        for digest in image(1).blobs.keys() {
            let url = hub.blob_url("far/library/app", digest);
            assert_eq!(get(&url).await.status, 200);
        }
    };
    pulled().await;
    let path = "/cache/entry?name=far/library/app&reference=1";
    eventually(async || (sites.get(path).await["complete"] == true).then_some(())).await;
    sites
        .deleting(json!({
            "source": {"project": "far"}, "destination": {"project": "team", "flatten": 1},
        }))
        .await;
    sites
        .arrived("team/library/app", "1", Some(&image(1)))
        .await;
    let purged = sites.call(Method::DELETE, path, None).await;
    assert!([200, 204].contains(&purged.status), "{}", purged.body);
    let again = sites.done(&sites.run("to-edge", json!({})).await).await;
    assert_eq!(again["status"], "Succeeded", "{again}");
    let listed = sites.get("/rules/to-edge/tasks").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        sites.at_edge("team/library/app", "1").await,
        Some(image(1).root)
    );
}

fn tags(plan: &Value) -> Vec<&str> {
    let items = plan["items"].as_array().expect("a list").iter();
    items
        .map(|item| item["tag"].as_str().expect("a text"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_one_after_the_other_count_together_and_exactly_those_that_are_too_many_wait() {
    let sites = Sites::start().await;
    for tag in ["1", "2", "3", "4", "5"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    sites.deleting(json!({"delete_cap": 2})).await;
    // Somebody's own dry run is nothing to them.
    let dry = sites.run("to-edge", json!({"dry_run": true})).await;
    sites.execution(&dry, &["Planned"]).await;
    for tag in ["1", "2"] {
        sites.delete("team/app", tag).await;
        sites.arrived("team/app", tag, None).await;
    }
    for (tag, waiting) in [("3", vec!["3"]), ("4", vec!["3", "4"])] {
        sites.delete("team/app", tag).await;
        let waits = eventually(async || {
            let (id, plan) = sites.waiting_deletes().await;
            (tags(&plan).len() == waiting.len()).then_some((id, plan))
        });
        let (id, plan) = waits.await;
        assert_ne!(id, dry);
        assert_eq!(tags(&plan), waiting, "{plan}");
    }
    // Nor does going through everything carry them out, or plan them once more.
    let again = sites.done(&sites.run("to-edge", json!({})).await).await;
    assert!(
        again["message"].as_str().unwrap().contains("2 tags"),
        "{again}"
    );
    let (id, plan) = sites.waiting_deletes().await;
    assert_eq!(tags(&plan), ["3", "4"], "{plan}");
    for tag in ["3", "4", "5"] {
        assert_eq!(sites.at_edge("team/app", tag).await, Some(image(1).root));
    }
    sites.apply(&id).await;
    for (tag, there) in [("3", None), ("4", None), ("5", Some(image(1).root))] {
        assert_eq!(sites.at_edge("team/app", tag).await, there);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_deleted_at_several_remotes_counts_once() {
    let sites = Sites::start().await;
    sites.near().await;
    for tag in ["1", "2", "3"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    sites
        .deleting(json!({"delete_cap": 2, "remotes": ["edge", "near"]}))
        .await;
    sites.hub.execute("UPDATE rule SET enabled = FALSE").await;
    for tag in ["1", "2"] {
        sites.delete("team/app", tag).await;
    }
    sites.hub.execute("UPDATE rule SET enabled = TRUE").await;
    for tag in ["1", "2"] {
        sites.arrived("team/app", tag, None).await;
    }
    let rule = sites.get("/rules/to-edge").await;
    assert!(rule.get("waiting_deletes").is_none(), "{rule}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_wait_are_also_of_tags_that_came_there_by_another_way() {
    let sites = Sites::start().await;
    for tag in ["1", "2"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    sites.deleting(json!({"delete_cap": 1})).await;
    // As if another rule had put them there.
    sites.hub.execute("DELETE FROM delivery").await;
    sites.hub.execute("UPDATE rule SET enabled = FALSE").await;
    for tag in ["1", "2"] {
        sites.delete("team/app", tag).await;
    }
    sites.hub.execute("UPDATE rule SET enabled = TRUE").await;
    let (id, plan) = sites.waiting_deletes().await;
    assert_eq!(tags(&plan), ["1", "2"], "{plan}");
    assert_eq!(sites.at_edge("team/app", "1").await, Some(image(1).root));
    sites.apply(&id).await;
    for tag in ["1", "2"] {
        assert_eq!(sites.at_edge("team/app", tag).await, None);
    }
}
