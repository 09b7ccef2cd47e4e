//! Rules: made, shown, changed, taken away; and who may.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, rule};
use crate::manage::call_as;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_made_shown_changed_and_taken_away() {
    let sites = Sites::start().await;
    let manual = json!({"trigger": {"type": "manual"}});
    let made = sites.rule(manual).await;
    assert_eq!(
        (&made["mode"], &made["enabled"]),
        (&json!("push"), &json!(true))
    );
    assert_eq!(made["retry_for"], "7d");
    assert_eq!(
        (&made["owner"], &made["execution"]),
        (&json!("admin"), &Value::Null)
    );
    assert_eq!(sites.get("/rules/to-edge").await, made);
    assert_eq!(sites.get("/rules").await["items"], json!([made]));
    assert_eq!(sites.post("/rules", rule(json!({}))).await.status, 409);

    // What was got can be given back, under another name too.
    let mut changed = made.clone();
    changed["name"] = json!("renamed");
    changed["bandwidth"] = json!("20MiB/s");
    let put = sites
        .call(Method::PUT, "/rules/to-edge", Some(changed))
        .await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(put.body["bandwidth"], "20971520B/s");
    assert_eq!(put.body["id"], made["id"]);
    let gone = sites.call(Method::GET, "/rules/to-edge", None).await;
    assert_eq!(gone.status, 404);

    let off = Some(json!({"enabled": false}));
    let patched = sites.call(Method::PATCH, "/rules/renamed", off).await;
    assert_eq!(
        (patched.status, &patched.body["enabled"]),
        (200, &json!(false))
    );
    let begun = sites.post("/rules/renamed/executions", json!({})).await;
    assert_eq!(begun.status, 409);
    assert!(
        begun.body["detail"].as_str().unwrap().contains("dry_run"),
        "{}",
        begun.body
    );

    let deleted = sites.call(Method::DELETE, "/rules/renamed", None).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(sites.get("/rules").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_rule_is_told_by_its_members() {
    let sites = Sites::start().await;
    let filters = json!([{"type": "tag", "value": "v["}]);
    let wrong = json!({
        "name": "R", "remotes": ["edge"], "source": {"project": "team", "filters": filters}, "colour": 1,
    });
    let refused = sites.post("/rules", wrong).await;
    assert_eq!(
        refused.fields(),
        ["name", "source.filters[0].value", "colour"]
    );
    let unknown = rule(json!({"remotes": ["nowhere"]}));
    assert_eq!(sites.post("/rules", unknown).await.fields(), ["remotes"]);
    let unknown = rule(json!({"source": {"project": "nothing"}}));
    assert_eq!(
        sites.post("/rules", unknown).await.fields(),
        ["source.project"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_tells_what_may_not_be_as_meant() {
    let sites = Sites::start().await;
    let filters = json!([{"type": "name", "value": "lib**/x"}]);
    let made = sites
        .rule(json!({"source": {"project": "team", "filters": filters}, "trigger": {"type": "manual"}}))
        .await;
    assert!(
        made["warnings"][0].as_str().unwrap().contains("lib**/x"),
        "{made}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_a_rule_uses_stays() {
    let sites = Sites::start().await;
    let remote = json!({"name": "other", "urls": ["http://127.0.0.1:1"]});
    assert_eq!(sites.post("/remotes", remote).await.status, 201);
    sites
        .rule(json!({"remotes": ["other"], "trigger": {"type": "manual"}}))
        .await;
    let listed = sites.get("/remotes?used_as=destination").await;
    assert_eq!(listed["items"][0]["name"], "other");
    assert_eq!(listed["items"][0]["used_by_rules"], json!(["to-edge"]));
    let refused = sites.call(Method::DELETE, "/remotes/other", None).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body["detail"].as_str().unwrap().contains("to-edge"));
    assert_eq!(
        sites
            .call(Method::DELETE, "/rules/to-edge", None)
            .await
            .status,
        204
    );
    assert_eq!(
        sites
            .call(Method::DELETE, "/remotes/other", None)
            .await
            .status,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_of_a_project_makes_rules_with_the_remotes_that_are_opened_to_it() {
    let sites = Sites::start().await;
    for (name, opened) in [("open", json!(["team"])), ("closed", json!(["library"]))] {
        let remote = json!({"name": name, "urls": ["http://127.0.0.1:1"], "projects": opened});
        assert_eq!(sites.post("/remotes", remote).await.status, 201);
    }
    let rights = json!([{"project": "team", "repositories": "**", "rights": ["admin"]}]);
    let user = json!({"name": "tina", "password": "tinas password", "rights": rights});
    assert_eq!(sites.post("/users", user).await.status, 201);
    let tina = ("tina", "tinas password");
    let post = async |rule| call_as(&sites.hub, tina, Method::POST, "/rules", Some(rule)).await;
    let manual = |remote: &str, project: &str| {
        rule(json!({
            "name": format!("{remote}-{project}"), "remotes": [remote],
            "source": {"project": project}, "trigger": {"type": "manual"},
        }))
    };
    assert_eq!(post(manual("open", "team")).await.status, 201);
    let refused = post(manual("closed", "team")).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body["detail"].as_str().unwrap().contains("closed"));
    assert_eq!(post(manual("open", "library")).await.status, 403);
    let mut every = manual("open", "team");
    every["source"]["project"] = json!("**");
    assert_eq!(post(every).await.status, 403);

    // Rules of others are not there for her.
    let made = sites.post("/rules", manual("closed", "library")).await;
    assert_eq!(made.status, 201);
    let get = async |path: &str| call_as(&sites.hub, tina, Method::GET, path, None).await;
    let listed = get("/rules").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(get("/rules/closed-library").await.status, 404);
    let run = async |rule: &str| {
        let path = format!("/rules/{rule}/executions");
        let body = Some(json!({"dry_run": true}));
        call_as(&sites.hub, tina, Method::POST, &path, body).await
    };
    assert_eq!(run("closed-library").await.status, 404);
    assert_eq!(run("open-team").await.status, 201);
    let id = sites.run("closed-library", json!({"dry_run": true})).await;
    assert_eq!(get(&format!("/executions/{id}")).await.status, 404);
    let listed = get("/executions").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enabled_rule_warns_of_credentials_that_end() {
    let sites = Sites::start().await;
    let remote = json!({
        "name": "tenant", "urls": ["http://127.0.0.1:9"], "username": "u", "password": "p",
        "credentials_expire_at": "2099-01-31T00:00:00Z",
    });
    let made = sites.post("/remotes", remote).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let trigger = json!({"type": "manual"});
    let rule = sites
        .rule(json!({"remotes": ["edge", "tenant"], "trigger": trigger}))
        .await;
    let warnings = rule["warnings"].as_array().expect("a warning");
    let said = "the credentials of remote `tenant` end at 2099-01-31T00:00:00Z";
    assert!(warnings[0].as_str().unwrap().starts_with(said), "{rule}");
    let body = Some(json!({"enabled": false}));
    let disabled = sites.call(Method::PATCH, "/rules/to-edge", body).await;
    assert_eq!(disabled.body["warnings"], Value::Null);
}
