//! `entrepot remote`, `rule` and `execution` as processes, against a server that is one too, and a registry of another maker.

use serde_json::Value;

use crate::{
    copy_command::assert_has,
    harness::ImageBuilder,
    manage_commands::Scene,
    process::{Process, command},
    push::{Pusher, setup},
    real_registry::{Program, RealRegistry},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_and_a_rule_are_made_run_watched_and_deleted() {
    let registry = RealRegistry::start(Program::DockerRegistry).await;
    let scene = Scene::of(&setup("")).await;
    let image = ImageBuilder::new(1).layer(10_000).build();
    Pusher::at(&scene.server.url)
        .image("team/app", "1", &image)
        .await;

    let create = format!(
        "remote create edge urls={} max_concurrent=2",
        registry.url()
    );
    let made = scene.run(&create).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains(&registry.host), "{}", made.stdout);
    let tested = scene.run("remote test edge").await;
    assert_eq!(tested.code, Some(0), "{}", tested.stdout);
    assert!(tested.stdout.starts_with("healthy"), "{}", tested.stdout);
    let set = scene
        .json("remote set edge description=site max_concurrent=null")
        .await;
    assert_eq!(
        (&set["description"], set.get("max_concurrent")),
        (&Value::from("site"), None)
    );

    let rule = "rule create to-edge remotes=edge source.project=team trigger.type=manual";
    let made = scene.run(rule).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let behind = scene.run("rule sync to-edge").await;
    assert_eq!(behind.code, Some(1), "{}", behind.stdout);

    let run = scene.run("rule run to-edge --wait").await;
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("1 succeeded"), "{}", run.stdout);
    assert_has(&registry.url(), "team/app", "1", &image).await;
    let compared = scene.run("rule sync to-edge").await;
    assert_eq!(compared.code, Some(0), "{}", compared.stdout);

    let dry = scene.json("rule run to-edge --dry-run --wait").await;
    let id = dry["id"].as_str().expect("an id");
    let plan = scene.run(&format!("execution plan {id}")).await;
    assert!(plan.stdout.contains("1 there already"), "{}", plan.stdout);
    let applied = scene.run(&format!("execution apply {id}")).await;
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let watched = scene.run(&format!("execution watch {id}")).await;
    assert_eq!(watched.code, Some(0), "{}", watched.stdout);
    let list = scene.json("execution list --rule to-edge").await;
    assert_eq!(list["items"].as_array().expect("a list").len(), 2);
    let first = list["items"][1]["id"].as_str().expect("an id");
    let tasks = scene.json(&format!("execution tasks {first}")).await;
    let task = tasks["items"][0]["id"].as_str().expect("an id");
    let log = scene.run(&format!("execution log {task}")).await;
    assert!(
        log.stdout.contains("is sent"),
        "{}{}",
        log.stdout,
        log.stderr
    );

    let used = scene.run("remote list --search edge").await;
    assert!(used.stdout.contains("rule to-edge"), "{}", used.stdout);
    let refused = scene.run("remote delete edge").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("to-edge"), "{}", refused.stderr);
    let off = scene.json("rule disable to-edge").await;
    assert_eq!(off["enabled"], false);
    let refused = scene.run("rule run to-edge --wait").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("dry_run"), "{}", refused.stderr);
    let list = scene.run("rule list").await;
    assert!(list.stdout.contains("disabled"), "{}", list.stdout);
    assert_eq!(scene.json("rule enable to-edge").await["enabled"], true);
    let renamed = scene
        .json("rule set to-edge name=edge-1 bandwidth=1MiB/s")
        .await;
    assert_eq!(renamed["name"], "edge-1");
    let deleted = scene.run("rule delete edge-1 --stop").await;
    assert_eq!(deleted.stdout, "edge-1: deleted\n", "{}", deleted.stderr);
    let deleted = scene.run("remote delete edge").await;
    assert_eq!(deleted.stdout, "edge: deleted\n", "{}", deleted.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_ends_with_1_and_says_why() {
    let scene = Scene::of(&setup("")).await;
    let image = ImageBuilder::new(1).layer(10_000).build();
    Pusher::at(&scene.server.url)
        .image("team/app", "1", &image)
        .await;
    for command in [
        "remote create gone urls=http://127.0.0.1:1 retry_for=1s",
        "rule create to-gone remotes=gone source.project=team trigger.type=manual retry_for=1s",
    ] {
        let made = scene.run(command).await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }
    let tested = scene.run("remote test gone").await;
    assert_eq!(tested.code, Some(1), "{}", tested.stdout);
    let failed = scene.run("rule run to-gone --wait").await;
    assert_eq!(failed.code, Some(1), "{}", failed.stdout);
    assert!(failed.stdout.contains("1 failed"), "{}", failed.stdout);
    let missing = scene.run("rule show nothing").await;
    assert_eq!(missing.code, Some(1));
    let wrong = scene.run("rule create x source=1").await;
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_the_middle_of_a_blob_goes_on_after_its_restart() {
    let registry = RealRegistry::start(Program::Distribution).await;
    let scene = Scene::of(&setup("")).await;
    let image = ImageBuilder::new(1).layer(3_000_000).build();
    Pusher::at(&scene.server.url)
        .image("team/app", "1", &image)
        .await;
    let create = format!("remote create edge urls={}", registry.url());
    assert_eq!(scene.run(&create).await.code, Some(0));
    let rule = "rule create to-edge remotes=edge source.project=team bandwidth=100KiB/s";
    let made = scene.json(rule).await;
    let execution = made["execution"].as_str().expect("an execution").to_owned();
    let show = format!("execution show {execution}");
    while scene.json(&show).await["bytes_sent"].as_u64() == Some(0) {}

    let folder = scene.server.kill().await;
    let command = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let server = Process::start(folder, command).await;
    let scene = Scene { server };
    let set = scene.run("rule set to-edge bandwidth=-1").await;
    assert_eq!(set.code, Some(0), "{}", set.stderr);
    let watched = scene.run(&format!("execution watch {execution}")).await;
    assert_eq!(watched.code, Some(0), "{}", watched.stdout);
    assert_has(&registry.url(), "team/app", "1", &image).await;
    let tasks = scene.json(&format!("execution tasks {execution}")).await;
    assert_eq!(tasks["items"].as_array().expect("a list").len(), 1);
    assert_eq!(tasks["items"][0]["attempts"], 2, "{tasks}");
}
