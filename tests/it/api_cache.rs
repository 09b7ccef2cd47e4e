//! The management API's view of the cache: what is here of an image, lists in pages, purge, refresh, pins.

use serde_json::json;

use crate::{
    api::{call, hub, problem, pull, setup},
    harness::{FakeRegistry, ImageBuilder, On, get},
    server::{TestServer, on_both},
};

on_both! {
    an_entry_tells_what_is_here_of_an_image_and_what_is_missing,
    names_are_not_completed_by_the_default_project,
    the_list_comes_in_pages_by_name_and_tag,
    what_is_purged_is_gone_and_comes_again_when_it_is_asked_for,
    a_refresh_asks_the_remote_however_fresh_the_tag_is,
    a_pin_may_come_before_its_image,
}

const ENTRY: &str = "?name=docker.io/library/app&reference=1";

async fn entry(server: &TestServer) -> serde_json::Value {
    let answer = call(server, "GET", &format!("/cache/entry{ENTRY}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn an_entry_tells_what_is_here_of_an_image_and_what_is_missing() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    let nothing = call(&server, "GET", &format!("/cache/entry{ENTRY}")).await;
    let (status, body) = problem(&nothing);
    assert_eq!(status, 404);
    assert_eq!(body["detail"], "nothing of docker.io/library/app:1 is here");
    get(&server.manifest_url("library/app", "1")).await;
    let incomplete = entry(&server).await;
    assert_eq!(
        (&incomplete["name"], &incomplete["reference"]),
        (&json!("docker.io/library/app"), &json!("1"))
    );
    assert_eq!(
        (&incomplete["digest"], &incomplete["complete"]),
        (&json!(image.root), &json!(false))
    );
    let missing = incomplete["missing"].as_array().expect("a list");
    assert_eq!(missing.len(), image.blobs.len());
    let layer = missing
        .iter()
        .find(|content| content["digest"] == json!(image.layers()[0]));
    let layer = layer.expect("the layer is missing");
    assert_eq!(
        (&layer["kind"], &layer["size_bytes"]),
        (&json!("blob"), &json!(300_000))
    );
    pull(&server, "library/app", "1", &image).await;
    let complete = entry(&server).await;
    assert_eq!(
        (&complete["complete"], &complete["missing"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(
        (&complete["state"], &complete["pinned"]),
        (&json!("fresh"), &json!(false))
    );
    assert!(
        complete["size_bytes"].as_u64() >= Some(image.blob_bytes()),
        "{complete}"
    );
    for time in ["filled_at", "checked_at"] {
        let time = complete[time].as_str().expect("a time");
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    }
    let by_digest = format!(
        "/cache/entry?name=docker.io/library/app&reference={}",
        image.root
    );
    let by_digest = call(&server, "GET", &by_digest).await.json();
    assert_eq!(
        (&by_digest["digest"], &by_digest["complete"]),
        (&json!(image.root), &json!(true))
    );
    // All of this was known without asking.
    assert_eq!(hub.count(On::manifest()), 1);
}

async fn names_are_not_completed_by_the_default_project() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    for name in ["library/app", "app", "nobody.io/library/app"] {
        let path = format!("/cache/entry?name={name}&reference=1");
        for method in ["GET", "DELETE"] {
            let answer = call(&server, method, &path).await;
            assert_eq!(problem(&answer).0, 404, "{method} {name}");
        }
    }
    assert_eq!(entry(&server).await["complete"], true);
}

async fn the_list_comes_in_pages_by_name_and_tag() {
    let (hub, image) = hub().await;
    let other = FakeRegistry::start().await;
    let tags = [("a", "2"), ("a", "10"), ("a/b", "1"), ("c", "latest")];
    for (repository, tag) in tags {
        other.put_image(repository, tag, &image);
    }
    let server = setup(&hub)
        .mirror("other.io", &other, "visibility = \"public\"")
        .start()
        .await;
    pull(&server, "library/app", "1", &image).await;
    for (repository, tag) in tags {
        get(&server.manifest_url(&format!("other.io/{repository}"), tag)).await;
    }
    let expected = [
        "docker.io/library/app:1",
        "other.io/a:10",
        "other.io/a:2",
        "other.io/a/b:1",
        "other.io/c:latest",
    ];
    for (query, expected) in [
        ("?limit=2", &expected[..]),
        ("?limit=5", &expected),
        ("", &expected),
        ("?limit=1&project=other.io", &expected[1..]),
    ] {
        let mut seen = Vec::new();
        let mut path = format!("/cache{query}");
        loop {
            let answer = call(&server, "GET", &path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("x-total-count"), expected.len().to_string());
            for item in answer.json()["items"].as_array().expect("a list") {
                let text = |member: &str| item[member].as_str().expect("a text").to_owned();
                seen.push(format!("{}:{}", text("name"), text("reference")));
            }
            let link = answer.header("link");
            let Some(next) = link
                .strip_prefix("</api/v1")
                .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            else {
                assert_eq!(link, "");
                break;
            };
            next.clone_into(&mut path);
        }
        assert_eq!(seen, expected, "{query}");
    }
    let refused = call(&server, "GET", "/cache?project=nobody.io")
        .await
        .json();
    let message = refused["errors"][0]["message"].as_str().expect("a text");
    assert!(message.contains("docker.io, other.io"), "{message}");
}

async fn what_is_purged_is_gone_and_comes_again_when_it_is_asked_for() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let path = format!("/cache/entry{ENTRY}");
    assert_eq!(call(&server, "DELETE", &path).await.status, 204);
    assert_eq!(problem(&call(&server, "GET", &path).await).0, 404);
    assert_eq!(problem(&call(&server, "DELETE", &path).await).0, 404);
    hub.forget_requests();
    pull(&server, "library/app", "1", &image).await;
    assert_eq!(hub.count(On::manifest()), 1);
    let by_digest = format!(
        "/cache/entry?name=docker.io/library/app&reference={}",
        image.root
    );
    assert_eq!(call(&server, "DELETE", &by_digest).await.status, 204);
    assert_eq!(problem(&call(&server, "GET", &path).await).0, 404);
    hub.forget_requests();
    pull(&server, "library/app", "1", &image).await;
    assert_eq!(hub.count(On::blob()), image.blobs.len());
}

async fn a_refresh_asks_the_remote_however_fresh_the_tag_is() {
    let (hub, image) = hub().await;
    let server = setup(&hub).freshness("mode = \"immutable\"").start().await;
    pull(&server, "library/app", "1", &image).await;
    let newer = ImageBuilder::new(2).layer(1000).build();
    hub.put_image("library/app", "1", &newer);
    assert_eq!(entry(&server).await["digest"], json!(image.root));
    let refresh = format!("/cache/entry/refresh{ENTRY}");
    let answer = call(&server, "POST", &refresh).await;
    assert_eq!(
        (answer.status, &answer.json()["digest"]),
        (200, &json!(newer.root))
    );
    assert_eq!(
        get(&server.manifest_url("library/app", "1")).await.body,
        newer.root_manifest().bytes
    );
    let by_digest = format!(
        "/cache/entry/refresh?name=docker.io/library/app&reference={}",
        image.root
    );
    let (status, body) = problem(&call(&server, "POST", &by_digest).await);
    assert_eq!(
        (status, &body["errors"][0]["field"]),
        (400, &json!("reference"))
    );
    let unknown = "/cache/entry/refresh?name=docker.io/library/app&reference=none";
    assert_eq!(problem(&call(&server, "POST", unknown).await).0, 404);
    hub.stop().await;
    let (status, _) = problem(&call(&server, "POST", &refresh).await);
    assert!((502..=504).contains(&status), "{status}");
    assert_eq!(
        entry(&server).await["digest"],
        json!(newer.root),
        "what is here stays"
    );
}

async fn a_pin_may_come_before_its_image() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    let pin = format!("/cache/entry/pin{ENTRY}");
    assert_eq!(problem(&call(&server, "DELETE", &pin).await).0, 404);
    for _ in 0..2 {
        assert_eq!(call(&server, "PUT", &pin).await.status, 204);
    }
    pull(&server, "library/app", "1", &image).await;
    assert_eq!(entry(&server).await["pinned"], true);
    assert_eq!(call(&server, "DELETE", &pin).await.status, 204);
    assert_eq!(entry(&server).await["pinned"], false);
    let nowhere = "/cache/entry/pin?name=nobody.io/app&reference=1";
    assert_eq!(problem(&call(&server, "PUT", nowhere).await).0, 404);
}
