//! Rules that push to registries of other makers, from a hosted project and from a mirror.

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, far, far_image, hosted, image};
use crate::{
    api::PASSWORD,
    copy_command::assert_has,
    harness::{Client, Image, ImageBuilder, Trouble, get},
    push::Pusher,
    real_registry::{Program, RealRegistry},
    server::Setup,
};

pub(super) fn keys(registry: &RealRegistry) -> String {
    format!(
        "[[remote]]\nname = \"real\"\nurls = [\"{}\"]\n",
        registry.url()
    )
}

/// The digest under a tag there.
pub(super) async fn there(registry: &RealRegistry, repository: &str, tag: &str) -> Option<String> {
    let url = format!("{}/v2/{repository}/manifests/{tag}", registry.url());
    let accept =
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let head = Client::new()
        .send(Method::HEAD, &url, &[("accept", accept)])
        .await;
    (head.status == 200).then(|| head.header("docker-content-digest").to_owned())
}

async fn is_there(registry: &RealRegistry, repository: &str, tag: &str, image: &Image) {
    eventually(async || {
        let found = there(registry, repository, tag).await;
        (found.as_ref() == Some(&image.root)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_project_goes_to_every_registry_and_deletes_follow() {
    for program in [Program::Distribution, Program::DockerRegistry] {
        let registry = RealRegistry::start(program).await;
        let sites = Sites::with(&keys(&registry)).await;
        let (one, two) = (image(1), image(2));
        sites.push("team/app", "1", &one).await;
        let more = json!({
            "remotes": ["real"], "propagate_delete": true,
            "destination": {"project": "mirror/hub", "flatten": 1},
        });
        let made = sites.rule(more).await;
        let first = sites.done(made["execution"].as_str().unwrap()).await;
        assert_eq!(first["status"], "Succeeded", "{program:?}: {first}");
        assert_has(&registry.url(), "mirror/hub/app", "1", &one).await;

        sites.push("team/app", "1", &two).await;
        sites.push("team/app", "2", &two).await;
        sites.push("team/app", "3", &one).await;
        is_there(&registry, "mirror/hub/app", "2", &two).await;
        is_there(&registry, "mirror/hub/app", "3", &one).await;
        assert_has(&registry.url(), "mirror/hub/app", "1", &two).await;

        // By hand: nothing is to be done.
        let again = sites.done(&sites.run("to-edge", json!({})).await).await;
        assert_eq!(
            (&again["status"], &again["bytes_sent"]),
            (&json!("Succeeded"), &json!(0)),
            "{again}"
        );

        let hub = Pusher::of(&sites.hub);
        let delete = hub.request(Method::DELETE, "/v2/team/app/manifests/3");
        assert_eq!(Pusher::send(delete).await.status, 202);
        eventually(async || {
            let gone = there(&registry, "mirror/hub/app", "3").await.is_none();
            gone.then_some(())
        })
        .await;
        assert_has(&registry.url(), "mirror/hub/app", "1", &two).await;
        assert_has(&registry.url(), "mirror/hub/app", "2", &two).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_is_asked_for_goes_to_every_registry() {
    let (remote, image) = far_image().await;
    for program in [Program::Distribution, Program::DockerRegistry] {
        let registry = RealRegistry::start(program).await;
        let far = format!("{}{}", far(&remote), keys(&registry));
        let sites = Sites::with(&far).await;
        let more = json!({
            "remotes": ["real"], "source": {"project": "far"},
            "destination": {"project": "docker.io", "flatten": 1},
        });
        sites.rule(more).await;
        pull(&sites, &image, 0).await;
        // These take no index without its manifests, so all of it is sent.
        is_there(&registry, "docker.io/library/app", "1", &image).await;
        assert_has(&registry.url(), "docker.io/library/app", "1", &image).await;
    }
}

/// Pulls one platform from the hub's mirror.
pub(super) async fn pull(sites: &Sites, image: &Image, platform: usize) {
    let hub = &sites.hub;
    let child = &image.children()[platform];
    for reference in ["1", child.as_str()] {
        let url = hub.manifest_url("far/library/app", reference);
        assert_eq!(get(&url).await.status, 200);
    }
    let manifest: Value = serde_json::from_slice(&image.manifest(child).bytes).expect("JSON");
    let config = manifest["config"]["digest"].as_str().expect("a digest");
    for digest in image
        .layers_of(child)
        .iter()
        .map(String::as_str)
        .chain([config])
    {
        let url = hub.blob_url("far/library/app", digest);
        assert_eq!(get(&url).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_pulled_later_follows_to_the_other_site() {
    let (remote, image) = far_image().await;
    let far = far(&remote);
    let sites = Sites::with(&far).await;
    let more = json!({
        "source": {"project": "far"}, "destination": {"project": "team", "flatten": 1},
    });
    sites.rule(more).await;
    for (platform, child) in image.children().iter().enumerate() {
        assert_eq!(sites.at_edge("team/library/app", child).await, None);
        pull(&sites, &image, platform).await;
        eventually(async || sites.at_edge("team/library/app", child).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_comes_later_follows_its_image() {
    let sites = Sites::start().await;
    let app = image(1);
    sites.push("team/app", "1", &app).await;
    let filters = json!([{"type": "tag", "value": "1"}]);
    sites
        .rule(json!({"source": {"project": "team", "filters": filters}}))
        .await;
    sites.arrived("team/app", "1", Some(&app)).await;
    let signature = ImageBuilder::artifact(2, "application/vnd.example.signature", &app).build();
    Pusher::of(&sites.hub)
        .image("team/app", &signature.root, &signature)
        .await;
    eventually(async || sites.at_edge("team/app", &signature.root).await).await;
    // So does one in a tag beside it.
    let tag = format!("{}.sig", app.root.replace(':', "-"));
    let beside = image(3);
    sites.push("team/app", &tag, &beside).await;
    sites.arrived("team/app", &tag, Some(&beside)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_one_platform_that_comes_later_follows_its_image() {
    let sites = Sites::start().await;
    let app = ImageBuilder::new(1)
        .layer(10_000)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    sites.push("team/app", "1", &app).await;
    let filters = json!([{"type": "tag", "value": "1"}]);
    sites
        .rule(json!({"source": {"project": "team", "filters": filters}}))
        .await;
    sites.arrived("team/app", "1", Some(&app)).await;
    let child = app.manifest(&app.children()[1]);
    let signature = ImageBuilder::new(2)
        .artifact_type("application/vnd.example.signature")
        .subject(child.descriptor())
        .build();
    Pusher::of(&sites.hub)
        .image("team/app", &signature.root, &signature)
        .await;
    eventually(async || sites.at_edge("team/app", &signature.root).await).await;
    let tag = format!("{}.sig", child.digest.replace(':', "-"));
    let beside = image(3);
    sites.push("team/app", &tag, &beside).await;
    sites.arrived("team/app", &tag, Some(&beside)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_for_a_while_has_everything_in_the_end() {
    let registry = RealRegistry::start(Program::Distribution).await;
    let line = crate::harness::Line::to(registry.host.parse().expect("an address")).await;
    let keys = format!(
        "[[remote]]\nname = \"real\"\nurls = [\"http://{}\"]\n",
        line.address()
    );
    let sites = Sites::with(&keys).await;
    let images: Vec<_> = (1..6).map(image).collect();
    line.set(Trouble::Refused);
    sites.rule(json!({"remotes": ["real"]})).await;
    for (number, image) in images.iter().enumerate() {
        sites.push("team/app", &number.to_string(), image).await;
        sites.push("team/other", &number.to_string(), image).await;
    }
    eventually(async || {
        let listed = sites.get("/rules/to-edge/tasks").await;
        let tasks = listed["items"].as_array()?;
        tasks
            .iter()
            .any(|task| task["status"] == "Retrying")
            .then_some(())
    })
    .await;
    line.set(Trouble::None);
    for (number, image) in images.iter().enumerate() {
        for repository in ["team/app", "team/other"] {
            is_there(&registry, repository, &number.to_string(), image).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_tells_what_a_remote_gives_and_what_of_it_nothing_needs() {
    let sites = Sites::start().await;
    let keys = format!("[access]\nadmin_password = \"{PASSWORD}\"\nchallenge = \"always\"");
    let other = Setup::empty().section(&keys).section(&hosted("team"));
    let other = other.start().await;
    let remote = json!({
        "name": "other", "urls": [other.url()], "username": "admin", "password": PASSWORD,
    });
    assert_eq!(sites.post("/remotes", remote).await.status, 201);
    let test = async || sites.post("/remotes/other/test", json!({})).await.body;
    let before = test().await;
    assert_eq!(before["auth"], "accepted", "{before}");
    assert_eq!(before["can"]["push"], Value::Null, "{before}");
    sites.push("team/app", "1", &image(1)).await;
    let mut rule = sites.rule(json!({"remotes": ["other"]})).await;
    sites.done(rule["execution"].as_str().unwrap()).await;
    let after = test().await;
    let all = json!({"pull": true, "push": true, "delete": true, "create": null});
    assert_eq!(after["can"], all, "{after}");
    let needless = "it gives delete on `team/app`, which nothing here needs";
    let tells = |tested: &Value| tested["message"].as_str().unwrap().contains(needless);
    assert!(tells(&after), "{after}");
    rule["propagate_delete"] = json!(true);
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert!(!tells(&test().await));
}
