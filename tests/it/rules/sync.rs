//! Whether a rule's remotes have what they are to have.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, image};
use crate::{harness::Trouble, push::Pusher};

impl Sites {
    async fn compared(&self) -> Value {
        let compared = self.get("/rules/to-edge/sync").await;
        let items = compared["items"].as_array().expect("a list");
        assert_eq!(items.len(), 1, "{compared}");
        items[0].clone()
    }
}

fn counts(compared: &Value) -> [&Value; 4] {
    ["in_sync", "missing", "differing", "extra"].map(|member| &compared[member])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_differs_or_is_too_much_is_told_for_each_remote() {
    let sites = Sites::start().await;
    for tag in ["same", "moves", "goes"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    let made = sites.rule(json!({"propagate_delete": true})).await;
    sites.done(made["execution"].as_str().unwrap()).await;
    let compared = sites.compared().await;
    assert_eq!(
        counts(&compared),
        [&json!(true), &json!(0), &json!(0), &json!(0)],
        "{compared}"
    );
    assert_eq!(
        (&compared["remote"], &compared["lag_ms"]),
        (&json!("edge"), &json!(0))
    );
    assert!(compared["last_success_at"].is_string(), "{compared}");

    let off = Some(json!({"enabled": false}));
    let off = sites.call(Method::PATCH, "/rules/to-edge", off).await;
    assert_eq!(off.status, 200);
    sites.push("team/app", "comes", &image(2)).await;
    sites.push("team/other", "comes", &image(2)).await;
    sites.push("team/app", "moves", &image(2)).await;
    let hub = Pusher::of(&sites.hub);
    let delete = hub.request(Method::DELETE, "/v2/team/app/manifests/goes");
    assert_eq!(Pusher::send(delete).await.status, 202);
    let compared = sites.compared().await;
    assert_eq!(
        counts(&compared),
        [&json!(false), &json!(2), &json!(1), &json!(1)],
        "{compared}"
    );
    assert!(compared["lag_ms"].as_u64().unwrap() > 0, "{compared}");

    // What is put right by hand there is right.
    for (repository, tag) in [("team/app", "comes"), ("team/other", "comes")] {
        Pusher::of(&sites.edge)
            .image(repository, tag, &image(2))
            .await;
    }
    let compared = sites.compared().await;
    assert_eq!(counts(&compared)[1..], [&json!(0), &json!(1), &json!(1)]);

    sites.line.set(Trouble::Refused);
    let compared = sites.compared().await;
    assert_eq!(compared["in_sync"], false);
    assert!(compared["message"].is_string(), "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_waits_is_told_of_a_tag_that_came_there_by_another_way() {
    let sites = Sites::start().await;
    for tag in ["planned", "unseen", "stays"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    let made = sites
        .rule(json!({"propagate_delete": true, "delete_grace": "1h"}))
        .await;
    sites.done(made["execution"].as_str().unwrap()).await;
    // As if another rule had put it all there.
    sites.hub.execute("DELETE FROM delivery").await;
    assert_eq!(sites.compared().await["in_sync"], true);
    let hub = Pusher::of(&sites.hub);
    let delete = async |tag: &str| {
        let path = format!("/v2/team/app/manifests/{tag}");
        let deleted = Pusher::send(hub.request(Method::DELETE, &path)).await;
        assert_eq!(deleted.status, 202);
    };

    delete("planned").await;
    eventually(async || {
        let tasks = sites.get("/rules/to-edge/tasks").await;
        (tasks["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
    let compared = sites.compared().await;
    assert_eq!(
        counts(&compared),
        [&json!(false), &json!(0), &json!(0), &json!(1)],
        "{compared}"
    );

    // What the rule has not seen yet waits, too.
    sites.hub.execute("UPDATE rule SET enabled = FALSE").await;
    delete("unseen").await;
    let compared = sites.compared().await;
    assert_eq!(counts(&compared)[3], &json!(2), "{compared}");

    sites.hub.execute("UPDATE rule SET enabled = TRUE").await;
    eventually(async || {
        sites
            .hub
            .execute("UPDATE task SET due_at = 0 WHERE status = 'Pending'")
            .await;
        let compared = sites.compared().await;
        (compared["in_sync"] == true).then_some(())
    })
    .await;
    for tag in ["planned", "unseen"] {
        assert_eq!(sites.at_edge("team/app", tag).await, None);
    }
    assert_eq!(
        sites.at_edge("team/app", "stays").await,
        Some(image(1).root)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_takes_no_more_is_no_lack_before_it_is_deleted_at_its_source() {
    let sites = Sites::start().await;
    for tag in ["kept", "other"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    let mut rule = sites.rule(json!({"propagate_delete": true})).await;
    sites.done(rule["execution"].as_str().unwrap()).await;
    let filters = json!([{"type": "tag", "value": "kept"}]);
    rule["source"]["filters"] = filters;
    rule["enabled"] = json!(false);
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    let compared = sites.compared().await;
    assert_eq!(
        counts(&compared),
        [&json!(true), &json!(0), &json!(0), &json!(1)],
        "{compared}"
    );
    let hub = Pusher::of(&sites.hub);
    let delete = hub.request(Method::DELETE, "/v2/team/app/manifests/other");
    assert_eq!(Pusher::send(delete).await.status, 202);
    let compared = sites.compared().await;
    assert_eq!(
        counts(&compared),
        [&json!(false), &json!(0), &json!(0), &json!(1)],
        "{compared}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn remotes_of_rules_are_looked_after_while_nothing_is_sent_there() {
    let mut sites = Sites::start().await;
    let keyless = json!({
        "name": "keyless", "provider": "entrepot", "urls": [sites.edge.url()],
        "username": "admin", "password": "wrong",
    });
    assert_eq!(sites.post("/remotes", keyless).await.status, 201);
    let more = json!({"remotes": ["edge", "keyless"], "trigger": {"type": "manual"}});
    sites.rule(more).await;
    sites.hub.stop().await;
    sites.line.set(Trouble::Refused);
    sites.hub.start_again().await;
    eventually(async || {
        let status = sites.get("/status").await;
        let remotes = status["remotes"].as_array()?;
        let of = |name: &str| remotes.iter().find(|remote| remote["name"] == name);
        let (edge, keyless) = (of("edge")?, of("keyless")?);
        let is_known = edge["urls"][0]["healthy"] == false && keyless["refusal"].is_string();
        is_known.then_some(())
    })
    .await;
}
