//! Projects that a rule needs at its destination: made before anything is sent, if the remote's credentials may.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, image, login};
use crate::{
    api::PASSWORD,
    harness::{Client, FakeRegistry, basic},
    manage::call,
    server::{Setup, TestServer},
};

/// A hub that knows the other site as an Entrepot.
async fn hub(edge: &TestServer, login: &str) -> Sites {
    let url = edge.url();
    let keys = format!(
        "[[remote]]\nname = \"site\"\nprovider = \"entrepot\"\nurls = [\"{url}\"]\n{login}\n"
    );
    Sites::with(&keys).await
}

/// A rule that sends `team` to a project of the other site; its first execution when it is over.
async fn sent_to(sites: &Sites, project: &str) -> Value {
    let made = sites
        .rule(json!({"remotes": ["site"], "destination": {"project": project, "flatten": 1}}))
        .await;
    sites.done(made["execution"].as_str().expect("an id")).await
}

/// What the only task of an execution that failed says.
async fn why(sites: &Sites, execution: &Value) -> String {
    assert_eq!(execution["status"], "Failed", "{execution}");
    let id = execution["id"].as_str().expect("an id");
    let tasks = sites.get(&format!("/executions/{id}/tasks")).await;
    let tasks = tasks["items"].as_array().expect("a list").clone();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["attempts"], 1, "{}", tasks[0]);
    tasks[0]["error"].as_str().expect("a text").to_owned()
}

async fn user(edge: &TestServer, rights: Value) -> String {
    let user =
        json!({"name": "hub", "password": "a hub's password", "admin": false, "rights": rights});
    let made = call(edge, Method::POST, "/users", Some(user)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    "username = \"hub\"\npassword = \"a hub's password\"".to_owned()
}

async fn project(edge: &TestServer, name: &str) -> Option<Value> {
    let shown = call(edge, Method::GET, &format!("/projects/{name}"), None).await;
    (shown.status == 200).then_some(shown.body)
}

async fn has_tag(edge: &TestServer, repository: &str, tag: &str) -> bool {
    let login = basic("admin", PASSWORD);
    let headers = [("authorization", login.as_str())];
    let url = edge.manifest_url(repository, tag);
    let head = Client::new().send(Method::HEAD, &url, &headers).await;
    head.status == 200
}

/// How often the management API of the remote was asked.
async fn asked(sites: &Sites, method: &str) -> u64 {
    asked_for(sites, "manage", method).await
}

async fn asked_for(sites: &Sites, kind: &str, method: &str) -> u64 {
    let (kind, method) = (format!("kind=\"{kind}\""), format!("method=\"{method}\""));
    let labels = ["remote=\"site\"", &kind, &method];
    let metrics = sites.hub.metrics().await;
    let counted = metrics.lines().filter(|line| {
        line.starts_with("entrepot_remote_requests_total{")
            && labels.iter().all(|label| line.contains(label))
    });
    let values = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_missing_is_made_before_anything_is_sent() {
    let edge = crate::push::setup("").start().await;
    let sites = hub(&edge, &login()).await;
    for repository in ["team/app", "team/db", "team/deep/web"] {
        sites.push(repository, "1", &image(1)).await;
    }
    assert!(project(&edge, "fresh").await.is_none());
    let execution = sent_to(&sites, "fresh").await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    let made = project(&edge, "fresh").await.expect("it is made");
    assert_eq!(made["kind"], "hosted", "{made}");
    assert!(has_tag(&edge, "fresh/deep/web", "1").await);
    // Asked for once, and remembered.
    sites.push("team/app", "2", &image(2)).await;
    eventually(async || has_tag(&edge, "fresh/app", "2").await.then_some(())).await;
    assert_eq!(
        (asked(&sites, "GET").await, asked(&sites, "POST").await),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_may_not_be_made_fails_the_task_naming_project_and_right() {
    let edge = crate::push::setup("").start().await;
    let login = user(
        &edge,
        json!([{"project": "team", "rights": ["pull", "push"]}]),
    )
    .await;
    let sites = hub(&edge, &login).await;
    sites.push("team/app", "1", &image(1)).await;
    let execution = sent_to(&sites, "fresh").await;
    let why = why(&sites, &execution).await;
    assert!(
        why.contains("may not create project `fresh` at `site`: needs a token of an admin of the system there"),
        "{why}"
    );
    assert!(
        why.contains("where pushes make projects, the right `push` on all of it"),
        "{why}"
    );
    assert!(project(&edge, "fresh").await.is_none());
    // It is told before anything is sent, or even looked for there.
    assert!(asked_for(&sites, "upload", "POST").await > 0);
    assert_eq!(asked_for(&sites, "manifest", "HEAD").await, 0);
    // Once it is there, the same rule goes on.
    let id = execution["id"].as_str().expect("an id");
    let fresh = json!({"name": "fresh", "kind": "hosted", "members": [
        {"principal": "hub", "rights": ["pull", "push"]}]});
    let made = call(&edge, Method::POST, "/projects", Some(fresh)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let again = sites
        .post(&format!("/executions/{id}/retry"), json!({}))
        .await;
    assert_eq!(again.status, 200, "{}", again.body);
    eventually(async || has_tag(&edge, "fresh/app", "1").await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_push_to_all_of_a_project_makes_it_by_pushing_where_that_is_so() {
    let edge = Setup::empty()
        .section(&format!(
            "[access]\nadmin_password = \"{PASSWORD}\"\nauto_create_projects = true\n"
        ))
        .start()
        .await;
    let login = user(
        &edge,
        json!([{"project": "fresh", "rights": ["pull", "push"]}]),
    )
    .await;
    let sites = hub(&edge, &login).await;
    sites.push("team/app", "1", &image(1)).await;
    let execution = sent_to(&sites, "fresh").await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    assert!(has_tag(&edge, "fresh/app", "1").await);
    // What was begun to find out was given up.
    assert_eq!(asked_for(&sites, "upload", "DELETE").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_would_hide_others_images_is_never_made_by_a_rule() {
    let far = FakeRegistry::start().await;
    let access = format!("[access]\nadmin_password = \"{PASSWORD}\"\n");
    let edge = Setup::hub(&far).section(&access).start().await;
    let sites = hub(&edge, &login()).await;
    sites.push("team/app", "1", &image(1)).await;
    let execution = sent_to(&sites, "library").await;
    let why = why(&sites, &execution).await;
    assert!(
        why.contains("may not create project `library` at `site`") && why.contains("hide_default"),
        "{why}"
    );
    assert!(project(&edge, "library").await.is_none());
}
