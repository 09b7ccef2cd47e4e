//! Warming: what is asked for is here before anybody pulls it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    api::PASSWORD,
    harness::{FakeRegistry, Image, ImageBuilder, On, get},
    manage::{Called, call, call_as},
    process::entrepot_in,
    server::{Setup, TestServer, on_both},
};

on_both! {
    what_was_warmed_pulls_while_the_remote_is_down,
    only_what_the_platforms_need_is_fetched,
}

const PATIENCE: Duration = Duration::from_secs(20);

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed)
        .layer(20_000)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build()
}

fn setup(hub: &FakeRegistry) -> Setup {
    Setup::hub(hub).section(&format!(
        "[access]\nadmin_password = \"{PASSWORD}\"\n[[project]]\nname = \"team\"\nkind = \"hosted\""
    ))
}

async fn warm(server: &TestServer, body: Value) -> Called {
    call(server, Method::POST, "/cache/warm", Some(body)).await
}

/// Warms, and waits for the end; the execution.
async fn warmed(server: &TestServer, body: Value) -> Value {
    let begun = warm(server, body).await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    let id = begun.body["id"].as_str().expect("an id").to_owned();
    let location = begun.headers["location"].to_str().expect("text");
    let path = location.strip_prefix("/api/v1").expect("a path of the API");
    assert_eq!(call(server, Method::GET, path, None).await.body["id"], id);
    ended(server, &id).await
}

async fn ended(server: &TestServer, id: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let shown = call(server, Method::GET, &format!("/executions/{id}"), None).await;
        if shown.body["ended_at"].is_string() {
            return shown.body;
        }
        assert!(Instant::now() < end, "{}", shown.body);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_pulls(server: &TestServer, repository: &str, image: &Image) {
    let root = get(&server.manifest_url(repository, "1")).await;
    assert_eq!(
        (root.status, &root.body),
        (200, &image.root_manifest().bytes)
    );
    for child in image.children() {
        assert_eq!(
            get(&server.manifest_url(repository, &child)).await.status,
            200
        );
    }
    for (digest, bytes) in &image.blobs {
        assert_eq!(get(&server.blob_url(repository, digest)).await.body, *bytes);
    }
}

async fn what_was_warmed_pulls_while_the_remote_is_down() {
    let (hub, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    hub.put_image("library/app", "1", &image(1));
    other.put_image("db", "1", &image(2));
    let server = setup(&hub).mirror("quay.io", &other, "").start().await;
    let references = json!(["docker.io/app:1", "quay.io/db:1", "quay.io/db:1"]);
    let execution = warmed(&server, json!({"references": references})).await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    assert_eq!(execution["rule"], "");
    assert_eq!(execution["tasks"]["total"], 2);
    for remote in [&hub, &other] {
        remote.stop().await;
    }
    assert_pulls(&server, "docker.io/library/app", &image(1)).await;
    assert_pulls(&server, "quay.io/db", &image(2)).await;
}

async fn only_what_the_platforms_need_is_fetched() {
    let hub = FakeRegistry::start().await;
    let image = image(1);
    hub.put_image("library/app", "1", &image);
    let server = setup(&hub).start().await;
    let body = json!({"references": ["docker.io/library/app:1"], "platforms": ["linux/arm64"]});
    let execution = warmed(&server, body).await;
    assert_eq!(execution["status"], "Succeeded", "{execution}");
    let path = "/cache/entry?name=docker.io/library/app&reference=1";
    let entry = call(&server, Method::GET, path, None).await.body;
    let missing = entry["missing"].as_array().expect("a list");
    let platforms: Vec<_> = missing.iter().map(|one| &one["platform"]).collect();
    assert!(!platforms.is_empty(), "{entry}");
    assert!(
        platforms.iter().all(|platform| *platform == "linux/amd64"),
        "{entry}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_not_there_fails_and_is_retried() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &image(1));
    let server = setup(&hub).start().await;
    let references = json!(["docker.io/library/app:1", "docker.io/library/late:1"]);
    let execution = warmed(&server, json!({"references": references})).await;
    assert_eq!(execution["status"], "Failed", "{execution}");
    assert_eq!(execution["tasks"]["failed"], 1);
    let id = execution["id"].as_str().expect("an id");
    let path = format!("/executions/{id}");
    let failed = format!("{path}/tasks?status=Failed");
    let tasks = call(&server, Method::GET, &failed, None).await.body;
    assert_eq!(tasks["items"][0]["repository"], "library/late", "{tasks}");
    hub.put_image("library/late", "1", &image(2));
    hub.forget_requests();
    let retry = format!("{path}/retry");
    let retried = call(&server, Method::POST, &retry, Some(json!({}))).await;
    assert_eq!(retried.body["tasks"], 1);
    assert_eq!(ended(&server, id).await["status"], "Succeeded");
    assert_eq!(hub.count(On::any().repository("library/app")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_with_its_reference_and_it_takes_an_admin() {
    let hub = FakeRegistry::start().await;
    let server = setup(&hub).start().await;
    let digest = format!("docker.io/app@sha256:{}", "0".repeat(64));
    let wrong = [
        "docker.io/UPPER:1",
        "nowhere.io/a:1",
        "team/app:1",
        digest.as_str(),
    ];
    for reference in wrong {
        let body = json!({"references": ["docker.io/app:1", reference]});
        let refused = warm(&server, body).await;
        assert_eq!(refused.status, 400, "{reference}");
        assert_eq!(refused.fields(), ["references[1]"]);
        let message = &refused.body["errors"][0]["message"];
        assert!(
            message.as_str().expect("text").contains(reference),
            "{message}"
        );
    }
    let none = warm(&server, json!({"references": []})).await;
    assert_eq!((none.status, none.fields()), (400, vec!["references"]));
    let platforms = json!({"references": ["docker.io/app:1"], "platforms": ["arm64"]});
    assert_eq!(warm(&server, platforms).await.fields(), ["platforms[0]"]);
    let ada = json!({"name": "ada", "password": PASSWORD});
    assert_eq!(
        call(&server, Method::POST, "/users", Some(ada))
            .await
            .status,
        201
    );
    let body = Some(json!({"references": ["docker.io/app:1"]}));
    let refused = call_as(
        &server,
        ("ada", PASSWORD),
        Method::POST,
        "/cache/warm",
        body,
    )
    .await;
    assert_eq!(refused.status, 403);
    let executions = call(&server, Method::GET, "/executions", None).await;
    assert_eq!(executions.body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_warms_and_waits() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", &image(1));
    let server = setup(&hub).start().await;
    let environment = [
        ("ENTREPOT_URL", server.url()),
        ("ENTREPOT_ADMIN_PASSWORD", PASSWORD),
    ];
    let run = async |image: &str| {
        let arguments = [
            "cache",
            "warm",
            "--wait",
            "--platform",
            "linux/amd64",
            image,
        ];
        entrepot_in(server.folder.path(), &arguments, &environment).await
    };
    let said = run("docker.io/library/app:1").await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("Succeeded"), "{}", said.stdout);
    assert_eq!(run("docker.io/library/none:1").await.code, Some(1));
    let refused = run("nowhere.io/app:1").await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("nowhere.io/app:1"),
        "{}",
        refused.stderr
    );
}
