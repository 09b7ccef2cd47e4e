//! "Replicating Images": a policy for a project, between two registries of one maker.

use std::time::Instant;

use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, Site, assert_pulls};
use crate::{
    harness::{Authority, Image, ImageBuilder, Line, Trouble},
    push::Pusher,
    real_registry::{Program, RealRegistry, Terms},
    rules::eventually,
};

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(20_000).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_004_933c94551b945ddf_replicating_a_project() {
    let (source, remote) = (Site::start().await, Site::start().await);
    let line = Line::to(remote.host().parse().expect("an address")).await;
    let project = json!({"name": "shop", "kind": "hosted", "visibility": "private"});
    source.make("/projects", project).await;
    let member = json!({"name": "ada", "password": "ada's password", "admin": false,
        "rights": [{"project": "shop", "rights": ["pull", "push"]}]});
    source.make("/users", member).await;
    for repository in ["shop/web", "shop/db", "shop/deep/batch"] {
        source.push(repository, "1", &image(1)).await;
    }
    let url = format!("http://{}", line.address());
    new_policy(&source, &remote, &url).await;
    incremental(&source, &remote).await;
    a_network_issue(&source, &remote, &line).await;
    disabled_stopped_edited_and_deleted(&source, &remote).await;
    no_write_privilege(&source, &remote, &url).await;
    self_signed(&source).await;
    searching(&source).await;
    assert_pulls(remote.host(), ADMIN, "shop/deep/batch:1", &image(1)).await;
}

/// "Add new policy", with a new destination; the project is created, and all its images are replicated at once. Users,
/// roles and other information are not.
async fn new_policy(source: &Site, remote: &Site, url: &str) {
    let mut destination = remote.as_remote("cloud");
    destination["urls"] = json!([url]);
    let tested = source.post("/remotes/test", destination.clone()).await.body;
    assert_eq!(tested["healthy"], true, "{tested}");
    source.make("/remotes", destination).await;
    let policy = json!({
        "name": "shop-to-cloud", "remotes": ["cloud"], "source": {"project": "shop"},
        "propagate_delete": true, "enabled": true,
    });
    let policy = source.make("/rules", policy).await;
    let first = source.done(&policy["execution"]).await;
    assert_eq!(
        (
            &first["status"],
            &first["repositories"],
            &first["tasks"]["total"]
        ),
        (&json!("Succeeded"), &json!(3), &json!(3)),
        "{first}"
    );
    let project = remote.get("/projects/shop").await;
    assert_eq!(
        (&project["kind"], &project["members"]),
        (&json!("hosted"), &json!([]))
    );
    let users = remote.get("/users").await.to_string();
    assert!(!users.contains("ada"), "{users}");
    // "Jobs belonging to this policy": one per repository.
    let jobs = source.get("/rules/shop-to-cloud/tasks").await;
    let jobs = jobs["items"].as_array().expect("a list");
    let mut names: Vec<_> = jobs
        .iter()
        .filter_map(|job| job["repository"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["shop/db", "shop/deep/batch", "shop/web"]);
}

/// "Images subsequently pushed will be incrementally replicated. When an image is deleted, the remote deletes it as well."
/// "On the remote, an image is not available until all its layers have been synchronized."
async fn incremental(source: &Site, remote: &Site) {
    let big = ImageBuilder::new(2).layer(400_000).layer(300_000).build();
    source.push("shop/web", "2", &big).await;
    let there = Pusher::of(&remote.server);
    eventually(async || {
        let digest = remote.digest("shop/web", "2").await?;
        assert_eq!(digest, big.root);
        for blob in big.blobs.keys() {
            let head = there.head(&format!("/v2/shop/web/blobs/{blob}")).await;
            assert_eq!(head.status, 200, "the tag was there before {blob}");
        }
        Some(())
    })
    .await;
    let delete = Pusher::of(&source.server).request(Method::DELETE, "/v2/shop/web/manifests/2");
    assert_eq!(Pusher::send(delete).await.status, 202);
    remote.arrived("shop/web", "2", None).await;
    remote.arrived("shop/web", "1", Some(&image(1))).await;
}

/// "If a job fails due to some network issue, the job will be scheduled for a retry. Always check the log."
async fn a_network_issue(source: &Site, remote: &Site, line: &Line) {
    line.set(Trouble::Refused);
    source.push("shop/db", "2", &image(3)).await;
    let job = eventually(async || {
        let jobs = source.get("/rules/shop-to-cloud/tasks").await;
        let jobs = jobs["items"].as_array()?.clone();
        jobs.into_iter().find(|job| job["status"] == "Retrying")
    })
    .await;
    assert!(job["next_attempt_at"].is_string(), "{job}");
    assert!(job["error"].is_string(), "{job}");
    let path = format!("/api/v1/tasks/{}/log", job["id"].as_str().expect("an id"));
    let log = Pusher::of(&source.server).get(&path).await;
    let log = String::from_utf8_lossy(&log.body).into_owned();
    assert!(log.contains("to be tried again at"), "{log}");
    line.set(Trouble::None);
    remote.arrived("shop/db", "2", Some(&image(3))).await;
}

/// "If a policy is disabled, the running jobs under it will be stopped." "Only policies which are disabled and have no
/// running jobs can be deleted." Ours can be edited while it is enabled, too.
async fn disabled_stopped_edited_and_deleted(source: &Site, remote: &Site) {
    let mut policy = source.get("/rules/shop-to-cloud").await;
    policy["bandwidth"] = json!("50KiB/s");
    source.put("/rules/shop-to-cloud", policy.clone()).await;
    let big = ImageBuilder::new(4).layer(3_000_000).build();
    source.push("shop/web", "3", &big).await;
    let running = running(source).await;
    let begun = Instant::now();
    source.switch("shop-to-cloud", false).await;
    assert_eq!(
        source.done(&running["execution"]).await["status"],
        "Stopped"
    );
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert_eq!(remote.digest("shop/web", "3").await, None);

    // "A policy can be restarted by disabling and then enabling it again."
    source.switch("shop-to-cloud", true).await;
    self::running(source).await;
    assert_eq!(source.delete("/rules/shop-to-cloud").await, 409);
    assert_eq!(source.get("/rules/shop-to-cloud").await["enabled"], false);
    policy["bandwidth"] = json!("-1");
    policy["enabled"] = json!(true);
    source.put("/rules/shop-to-cloud", policy).await;
    remote.arrived("shop/web", "3", Some(&big)).await;
    source.switch("shop-to-cloud", false).await;
    assert_eq!(source.delete("/rules/shop-to-cloud?stop=true").await, 204);
    assert_eq!(source.delete("/remotes/cloud").await, 204);
}

/// A job that sends something.
async fn running(source: &Site) -> Value {
    eventually(async || {
        let jobs = source.get("/rules/shop-to-cloud/tasks").await;
        let jobs = jobs["items"].as_array()?.clone();
        let sends =
            |job: &Value| job["status"] == "Running" && job["bytes_sent"].as_u64() > Some(0);
        jobs.into_iter().find(sends)
    })
    .await
}

/// "If the project already exists and the replication user has no write privilege to it, the process will fail."
async fn no_write_privilege(source: &Site, remote: &Site, url: &str) {
    let reader = json!({"name": "reader", "password": "a reader's password", "admin": false,
        "rights": [{"project": "shop", "rights": ["pull"]}]});
    remote.make("/users", reader).await;
    let destination = json!({"name": "as-reader", "provider": "entrepot", "urls": [url],
        "username": "reader", "password": "a reader's password"});
    source.make("/remotes", destination).await;
    source.push("shop/new", "1", &image(5)).await;
    let filters = json!([{"type": "name", "value": "new"}]);
    let policy = json!({"name": "refused", "remotes": ["as-reader"],
        "source": {"project": "shop", "filters": filters}});
    let policy = source.make("/rules", policy).await;
    let failed = source.done(&policy["execution"]).await;
    assert_eq!(
        (&failed["status"], &failed["success_rate"]),
        (&json!("Failed"), &json!(0.0)),
        "{failed}"
    );
    let jobs = source.get("/rules/refused/tasks").await;
    let error = jobs["items"][0]["error"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert!(error.contains("right to push"), "{error}");
    assert_eq!(jobs["items"][0]["attempts"], 1, "{jobs}");
    assert_eq!(remote.digest("shop/new", "1").await, None);
    assert_eq!(source.delete("/rules/refused").await, 204);
}

/// "Set \"Verify Remote Cert\" to off if the destination uses a self-signed or untrusted certificate."
async fn self_signed(source: &Site) {
    let identity = Authority::new().server(&["127.0.0.1"]);
    let terms = Terms {
        login: None,
        tls: Some(&identity),
    };
    let registry = RealRegistry::with(Program::DockerRegistry, terms).await;
    let mut destination =
        json!({"name": "self-signed", "urls": [format!("https://{}", registry.host)]});
    let tested = source.post("/remotes/test", destination.clone()).await.body;
    assert_eq!(tested["healthy"], false, "{tested}");
    destination["verify_tls"] = json!(false);
    let tested = source.post("/remotes/test", destination.clone()).await.body;
    assert_eq!(tested["healthy"], true, "{tested}");
    source.make("/remotes", destination).await;
    let policy = json!({"name": "to-self-signed", "remotes": ["self-signed"], "source": {"project": "shop"}});
    let policy = source.make("/rules", policy).await;
    assert_eq!(
        source.done(&policy["execution"]).await["status"],
        "Succeeded"
    );
    assert_pulls(&registry.host, None, "shop/db:2", &image(3)).await;
}

/// "Searching projects and repositories": public ones, and private ones that one has access to.
async fn searching(source: &Site) {
    let open = json!({"name": "open-shop", "kind": "hosted", "visibility": "public"});
    source.make("/projects", open).await;
    source.push("open-shop/tea", "1", &image(6)).await;
    let found = async |user| {
        let found =
            crate::manage::call_as(&source.server, user, Method::GET, "/search?q=SHOP", None);
        let found = found.await.body;
        let names = |member: &str| {
            let items = found[member].as_array().expect("a list").iter();
            items
                .filter_map(|item| Some(item["name"].as_str()?.to_owned()))
                .collect::<Vec<_>>()
        };
        (names("projects"), names("repositories"))
    };
    let (projects, repositories) = found(("ada", "ada's password")).await;
    assert_eq!(projects, ["shop", "open-shop"]);
    assert!(
        repositories.contains(&"shop/web".to_owned()),
        "{repositories:?}"
    );
    assert!(
        repositories.contains(&"open-shop/tea".to_owned()),
        "{repositories:?}"
    );
    let nobody =
        json!({"name": "nobody", "password": "nobody's password", "admin": false, "rights": []});
    source.make("/users", nobody).await;
    let (projects, repositories) = found(("nobody", "nobody's password")).await;
    assert_eq!(projects, ["open-shop"]);
    assert_eq!(repositories, ["open-shop/tea"]);
}
