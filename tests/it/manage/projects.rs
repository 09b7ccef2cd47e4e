//! Projects by the API: they serve at once, survive a restart, and keep away from what the file declares.

use serde_json::json;

use super::{delete, get, names, post, put};
use crate::{
    api::{hub, pull, setup},
    harness::{FakeRegistry, ImageBuilder, get as fetch},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_made_serves_at_once_and_after_a_restart_and_is_gone_when_it_is_deleted() {
    let (hub, _image) = hub().await;
    let other = FakeRegistry::start().await;
    let image = ImageBuilder::new(2).layer(1000).build();
    other.put_image("tools/app", "1", &image);
    let mut server = setup(&hub).start().await;
    let url = |server: &crate::server::TestServer| {
        format!("{}/v2/other/tools/app/manifests/1", server.url())
    };
    assert_eq!(fetch(&url(&server)).await.status, 404);
    let remote = post(
        &server,
        "/remotes",
        json!({"name": "other", "urls": [other.url()]}),
    )
    .await;
    assert_eq!(remote.status, 201, "{}", remote.body);
    let made = post(
        &server,
        "/projects",
        json!({"name": "other", "hosts": ["other.example"]}),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.headers["location"], "/api/v1/projects/other");
    assert_eq!(
        (
            &made.body["kind"],
            &made.body["remote"],
            &made.body["visibility"],
            &made.body["managed_by"]
        ),
        (
            &json!("mirror"),
            &json!("other"),
            &json!("public"),
            &json!("api")
        )
    );
    for place in [
        "/v2/other/tools/app/manifests/1",
        "/v2/tools/app/manifests/1?ns=other.example",
    ] {
        assert_eq!(
            fetch(&format!("{}{place}", server.url())).await.status,
            200,
            "{place}"
        );
    }
    server.stop().await;
    server.start_again().await;
    assert_eq!(fetch(&url(&server)).await.status, 200);
    assert_eq!(
        get(&server, "/projects/other").await.body["hosts"],
        json!(["other.example"])
    );
    assert_eq!(delete(&server, "/remotes/other").await.status, 409);
    assert_eq!(delete(&server, "/projects/other").await.status, 204);
    assert_eq!(fetch(&url(&server)).await.status, 404);
    assert_eq!(get(&server, "/projects/other").await.status, 404);
    assert_eq!(delete(&server, "/remotes/other").await.status, 204);
}

#[tokio::test]
async fn what_the_file_declares_is_shown_and_cannot_be_changed() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    for (path, body) in [
        (
            "/projects/docker.io",
            json!({"remote": "docker.io", "visibility": "private"}),
        ),
        (
            "/remotes/docker.io",
            json!({"urls": ["http://evil.example"]}),
        ),
    ] {
        let shown = get(&server, path).await;
        assert_eq!(
            (shown.status, &shown.body["managed_by"]),
            (200, &json!("configuration"))
        );
        for refused in [put(&server, path, body).await, delete(&server, path).await] {
            assert_eq!(refused.status, 409, "{}", refused.body);
            let detail = refused.body["detail"].as_str().expect("a detail");
            assert!(
                detail.contains("managed by the configuration file"),
                "{detail}"
            );
        }
        assert_eq!(get(&server, path).await.body, shown.body);
    }
    let again = post(
        &server,
        "/projects",
        json!({"name": "docker.io", "remote": "docker.io"}),
    )
    .await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn mistakes_are_named_by_their_members() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": "UPPER", "kind": "hosted"}), "name"),
        (json!({"name": "a/b", "kind": "hosted"}), "name"),
        (json!({"name": 7}), "name"),
        (json!({"name": "team", "kind": "hostile"}), "kind"),
        (
            json!({"name": "team", "kind": "hosted", "remote": "docker.io"}),
            "remote",
        ),
        (json!({"name": "team"}), "remote"),
        (json!({"name": "team", "remote": "nobody"}), "remote"),
        (
            json!({"name": "team", "kind": "hosted", "visibility": "remote"}),
            "visibility",
        ),
        (
            json!({"name": "team", "kind": "hosted", "allow": ["[a"]}),
            "allow[0]",
        ),
        (
            json!({"name": "team", "kind": "hosted", "projekt": 1}),
            "projekt",
        ),
        (
            json!({"name": "team", "remote": "docker.io", "hosts": ["docker.io"]}),
            "hosts",
        ),
        (
            json!({"name": "team", "remote": "docker.io", "default": true}),
            "default",
        ),
        (
            json!({"name": "team", "remote": "docker.io", "freshness": [{"ttl": 7}]}),
            "freshness[0].ttl",
        ),
        (json!({"name": "library", "kind": "hosted"}), "hide_default"),
        (
            json!({"name": "team", "kind": "hosted", "description": 7}),
            "description",
        ),
    ] {
        let refused = post(&server, "/projects", body.clone()).await;
        assert_eq!(refused.fields(), [field], "{body}: {}", refused.body);
    }
    assert_eq!(
        names(&get(&server, "/projects").await.body["items"], "name"),
        ["docker.io"]
    );
}

#[tokio::test]
async fn a_project_that_would_hide_the_default_ones_content_must_say_that_it_may() {
    let (hub, image) = hub().await;
    hub.put_image("team/app", "1", &image);
    let server = setup(&hub).start().await;
    pull(&server, "team/app", "1", &image).await;
    for name in ["team", "library"] {
        let refused = post(
            &server,
            "/projects",
            json!({"name": name, "kind": "hosted"}),
        )
        .await;
        assert_eq!(refused.fields(), ["hide_default"]);
        let body = json!({"name": name, "kind": "hosted", "hide_default": true});
        assert_eq!(post(&server, "/projects", body).await.status, 201);
    }
    let free = post(
        &server,
        "/projects",
        json!({"name": "free", "kind": "hosted"}),
    )
    .await;
    assert_eq!(free.status, 201);
    // The default project's repositories are still there, by their whole names.
    let url = format!("{}/v2/docker.io/team/app/manifests/1", server.url());
    assert_eq!(fetch(&url).await.status, 200);
}

#[tokio::test]
async fn what_was_got_can_be_put_and_a_change_acts_at_once() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    let remote = json!({"name": "hub-2", "provider": "docker-hub", "urls": [hub.url()]});
    assert_eq!(post(&server, "/remotes", remote).await.status, 201);
    let made = post(
        &server,
        "/projects",
        json!({"name": "second", "remote": "hub-2"}),
    )
    .await;
    let url = format!(
        "{}/v2/second/library/app/manifests/{}",
        server.url(),
        image.root
    );
    assert_eq!(fetch(&url).await.status, 200);
    let mut body = made.body.clone();
    body["visibility"] = json!("private");
    body["max_bytes"] = json!("1MiB");
    let changed = put(&server, "/projects/second", body).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.body["visibility"], "private");
    assert_eq!(changed.body["max_bytes"], 1 << 20);
    assert!(matches!(fetch(&url).await.status, 401 | 404));
    let status = get(&server, "/status").await;
    assert_eq!(
        names(&status.body["store"]["projects"], "project"),
        ["second"]
    );
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    for name in ["a", "b", "c"] {
        let made = post(
            &server,
            "/projects",
            json!({"name": name, "kind": "hosted"}),
        )
        .await;
        assert_eq!(made.status, 201);
    }
    let first = get(&server, "/projects?limit=2").await;
    assert_eq!(names(&first.body["items"], "name"), ["a", "b"]);
    assert_eq!(first.headers["x-total-count"], "4");
    let link = first.headers["link"].to_str().expect("a text");
    let next = link.split(['<', '>']).nth(1).expect("a path");
    let second = get(
        &server,
        next.strip_prefix("/api/v1").expect("a path of the API"),
    )
    .await;
    assert_eq!(names(&second.body["items"], "name"), ["c", "docker.io"]);
    assert!(!second.headers.contains_key("link"));
}
