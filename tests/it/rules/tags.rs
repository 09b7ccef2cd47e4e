//! Each tag of a task by itself: what cannot be done of one keeps no other waiting.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, far, image};
use crate::{
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On, Trouble, get},
    push::Pusher,
};

/// Gets all of an image from the hub's mirror.
async fn pull(sites: &Sites, tag: &str, image: &Image) {
    let manifests = image.manifests.iter().map(|one| one.digest.as_str());
    for reference in manifests.chain([tag]) {
        let url = sites.hub.manifest_url("far/library/app", reference);
        assert_eq!(get(&url).await.status, 200);
    }
    for digest in image.blobs.keys() {
        let url = sites.hub.blob_url("far/library/app", digest);
        assert_eq!(get(&url).await.status, 200);
    }
}

/// A rule from the hub's mirror to the edge, by hand.
fn from_far(fill: &str) -> Value {
    json!({
        "source": {"project": "far"}, "destination": {"project": "team", "flatten": 1},
        "fill": fill, "trigger": {"type": "manual"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_cannot_be_had_now_keeps_no_other_waiting() {
    let remote = FakeRegistry::start().await;
    let index = ImageBuilder::new(1)
        .layer(10_000)
        .platforms(&["linux/amd64"])
        .build();
    remote.put_image("library/app", "1", &index);
    remote.put_image("library/app", "2", &image(2));
    let mirror = far(&remote);
    let sites = Sites::with(&mirror).await;
    for tag in ["1", "2"] {
        let url = sites.hub.manifest_url("far/library/app", tag);
        assert_eq!(get(&url).await.status, 200);
    }
    let child = On::manifest().reference(&index.children()[0]);
    remote.fault_always(child, Fault::status(500));
    sites.rule(from_far("all")).await;
    let id = sites.run("to-edge", json!({})).await;
    let retrying = sites.execution(&id, &["Retrying"]).await;
    assert_eq!(retrying["tasks"]["retrying"], 1, "{retrying}");
    let there = sites.at_edge("team/library/app", "2").await;
    assert_eq!(there, Some(image(2).root));
    let path = format!("/executions/{id}/tasks");
    let error = sites.get(&path).await["items"][0]["error"].clone();
    assert!(error.as_str().expect("a text").contains("`1`"), "{error}");
    remote.clear_faults();
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    sites.arrived("team/library/app", "1", Some(&index)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_has_is_sent_at_once_while_nobody_can_be_asked_what_refers_to_it() {
    let remote = FakeRegistry::start().await;
    let mirror = far(&remote);
    let sites = Sites::with(&mirror).await;
    for (seed, tag) in [(1, "1"), (2, "2")] {
        remote.put_image("library/app", tag, &image(seed));
        pull(&sites, tag, &image(seed)).await;
    }
    let path = "/cache/entry?name=far/library/app&reference=2";
    eventually(async || (sites.get(path).await["complete"] == true).then_some(())).await;
    remote.stop().await;
    sites.rule(from_far("present")).await;
    let id = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    for (seed, tag) in [(1, "1"), (2, "2")] {
        let there = sites.at_edge("team/library/app", tag).await;
        assert_eq!(there, Some(image(seed).root));
    }
    let tasks = sites.get(&format!("/executions/{id}/tasks")).await;
    let task = &tasks["items"][0];
    assert_eq!(task["attempts"], 1, "{task}");
    assert!(
        task["error"].as_str().unwrap().contains("refers to it"),
        "{task}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_an_image_follows_when_a_process_ended_just_after_the_tag() {
    let remote = FakeRegistry::start().await;
    let mirror = far(&remote);
    let sites = Sites::with(&mirror).await;
    let app = image(1);
    remote.put_image("library/app", "1", &app);
    let signature = ImageBuilder::artifact(2, "application/vnd.example.signature", &app).build();
    remote.put_untagged("library/app", &signature);
    pull(&sites, "1", &app).await;
    sites.rule(from_far("all")).await;
    let id = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    let there = async || sites.at_edge("team/library/app", &signature.root).await;
    assert!(there().await.is_some());
    // It was killed before that.
    let edge = Pusher::of(&sites.edge);
    let path = format!("/v2/team/library/app/manifests/{}", signature.root);
    let deleted = Pusher::send(edge.request(Method::DELETE, &path)).await;
    assert_eq!(deleted.status, 202);
    let hub = &sites.hub;
    hub.execute("UPDATE delivery SET over_digest = ''").await;
    hub.execute("UPDATE execution SET status = 'InProgress', ended_at = NULL")
        .await;
    hub.execute("UPDATE task SET status = 'Running', ended_at = NULL, due_at = 1, held_until = 1")
        .await;
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    assert!(there().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tag_has_become_since_is_sent_only_if_the_rule_takes_that_too() {
    let sites = Sites::start().await;
    sites.push("team/app", "latest", &image(1)).await;
    let labels = "/artifact/labels?name=team/app&reference=latest";
    let labelled = async || {
        let set = sites.call(Method::PUT, labels, Some(json!(["prod"]))).await;
        assert_eq!(set.status, 200, "{}", set.body);
    };
    let filters = json!([{"type": "label", "value": ["prod"]}]);
    sites.line.set(Trouble::Refused);
    sites
        .rule(json!({"source": {"project": "team", "filters": filters}}))
        .await;
    labelled().await;
    let waiting = eventually(async || {
        let listed = sites.get("/rules/to-edge/tasks").await;
        let tasks = listed["items"].as_array()?.iter();
        let mut waiting = tasks.filter(|task| task["status"] == "Retrying");
        Some(waiting.next()?["execution"].as_str()?.to_owned())
    })
    .await;
    sites.push("team/app", "latest", &image(2)).await;
    sites.line.set(Trouble::None);
    assert_eq!(sites.done(&waiting).await["status"], "Succeeded");
    assert_eq!(sites.at_edge("team/app", "latest").await, None);
    let tasks = sites.get(&format!("/executions/{waiting}/tasks")).await;
    let told = tasks["items"][0]["error"].as_str().expect("a note");
    assert!(told.contains("does not take"), "{tasks}");
    labelled().await;
    sites.arrived("team/app", "latest", Some(&image(2))).await;
}

/// Two repositories of one rule that have the same name at the edge.
async fn sharing() -> Sites {
    let sites = Sites::start().await;
    for repository in ["team/x/img", "team/y/img"] {
        sites.push(repository, "1", &image(1)).await;
    }
    let made = sites
        .rule(json!({
            "destination": {"project": "team/ns", "flatten": 2}, "propagate_delete": true,
        }))
        .await;
    let first = sites.done(made["execution"].as_str().expect("an id")).await;
    assert_eq!(first["status"], "Succeeded", "{first}");
    sites
}

async fn delete(sites: &Sites, repository: &str) {
    let hub = Pusher::of(&sites.hub);
    let path = format!("/v2/{repository}/manifests/1");
    let deleted = Pusher::send(hub.request(Method::DELETE, &path)).await;
    assert_eq!(deleted.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_repositories_may_go_to_one_place_as_long_as_they_have_the_same() {
    let sites = sharing().await;
    let again = sites.done(&sites.run("to-edge", json!({})).await).await;
    assert_eq!(again["status"], "Succeeded", "{again}");
    sites.push("team/y/img", "1", &image(2)).await;
    let differing = sites.done(&sites.run("to-edge", json!({})).await).await;
    assert_eq!(differing["status"], "Failed", "{differing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_repositories_put_in_one_place_goes_with_the_last_of_them() {
    for order in [["team/x/img", "team/y/img"], ["team/y/img", "team/x/img"]] {
        let sites = sharing().await;
        delete(&sites, order[0]).await;
        // All events are seen, and all that they made is done.
        sites.push("team/z/img", "after", &image(3)).await;
        sites.arrived("team/ns/img", "after", Some(&image(3))).await;
        let again = sites.done(&sites.run("to-edge", json!({})).await).await;
        assert_eq!(again["status"], "Succeeded", "{again}");
        eventually(async || {
            let tasks = sites.get("/rules/to-edge/tasks").await;
            let mut tasks = tasks["items"].as_array()?.iter();
            tasks
                .all(|task| task["status"] == "Succeeded")
                .then_some(())
        })
        .await;
        assert_eq!(sites.at_edge("team/ns/img", "1").await, Some(image(1).root));
        delete(&sites, order[1]).await;
        sites.arrived("team/ns/img", "1", None).await;
    }
}
