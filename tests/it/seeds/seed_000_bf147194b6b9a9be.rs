//! "Registry Synchronization": sync policies and destination registries of a managed registry.

use serde_json::{Value, json};

use super::{ADMIN, Login, Site, assert_pulls};
use crate::{
    harness::{Image, ImageBuilder},
    push::Pusher,
    real_registry::{Program, RealRegistry, Terms},
};

const CUSTOMIZED: Login = ADMIN;

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(20_000).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_000_bf147194b6b9a9be_sync_policies_and_destination_registries() {
    let terms = Terms {
        login: CUSTOMIZED,
        tls: None,
    };
    let customized = RealRegistry::with(Program::Distribution, terms).await;
    let (mut hub, managed) = (Site::start().await, Site::start().await);
    hub.make("/projects", json!({"name": "team", "kind": "hosted"}))
        .await;
    destination_registries(&hub, &managed, &customized).await;
    only_admins(&mut hub).await;
    push_policy(&hub, &customized).await;
    pull_policy(&hub, &customized).await;
    more_operations(&hub, &customized).await;
    to_a_managed_registry(&hub, &managed).await;
}

/// "Creating sync policies and adding destination repositories require admin privileges."
async fn only_admins(hub: &mut Site) {
    let rights = json!([{"project": "team", "rights": ["pull", "push"]}]);
    let user =
        json!({"name": "ada", "password": "ada's password", "admin": false, "rights": rights});
    hub.make("/users", user).await;
    hub.user = Some(("ada", "ada's password"));
    let remote = json!({"name": "any", "urls": ["http://127.0.0.1:1"]});
    assert_eq!(hub.post("/remotes", remote).await.status, 403);
    let rule = json!({"name": "any", "remotes": ["managed"], "source": {"project": "team"}});
    assert_eq!(hub.post("/rules", rule).await.status, 403);
    hub.user = ADMIN;
}

/// "Add destination registry": one is selected, one is customized; then the list, edit and delete.
async fn destination_registries(hub: &Site, managed: &Site, customized: &RealRegistry) {
    let (user, password) = CUSTOMIZED.expect("a login");
    let mut remote = json!({
        "name": "customized", "provider": "docker-registry", "urls": [customized.url()],
        "username": user, "password": "wrong",
    });
    let tested = hub.post("/remotes/test", remote.clone()).await.body;
    assert_eq!(
        (&tested["healthy"], &tested["auth"]),
        (&json!(false), &json!("refused"))
    );
    remote["password"] = json!(password);
    let tested = hub.post("/remotes/test", remote.clone()).await.body;
    assert_eq!(
        (&tested["healthy"], &tested["auth"]),
        (&json!(true), &json!("accepted"))
    );
    hub.make("/remotes", remote).await;
    hub.make("/remotes", managed.as_remote("managed")).await;
    hub.make("/remotes", managed.as_remote("typo")).await;

    let listed = hub.get("/remotes").await;
    let names = listed["items"].as_array().expect("a list").iter();
    let names: Vec<_> = names.filter_map(|remote| remote["name"].as_str()).collect();
    assert_eq!(names, ["customized", "managed", "typo"]);
    let mut edited = managed.as_remote("managed");
    edited["description"] = json!("the other site");
    let edited = hub.put("/remotes/managed", edited).await;
    assert_eq!(
        (
            &edited["description"],
            &edited["has_secret"],
            edited.get("password")
        ),
        (&json!("the other site"), &json!(true), None)
    );
    assert_eq!(hub.delete("/remotes/typo").await, 204);
}

/// "Push": what the name and tag filters match; a blank one or `**` is everything; the destination's space is the source's.
async fn push_policy(hub: &Site, customized: &RealRegistry) {
    let there = Pusher::at(&customized.url());
    there.image("team/app", "theirs", &image(9)).await;
    for (repository, tag, seed) in [
        ("team/app", "1.0", 1),
        ("team/app", "theirs", 2),
        ("team/deep/db", "1.1", 3),
        ("team/deep/db", "latest", 4),
    ] {
        hub.push(repository, tag, &image(seed)).await;
    }
    let filters = json!([
        {"type": "name", "value": "**"},
        {"type": "tag", "value": "{1.*,theirs}", "decoration": "matches"},
        {"type": "label", "value": ""},
    ]);
    let policy = hub
        .make(
            "/rules",
            json!({
                "name": "to-customized", "mode": "push", "remotes": ["customized"],
                "source": {"project": "team", "filters": filters},
                "trigger": {"type": "manual"},
            }),
        )
        .await;
    assert_eq!(
        (
            &policy["enabled"],
            &policy["override"],
            &policy["destination"]["project"]
        ),
        (&json!(true), &json!(false), &json!(""))
    );
    let listed = hub.get("/rules").await;
    assert_eq!(listed["items"][0]["enabled"], true);
    let execution = hub.run("to-customized").await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    assert_pulls(&customized.host, CUSTOMIZED, "team/app:1.0", &image(1)).await;
    assert_pulls(&customized.host, CUSTOMIZED, "team/deep/db:1.1", &image(3)).await;
    assert_eq!(
        there.head("/v2/team/deep/db/manifests/latest").await.status,
        404
    );
    // "Overwrite" was not chosen: what was there by others stays, and the log says so.
    assert_pulls(&customized.host, CUSTOMIZED, "team/app:theirs", &image(9)).await;
    let tasks = hub.get("/rules/to-customized/tasks").await;
    let mut logs = String::new();
    for task in tasks["items"].as_array().expect("a list") {
        let path = format!("/api/v1/tasks/{}/log", task["id"].as_str().expect("an id"));
        let log = Pusher::of(&hub.server).get(&path).await;
        logs += &String::from_utf8_lossy(&log.body);
    }
    assert!(logs.contains("`team/app:theirs` is left alone"), "{logs}");
}

/// "Pull: synchronize the destination registry's image to the current registry."
async fn pull_policy(hub: &Site, customized: &RealRegistry) {
    let there = Pusher::at(&customized.url());
    there.image("upstream/tool", "2", &image(5)).await;
    let policy = hub
        .make(
            "/rules",
            json!({
                "name": "from-customized", "mode": "pull", "remotes": ["customized"],
                "source": {"project": "upstream"},
            }),
        )
        .await;
    assert_eq!(policy["trigger"]["type"], "manual");
    let execution = hub.run("from-customized").await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    assert_eq!(hub.get("/projects/upstream").await["kind"], "hosted");
    assert_pulls(hub.host(), ADMIN, "upstream/tool:2", &image(5)).await;
}

/// "Click on the ⋮ on the right-hand side to run sync, edit, disable, delete."
async fn more_operations(hub: &Site, customized: &RealRegistry) {
    let mut policy: Value = hub.get("/rules/to-customized").await;
    policy["override"] = json!(true);
    hub.put("/rules/to-customized", policy).await;
    assert_eq!(hub.run("to-customized").await["status"], "Succeeded");
    assert_pulls(&customized.host, CUSTOMIZED, "team/app:theirs", &image(2)).await;

    hub.switch("to-customized", false).await;
    let refused = hub.post("/rules/to-customized/executions", json!({})).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(hub.delete("/remotes/customized").await, 409);
    for rule in ["to-customized", "from-customized"] {
        assert_eq!(hub.delete(&format!("/rules/{rule}")).await, 204);
    }
    assert_eq!(hub.delete("/remotes/customized").await, 204);
}

/// "Image content can be synchronized in real-time to other servers."
async fn to_a_managed_registry(hub: &Site, managed: &Site) {
    let policy =
        json!({"name": "real-time", "remotes": ["managed"], "source": {"project": "team"}});
    hub.make("/rules", policy).await;
    managed.arrived("team/app", "1.0", Some(&image(1))).await;
    hub.push("team/app", "2.0", &image(6)).await;
    managed.arrived("team/app", "2.0", Some(&image(6))).await;
    assert_pulls(managed.host(), ADMIN, "team/app:2.0", &image(6)).await;
}
