//! Which manifests of an index a rule sends, and under which index.

use serde_json::{Value, json};

use super::{
    Sites, far, far_image,
    registries::{keys, pull, there},
};
use crate::{
    harness::{Client, Image, ImageBuilder, get},
    real_registry::{Program, RealRegistry},
};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn both() -> Image {
    ImageBuilder::new(1)
        .layer(10_000)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build()
}

/// An image that is in no index.
fn single(seed: u64, architecture: &str) -> Image {
    let config = json!({"os": "linux", "architecture": architecture});
    ImageBuilder::new(seed)
        .layer(10_000)
        .config_as(CONFIG, config.to_string())
        .build()
}

/// A rule that takes one platform of a project, by hand.
fn rule(project: &str, remote: &str, mode: &str) -> Value {
    let filters = json!([{"type": "platform", "value": ["linux/amd64"]}]);
    json!({
        "source": {"project": project, "filters": filters}, "remotes": [remote],
        "destination": {"project": "team", "flatten": 1},
        "platform_mode": mode, "trigger": {"type": "manual"},
    })
}

/// Carries a rule out; the notes of its only task.
async fn carried_out(sites: &Sites, more: Value) -> String {
    sites.rule(more).await;
    let id = sites.run("to-edge", json!({})).await;
    let done = sites.done(&id).await;
    assert_eq!(done["status"], "Succeeded", "{done}");
    let tasks = sites.get(&format!("/executions/{id}/tasks")).await;
    let told = tasks["items"][0]["error"].as_str();
    told.unwrap_or_default().to_owned()
}

/// The digests that an index at a registry names.
async fn named(registry: &RealRegistry, repository: &str) -> Vec<String> {
    let url = format!("{}/v2/{repository}/manifests/1", registry.url());
    let accept = [("accept", "application/vnd.oci.image.index.v1+json")];
    let index = Client::new().send(http::Method::GET, &url, &accept).await;
    let index: Value = serde_json::from_slice(&index.body).expect("JSON");
    let manifests = index["manifests"].as_array().expect("an index").iter();
    let digests = manifests.map(|one| one["digest"].as_str().expect("a text").to_owned());
    digests.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_index_has_its_digest_and_the_other_platforms_are_left_out() {
    let sites = Sites::start().await;
    let image = both();
    sites.push("team/app", "1", &image).await;
    sites.push("team/app", "2", &single(2, "arm64")).await;
    sites.push("team/app", "3", &single(3, "amd64")).await;
    let more = rule("team", "edge", "keep_index");
    let told = carried_out(&sites, more).await;
    let children = image.children();
    let (amd64, arm64) = (&children[0], &children[1]);
    let there = async |reference: &str| sites.at_edge("team/app", reference).await;
    assert_eq!(there("1").await, Some(image.root.clone()));
    assert_eq!(there(amd64).await.as_ref(), Some(amd64));
    assert_eq!(there(arm64).await, None);
    // So is an image that is in no index and for another platform.
    assert_eq!(there("2").await, None);
    assert!(told.contains("`2`"), "{told}");
    assert_eq!(there("3").await, Some(single(3, "amd64").root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_index_names_the_chosen_platforms_alone() {
    let registry = RealRegistry::start(Program::Distribution).await;
    let sites = Sites::with(&keys(&registry)).await;
    let image = both();
    sites.push("team/app", "1", &image).await;
    let more = rule("team", "real", "rewrite_index");
    carried_out(&sites, more).await;
    assert_eq!(named(&registry, "team/app").await, image.children()[..1]);
    assert_ne!(there(&registry, "team/app", "1").await, Some(image.root));
    // It is there by now.
    let id = sites.run("to-edge", json!({})).await;
    let again = sites.done(&id).await;
    assert_eq!(
        (&again["status"], &again["bytes_sent"]),
        (&json!("Succeeded"), &json!(0)),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_a_mirror_is_rewritten_for_what_is_here_of_the_chosen_platforms() {
    let (remote, image) = far_image().await;
    let registry = RealRegistry::start(Program::Distribution).await;
    let sites = Sites::with(&format!("{}{}", far(&remote), keys(&registry))).await;
    pull(&sites, &image, 0).await;
    let more = rule("far", "real", "rewrite_index");
    carried_out(&sites, more).await;
    let named = named(&registry, "team/library/app").await;
    assert_eq!(named, image.children()[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_index_of_a_mirror_goes_with_what_is_here_of_the_chosen_platforms() {
    let (remote, image) = far_image().await;
    let mirror = far(&remote);
    let sites = Sites::with(&mirror).await;
    for platform in [0, 1] {
        pull(&sites, &image, platform).await;
    }
    let more = rule("far", "edge", "keep_index");
    carried_out(&sites, more).await;
    let there = async |reference: &str| sites.at_edge("team/library/app", reference).await;
    let children = image.children();
    assert_eq!(there("1").await, Some(image.root.clone()));
    assert_eq!(there(&children[0]).await.as_ref(), Some(&children[0]));
    assert_eq!(there(&children[1]).await, None);
    let here = sites.hub.manifest_url("far/library/app", &children[1]);
    assert_eq!(get(&here).await.status, 200);
}
