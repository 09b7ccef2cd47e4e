//! Instance synchronization of a cloud registry: from one instance to another, of the same tenant or of another one.

use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, Site, assert_pulls};
use crate::{
    harness::{Image, ImageBuilder},
    push::Pusher,
};

const SUB_ACCOUNT: (&str, &str) = ("sub", "the sub-account's password");

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(20_000).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_001_76b703d9a81d591b_instance_synchronization() {
    // The target makes a missing namespace for those who may push to all of it.
    let mut source = Site::start().await;
    let target = Site::with("auto_create_projects = true").await;
    for name in ["shop", "other"] {
        source
            .make("/projects", json!({"name": name, "kind": "hosted"}))
            .await;
    }
    let chart = ImageBuilder::helm_chart(7, "front", "0.1.0").build();
    source.push("shop/web", "v1.0", &image(1)).await;
    source.push("shop/web", "dev", &image(2)).await;
    source.push("shop/batch", "v1.0", &image(3)).await;
    source.push("shop/web-chart", "v0.1.0", &chart).await;
    cross_tenant_credential(&source, &target).await;
    sub_account(&mut source).await;
    synchronization_rule(&source, &target, &chart).await;
    synchronization_logs(&source).await;
    manage(&source, &target).await;
}

/// "Create a new sub-account for cross-tenant synchronization and only grant it permissions of pushing images", with a
/// long-term credential: a token of the target account, whose end is told ahead.
async fn cross_tenant_credential(source: &Site, target: &Site) {
    let rights = json!([{"project": "shop", "rights": ["pull", "push"]}]);
    let token = json!({"name": "from-source", "rights": rights, "expires_in": "365d"});
    let token = target.make("/tokens", token).await;
    let remote = json!({
        "name": "target", "provider": "entrepot", "urls": [target.server.url()],
        "username": token["username"], "password": token["secret"],
        "credentials_expire_at": token["expires_at"], "projects": ["shop"],
    });
    let tested = source.post("/remotes/test", remote.clone()).await.body;
    assert_eq!(
        (&tested["healthy"], &tested["auth"]),
        (&json!(true), &json!("accepted"))
    );
    let made = source.make("/remotes", remote).await;
    assert_eq!(
        (&made["has_secret"], made.get("password")),
        (&json!(true), None)
    );
}

/// "If you are using a sub-account, you must have granted the sub-account operation permissions."
async fn sub_account(source: &mut Site) {
    let rights = json!([{"project": "shop", "rights": ["pull", "push"]}]);
    let mut user =
        json!({"name": SUB_ACCOUNT.0, "password": SUB_ACCOUNT.1, "admin": false, "rights": rights});
    source.make("/users", user.clone()).await;
    source.user = Some(SUB_ACCOUNT);
    let rule = |name: &str, project: &str| {
        json!({"name": name, "remotes": ["target"], "source": {"project": project},
            "trigger": {"type": "manual"}, "enabled": false})
    };
    assert_eq!(
        source.post("/rules", rule("mine", "shop")).await.status,
        403
    );
    user["rights"] = json!([{"project": "shop", "rights": ["pull", "push", "admin"]}]);
    source.user = ADMIN;
    source.put(&format!("/users/{}", SUB_ACCOUNT.0), user).await;
    source.user = Some(SUB_ACCOUNT);
    source.make("/rules", rule("mine", "shop")).await;
    // "Currently, you cannot select all namespaces": here that takes an admin of the system; nor may it be another's.
    for project in ["**", "other"] {
        assert_eq!(
            source.post("/rules", rule("all", project)).await.status,
            403,
            "{project}"
        );
    }
    assert_eq!(source.delete("/rules/mine").await, 204);
}

/// "Creating a synchronization rule": name, description, repository and tag by regular expressions, type of the resource,
/// a namespace that is made if it is not there, no override.
async fn synchronization_rule(source: &Site, target: &Site, chart: &Image) {
    let mut rule = json!({
        "name": "-Shop", "description": "to the other tenant", "remotes": ["target"],
        "source": {"project": "shop", "filters": [
            {"type": "name", "value": "/^web/"},
            {"type": "tag", "value": "/^v[0-9]/"},
            {"type": "resource", "value": ["image"]},
        ]},
        "trigger": {"type": "event"},
    });
    assert_eq!(source.post("/rules", rule.clone()).await.fields(), ["name"]);
    rule["name"] = json!("shop-to_tenant.2");
    let made = source.make("/rules", rule).await;
    assert_eq!(
        (&made["enabled"], &made["override"]),
        (&json!(true), &json!(false))
    );
    let first = source.done(&made["execution"]).await;
    assert_eq!(first["status"], "Succeeded", "{first}");
    assert_eq!(target.get("/projects/shop").await["kind"], "hosted");
    assert_pulls(target.host(), ADMIN, "shop/web:v1.0", &image(1)).await;
    for (repository, tag) in [
        ("shop/web", "dev"),
        ("shop/batch", "v1.0"),
        ("shop/web-chart", "v0.1.0"),
    ] {
        assert_eq!(
            target.digest(repository, tag).await,
            None,
            "{repository}:{tag}"
        );
    }
    // "Single-instance image pushing": what is pushed follows by itself.
    source.push("shop/web", "v1.1", &image(4)).await;
    target.arrived("shop/web", "v1.1", Some(&image(4))).await;

    // "Configuration: you can configure all parameters." Both types now.
    let mut both = source.get("/rules/shop-to_tenant.2").await;
    both["source"]["filters"][2]["value"] = json!(["image", "chart"]);
    source.put("/rules/shop-to_tenant.2", both).await;
    assert_eq!(source.run("shop-to_tenant.2").await["status"], "Succeeded");
    target
        .arrived("shop/web-chart", "v0.1.0", Some(chart))
        .await;
}

/// "Viewing synchronization logs": task id, creation time, time spent, success rate, number of repositories, status.
async fn synchronization_logs(source: &Site) {
    let logs = source.get("/executions?rule=shop-to_tenant.2").await;
    let logs = logs["items"].as_array().expect("a list");
    assert!(logs.len() >= 3, "{logs:?}");
    let mut ids: Vec<_> = logs
        .iter()
        .map(|log| log["id"].as_str().expect("an id"))
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), logs.len());
    let log: &Value = &logs[0];
    assert!(
        log["created_at"].is_string() && log["duration_ms"].is_u64(),
        "{log}"
    );
    assert_eq!(
        (&log["success_rate"], &log["repositories"], &log["status"]),
        (&json!(1.0), &json!(2), &json!("Succeeded")),
        "{log}"
    );
}

/// "Modify rule status", "trigger synchronization", "deletion", and an image that is not overwritten.
async fn manage(source: &Site, target: &Site) {
    let off = source.switch("shop-to_tenant.2", false).await;
    assert_eq!(off["enabled"], false);
    source.push("shop/web", "v2.0", &image(5)).await;
    let refused = source
        .post("/rules/shop-to_tenant.2/executions", json!({}))
        .await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    // Somebody else pushes this name at the target meanwhile.
    target.push("shop/web", "v2.0", &image(6)).await;
    let on = source.switch("shop-to_tenant.2", true).await;
    let all = source.done(&on["execution"]).await;
    assert_eq!(all["status"], "Succeeded", "{all}");
    assert_eq!(target.digest("shop/web", "v2.0").await, Some(image(6).root));
    let triggered = source.run("shop-to_tenant.2").await;
    assert_eq!(triggered["trigger"], "manual", "{triggered}");
    assert_eq!(triggered["bytes_sent"], 0, "{triggered}");

    assert_eq!(source.delete("/rules/shop-to_tenant.2").await, 204);
    source.push("shop/web", "v3.0", &image(7)).await;
    let shown = source
        .call(Method::GET, "/rules/shop-to_tenant.2", None)
        .await;
    assert_eq!(shown.status, 404);
    let there = Pusher::of(&target.server)
        .head("/v2/shop/web/manifests/v3.0")
        .await;
    assert_eq!(there.status, 404);
    assert_pulls(target.host(), ADMIN, "shop/web:v1.1", &image(4)).await;
}
