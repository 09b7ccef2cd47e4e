//! Remotes by the API: secrets go in and never come out, and go nowhere else than they were meant to.

use serde_json::{Value, json};

use super::{call, delete, get, names, post, put};
use crate::{
    api::{hub, setup},
    harness::{FakeRegistry, ImageBuilder, On, get as fetch},
    server::TestServer,
};

const SECRET: &str = "s3cret-of-the-robot";

async fn private_registry() -> FakeRegistry {
    let registry = FakeRegistry::builder().basic("robot", SECRET).start().await;
    registry.put_image("app", "1", &ImageBuilder::new(3).layer(1000).build());
    registry
}

fn robot(url: &str) -> Value {
    json!({"name": "corp", "urls": [url], "username": "robot", "password": SECRET})
}

async fn pull(server: &TestServer) -> u16 {
    let url = format!("{}/v2/corp/app/manifests/1", server.url());
    fetch(&url).await.status
}

/// A server with the remote and a mirror of it that anybody may pull from.
async fn server_with(registry: &FakeRegistry, hub: &FakeRegistry) -> TestServer {
    let server = setup(hub).start().await;
    let made = post(&server, "/remotes", robot(registry.url())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let project = json!({"name": "corp", "visibility": "public"});
    assert_eq!(post(&server, "/projects", project).await.status, 201);
    server
}

#[tokio::test]
async fn a_secret_is_used_kept_sealed_and_never_told() {
    let (hub, registry) = (hub().await.0, private_registry().await);
    let mut server = server_with(&registry, &hub).await;
    assert_eq!(pull(&server).await, 200);
    for path in ["/remotes", "/remotes/corp", "/status", "/projects/corp"] {
        let shown = get(&server, path).await;
        assert_eq!(shown.status, 200);
        assert!(!shown.body.to_string().contains(SECRET), "{path}");
    }
    let shown = get(&server, "/remotes/corp").await.body;
    assert_eq!(
        (&shown["username"], &shown["has_secret"]),
        (&json!("robot"), &json!(true))
    );
    server.stop().await;
    // Neither in the database nor beside it.
    let folder = server.folder.path().join("data");
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("it can be read");
            let found = bytes
                .windows(SECRET.len())
                .any(|window| window == SECRET.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    server.start_again().await;
    hub.forget_requests();
    assert_eq!(pull(&server).await, 200);
}

#[tokio::test]
async fn a_change_without_the_secret_keeps_it_and_a_change_of_the_url_clears_it() {
    let (hub, registry) = (hub().await.0, private_registry().await);
    let server = server_with(&registry, &hub).await;
    let mut body = get(&server, "/remotes/corp").await.body;
    body["header_timeout"] = json!("7s");
    let changed = put(&server, "/remotes/corp", body.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(
        (&changed.body["has_secret"], &changed.body["header_timeout"]),
        (&json!(true), &json!("7s"))
    );
    assert_eq!(pull(&server).await, 200);
    let thief = FakeRegistry::builder()
        .basic("robot", "other")
        .start()
        .await;
    body["urls"] = json!([thief.url()]);
    let moved = put(&server, "/remotes/corp", body.clone()).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(moved.body["has_secret"], false);
    assert_eq!(
        post(&server, "/remotes/corp/test", json!({})).await.body["auth"],
        "refused"
    );
    assert_eq!(thief.count(On::any().with_header("authorization")), 0);
    // Back again it is still gone.
    body["urls"] = json!([registry.url()]);
    assert_eq!(
        put(&server, "/remotes/corp", body.clone()).await.body["has_secret"],
        false
    );
    body["password"] = json!(SECRET);
    assert_eq!(
        put(&server, "/remotes/corp", body).await.body["has_secret"],
        true
    );
    assert_eq!(
        post(&server, "/remotes/corp/test", json!({})).await.body["auth"],
        "accepted"
    );
}

#[tokio::test]
async fn a_mirror_does_not_open_when_its_remote_loses_its_secret() {
    let (hub, registry) = (hub().await.0, private_registry().await);
    let server = setup(&hub).start().await;
    assert_eq!(
        post(&server, "/remotes", robot(registry.url()))
            .await
            .status,
        201
    );
    let project = post(&server, "/projects", json!({"name": "corp"})).await;
    assert_eq!(project.body["visibility"], "private");
    let mut body = get(&server, "/remotes/corp").await.body;
    body["urls"] = json!(["http://127.0.0.1:1"]);
    assert_eq!(
        put(&server, "/remotes/corp", body.clone()).await.body["has_secret"],
        false
    );
    assert_eq!(
        get(&server, "/projects/corp").await.body["visibility"],
        "private"
    );
    body["urls"] = json!(["http://127.0.0.1:2"]);
    assert_eq!(put(&server, "/remotes/corp", body).await.status, 200);
    assert_eq!(
        get(&server, "/projects/corp").await.body["visibility"],
        "private"
    );
    assert_eq!(pull(&server).await, 401);
}

#[tokio::test]
async fn a_test_tells_whether_a_remote_is_there_and_takes_the_login() {
    let (hub, registry) = (hub().await.0, private_registry().await);
    let server = server_with(&registry, &hub).await;
    let with = |password: &str| {
        let mut body = robot(registry.url());
        body["password"] = json!(password);
        body
    };
    for (body, healthy, auth) in [
        (with(SECRET), true, "accepted"),
        (with("wrong"), false, "refused"),
        (json!({"urls": [registry.url()]}), false, "refused"),
        (json!({"urls": [hub.url()]}), true, "anonymous"),
        (
            json!({"urls": ["http://127.0.0.1:1"], "connect_timeout": "100ms"}),
            false,
            "anonymous",
        ),
    ] {
        let tested = post(&server, "/remotes/test", body.clone()).await;
        assert_eq!(tested.status, 200, "{}", tested.body);
        let told = (&tested.body["healthy"], &tested.body["auth"]);
        assert_eq!(
            told,
            (&json!(healthy), &json!(auth)),
            "{body}: {}",
            tested.body
        );
        assert!(tested.body["latency_ms"].is_u64() && tested.body["message"].is_string());
        // Nobody has said what may be done there, but to those who were not let in.
        let unknown = if healthy { Value::Null } else { json!(false) };
        for right in ["push", "delete", "create"] {
            assert_eq!(tested.body["can"][right], unknown, "{body}");
        }
        assert_eq!(tested.body["can"]["pull"], json!(healthy), "{body}");
    }
    // With a stored name the body is ignored: no secret goes to a URL that came along.
    let thief = FakeRegistry::builder().basic("robot", "x").start().await;
    let tested = post(
        &server,
        "/remotes/corp/test",
        json!({"urls": [thief.url()]}),
    )
    .await;
    assert_eq!(tested.body["auth"], "accepted");
    let tried = post(
        &server,
        "/remotes/test",
        json!({"name": "corp", "urls": [thief.url()]}),
    )
    .await;
    assert_eq!(tried.body["auth"], "refused");
    assert_eq!(thief.count(On::any().with_header("authorization")), 0);
    assert_eq!(
        post(&server, "/remotes/nobody/test", json!({}))
            .await
            .status,
        404
    );
    assert_eq!(
        names(&get(&server, "/remotes").await.body["items"], "name"),
        ["corp", "docker.io"]
    );
}

#[tokio::test]
async fn mistakes_are_named_and_repeat_no_secret() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    let remote = |more: Value| {
        let mut body = json!({"name": "corp", "urls": ["http://127.0.0.1:1"]});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    for (body, field) in [
        (json!({"name": "corp"}), "urls"),
        (remote(json!({"name": "Upper"})), "name"),
        (remote(json!({"name": "-a"})), "name"),
        (remote(json!({"name": "a".repeat(65)})), "name"),
        (remote(json!({"urls": ["ftp://x"]})), "urls[0]"),
        (remote(json!({"provider": "nobody"})), "provider"),
        (remote(json!({"username": "u"})), "username"),
        (remote(json!({"password": SECRET})), "password"),
        (
            remote(json!({"username": "u", "password": {"file": "/etc/passwd"}})),
            "password",
        ),
        (remote(json!({"token": 7})), "token"),
        (remote(json!({"ca": "/nonexistent/ca.pem"})), "ca"),
        (remote(json!({"projects": "team"})), "projects"),
        (
            remote(json!({"credentials_expire_at": "tomorrow"})),
            "credentials_expire_at",
        ),
        (remote(json!({"secret": SECRET})), "secret"),
    ] {
        let refused = post(&server, "/remotes", body.clone()).await;
        assert_eq!(refused.fields(), [field], "{body}: {}", refused.body);
        assert!(
            !refused.body.to_string().contains(SECRET),
            "{}",
            refused.body
        );
    }
    let no_json = call(&server, http::Method::POST, "/remotes", None).await;
    assert_eq!(no_json.status, 415);
}

#[tokio::test]
async fn a_remote_in_use_is_not_deleted_and_its_users_are_named() {
    let (hub, registry) = (hub().await.0, private_registry().await);
    let server = server_with(&registry, &hub).await;
    let refused = delete(&server, "/remotes/corp").await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.body["detail"]
            .as_str()
            .expect("a detail")
            .contains("corp"),
        "{}",
        refused.body
    );
    assert_eq!(
        get(&server, "/remotes/corp").await.body["used_by"],
        json!(["corp"])
    );
    assert_eq!(
        get(&server, "/remotes/corp").await.body["used_by_rules"],
        json!([])
    );
    let unused = json!({"name": "unused", "urls": [hub.url()], "region": "eu-1"});
    assert_eq!(post(&server, "/remotes", unused).await.status, 201);
    let list = get(&server, "/remotes?used_as=mirror").await;
    assert_eq!(names(&list.body["items"], "name"), ["corp", "docker.io"]);
    let list = get(&server, "/remotes?region=eu-1").await;
    assert_eq!(names(&list.body["items"], "name"), ["unused"]);
    assert_eq!(delete(&server, "/projects/corp").await.status, 204);
    assert_eq!(delete(&server, "/remotes/corp").await.status, 204);
    assert_eq!(delete(&server, "/remotes/corp").await.status, 404);
}

#[tokio::test]
async fn the_kinds_of_registries_are_described() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    let providers = get(&server, "/providers").await;
    let ids = names(&providers.body, "id");
    assert_eq!(ids.len(), 12);
    for id in ["docker-registry", "docker-hub", "harbor", "ecr"] {
        assert!(ids.contains(&id), "{id}");
    }
}

#[tokio::test]
async fn options_for_repositories_at_ecr_are_kept_and_wrong_ones_are_refused() {
    let server = setup(&hub().await.0).start().await;
    let ecr = json!({
        "name": "cloud", "provider": "ecr", "account": "123456789012", "region": "eu-central-1",
        "image_tag_mutability": "IMMUTABLE", "scan_on_push": true,
        "encryption_type": "KMS", "kms_key": "alias/registry",
    });
    let made = post(&server, "/remotes", ecr.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    // What is shown can be put, and says the same.
    let shown = get(&server, "/remotes/cloud").await.body;
    let again = put(&server, "/remotes/cloud", shown).await;
    assert_eq!(again.status, 200, "{}", again.body);
    for key in [
        "image_tag_mutability",
        "scan_on_push",
        "encryption_type",
        "kms_key",
    ] {
        assert_eq!(again.body[key], ecr[key], "{key}");
    }
    let wrong = [
        ("image_tag_mutability", json!("SOMETIMES"), "\"IMMUTABLE\""),
        ("scan_on_push", json!("yes"), "true or false"),
        ("encryption_type", json!("DES"), "\"AES256\", \"KMS\""),
        ("encryption_type", Value::Null, "encryption_type = \"KMS\""),
    ];
    for (key, value, allowed) in wrong {
        let mut body = ecr.clone();
        body[key] = value;
        let refused = put(&server, "/remotes/cloud", body).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        let error = &refused.body["errors"][0];
        let field = if allowed.contains('=') {
            "kms_key"
        } else {
            key
        };
        assert_eq!(error["field"], field);
        let message = error["message"].as_str().expect("a text");
        assert!(message.contains(allowed), "{message}");
    }
    let harbor = json!({
        "name": "harbor", "provider": "harbor", "urls": ["https://harbor.example.com"],
        "scan_on_push": true,
    });
    let refused = post(&server, "/remotes", harbor).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    let expected = json!({
        "field": "scan_on_push", "message": "not for this provider; it is for ecr"
    });
    assert_eq!(refused.body["errors"][0], expected);
}
