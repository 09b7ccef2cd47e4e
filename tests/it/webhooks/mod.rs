//! Webhooks: what happens is told to receivers, signed, in order, at least once.

mod receiver;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::receiver::{Manner, Receiver};
use crate::{
    api::PASSWORD,
    harness::{FakeRegistry, Image, ImageBuilder, get},
    manage::call,
    process::{Process, command},
    push::Pusher,
    server::{Setup, TestServer, on_both},
};

on_both! {
    each_kind_is_told_once_signed_and_in_order,
    a_receiver_that_was_down_gets_everything_in_order,
    a_receiver_that_hangs_holds_up_nobody_else,
    only_what_a_webhook_asks_for_is_told,
}

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);
const TAKEN: Manner = Manner::Status(204);

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "it does not come");
        sleep(Duration::from_millis(20)).await;
    }
}

fn configuration(webhooks: &[String]) -> String {
    let hosted = |name: &str| {
        format!("[[project]]\nname = \"{name}\"\nkind = \"hosted\"\nvisibility = \"public\"\n")
    };
    format!(
        "[access]\nadmin_password = \"{PASSWORD}\"\n[replication]\nevent_delay = \"50ms\"\n{}{}{}",
        hosted("team"),
        hosted("other"),
        webhooks.join("\n")
    )
}

fn setup(webhooks: &[String]) -> Setup {
    Setup::empty().section(&configuration(webhooks))
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(1000).build()
}

async fn push(server: &TestServer, repository: &str, tag: &str) -> Image {
    let image = image(1);
    Pusher::of(server).image(repository, tag, &image).await;
    image
}

fn told(kind: &str, subject: &str) -> (String, String) {
    (format!("entrepot.{kind}"), subject.to_owned())
}

/// Makes a rule and runs it; the execution.
async fn execution(server: &TestServer, remote: &str) -> String {
    let rule = json!({
        "name": format!("to-{remote}"), "remotes": [remote], "source": {"project": "team"},
        "trigger": {"type": "manual"}, "retry_for": "1s",
    });
    let made = call(server, Method::POST, "/rules", Some(rule)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/rules/to-{remote}/executions");
    let begun = call(server, Method::POST, &path, Some(json!({}))).await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    begun.body["id"].as_str().expect("an id").to_owned()
}

async fn each_kind_is_told_once_signed_and_in_order() {
    let receiver = Receiver::start(TAKEN).await;
    let (far, there) = (
        FakeRegistry::start().await,
        crate::push::setup("").start().await,
    );
    far.put_image("app", "1", &image(2));
    let refusing = "http://127.0.0.1:1";
    let server = setup(&[receiver.webhook("ci", "")])
        .mirror("far", &far, "visibility = \"public\"")
        .remote(
            "there",
            there.url(),
            &format!("username = \"admin\"\npassword = \"{PASSWORD}\""),
        )
        .remote("nowhere", refusing, "retry_for = \"1s\"")
        .start()
        .await;
    let pushed = push(&server, "team/app", "v1").await;
    let first = receiver.taken(1).await.remove(0);
    assert_eq!(first["specversion"], "1.0");
    assert_eq!(first["datacontenttype"], "application/json");
    assert_eq!(
        first["data"],
        json!({"project": "team", "repository": "team/app", "tag": "v1", "digest": pushed.root})
    );

    let far_image = image(2);
    assert_eq!(get(&server.manifest_url("far/app", "1")).await.status, 200);
    for blob in far_image.blobs.keys() {
        assert_eq!(get(&server.blob_url("far/app", blob)).await.status, 200);
    }
    receiver.taken(2).await;
    let succeeded = execution(&server, "there").await;
    receiver.taken(4).await;
    let failed = execution(&server, "nowhere").await;
    let messages = receiver.taken(6).await;
    let gone = Pusher::of(&server);
    let gone = Pusher::send(gone.request(Method::DELETE, "/v2/team/app/manifests/v1")).await;
    assert_eq!(gone.status, 202);
    let all = receiver.told(7).await;
    assert_eq!(
        all,
        [
            told("pushed", "team/app:v1"),
            told("filled", "far/app:1"),
            told("execution_started", &succeeded),
            told("execution_succeeded", &succeeded),
            told("execution_started", &failed),
            told("execution_failed", &failed),
            told("deleted", "team/app:v1"),
        ]
    );
    let ended = &messages[5]["data"];
    assert_eq!(ended["rule"], "to-nowhere");
    assert_eq!(ended["project"], "team");
    assert_eq!(ended["tasks"]["failed"], 1);
    assert!(ended["ended_at"].is_string());
    let metrics = server.metrics().await;
    let line = r#"entrepot_webhook_deliveries_total{webhook="ci",outcome="delivered"} 7"#;
    assert!(metrics.lines().any(|had| had == line), "{metrics}");
}

async fn a_receiver_that_was_down_gets_everything_in_order() {
    let receiver = Receiver::start(Manner::Status(503)).await;
    let mut server = setup(&[receiver.webhook("ci", "")]).start().await;
    let tags: Vec<_> = (0..20).map(|number| format!("v{number}")).collect();
    for tag in &tags[..10] {
        push(&server, "team/app", tag).await;
    }
    receiver.until_came(1).await;
    server.stop().await;
    server.start_again().await;
    for tag in &tags[10..] {
        push(&server, "team/app", tag).await;
    }
    receiver.set(TAKEN);
    let all = receiver.told(20).await;
    let expected: Vec<_> = tags
        .iter()
        .map(|tag| told("pushed", &format!("team/app:{tag}")))
        .collect();
    assert_eq!(all, expected);
}

async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let (hangs, works) = (
        Receiver::start(Manner::Hang).await,
        Receiver::start(TAKEN).await,
    );
    let server = setup(&[
        hangs.webhook("a-hangs", "timeout = \"10m\""),
        works.webhook("works", ""),
    ])
    .start()
    .await;
    push(&server, "team/app", "v1").await;
    hangs.until_came(1).await;
    push(&server, "team/app", "v2").await;
    works.taken(2).await;
    assert_eq!((hangs.came(), hangs.all().len()), (1, 0));
    // It ends although a delivery is under way.
    let mut server = server;
    let stopping = tokio::time::timeout(Duration::from_secs(10), server.stop());
    stopping.await.expect("it stops soon");
}

async fn only_what_a_webhook_asks_for_is_told() {
    let receiver = Receiver::start(TAKEN).await;
    let keys = "events = [\"deleted\"]\nprojects = [\"t*\"]";
    let server = setup(&[receiver.webhook("ci", keys)]).start().await;
    for repository in ["other/app", "team/app"] {
        push(&server, repository, "v1").await;
        let path = format!("/v2/{repository}/manifests/v1");
        let gone = Pusher::of(&server).request(Method::DELETE, &path);
        assert_eq!(Pusher::send(gone).await.status, 202);
    }
    assert_eq!(receiver.told(1).await, [told("deleted", "team/app:v1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_never_takes_does_not_hold_up_the_rest() {
    let receiver = Receiver::start(Manner::Status(503)).await;
    let keys = "max_waiting = 1";
    let server = setup(&[receiver.webhook("ci", keys)]).start().await;
    for tag in ["v1", "v2", "v3"] {
        push(&server, "team/app", tag).await;
    }
    receiver.until_came(1).await;
    receiver.set(TAKEN);
    let all = receiver.told(1).await;
    assert_eq!(all.last(), Some(&told("pushed", "team/app:v3")));
    let line = r#"entrepot_webhook_deliveries_total{webhook="ci",outcome="dropped"}"#;
    assert!(server.metrics().await.contains(line));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_left_out() {
    let receiver = Receiver::start(Manner::Status(503)).await;
    let server = setup(&[receiver.webhook("ci", "max_age = \"1h\"")]);
    let server = server.start().await;
    push(&server, "team/app", "old").await;
    receiver.until_came(1).await;
    server.execute("UPDATE event SET at = at - 7200000").await;
    push(&server, "team/app", "new").await;
    receiver.set(TAKEN);
    assert_eq!(receiver.told(1).await, [told("pushed", "team/app:new")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_change_and_the_delivery_loses_nothing() {
    let receiver = Receiver::start(Manner::Hang).await;
    let text = format!(
        "builtin = false\n[server]\nlisten = \"127.0.0.1:0\"\n{}",
        configuration(&[receiver.webhook("ci", "")])
    );
    let process = Process::serve(&text, &[]).await;
    Pusher::at(&process.url)
        .image("team/app", "v1", &image(1))
        .await;
    receiver.until_came(1).await;
    let folder = process.kill().await;
    receiver.set(TAKEN);
    let again = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let process = Process::start(folder, again).await;
    assert_eq!(receiver.told(1).await, [told("pushed", "team/app:v1")]);
    Pusher::at(&process.url)
        .image("team/app", "v2", &image(2))
        .await;
    assert_eq!(receiver.told(2).await[1], told("pushed", "team/app:v2"));
    // What may be a key in the URL is not in the log.
    assert!(!process.stderr().contains("hidden"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let receiver = Receiver::start(Manner::Status(307)).await;
    let server = setup(&[receiver.webhook("ci", "")]).start().await;
    push(&server, "team/app", "v1").await;
    receiver.until_came(2).await;
    assert_eq!(receiver.all(), Vec::<Value>::new());
}
