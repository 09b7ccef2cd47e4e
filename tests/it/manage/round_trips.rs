//! What was got can be put: nothing that was set is lost by it, and nothing is added.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Called, get, post, put};
use crate::{
    api::{hub, setup},
    harness::{Authority, FakeRegistry, ImageBuilder, basic, get as fetch},
    server::TestServer,
};

const SECRET: &str = "s3cret-of-the-robot";
const NOBODYS: &str = "nobodys";

/// A server whose environment has helpers and a login file.
async fn server() -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let login = basic("robot", SECRET).replace("Basic ", "");
    let file = json!({"auths": {"127.0.0.1": {"auth": login}}}).to_string();
    std::fs::write(folder.path().join("config.json"), file).expect("a file");
    let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");
    let (hub, _image) = hub().await;
    let server = setup(&hub)
        .variable("PATH", programs)
        .variable("DOCKER_CONFIG", &folder.path().display().to_string())
        .start()
        .await;
    (server, folder)
}

fn keys(object: &Value) -> BTreeSet<String> {
    let members = object.as_object().expect("an object");
    members.keys().cloned().collect()
}

/// The keys that are taken, as a refusal tells them.
fn told(refused: &Called) -> BTreeSet<String> {
    assert_eq!(refused.fields().len(), 1, "{}", refused.body);
    let message = refused.body["errors"][0]["message"]
        .as_str()
        .expect("a text");
    let (_, keys) = message.split_once("there are ").expect("a list of keys");
    keys.split(", ").map(str::to_owned).collect()
}

/// All of an object but when it was changed.
async fn shown(server: &TestServer, path: &str) -> Value {
    let mut shown = get(server, path).await;
    assert_eq!(shown.status, 200, "{path}: {}", shown.body);
    let members = shown.body.as_object_mut().expect("an object");
    members.remove("changed_at").expect("it was written");
    shown.body
}

/// Makes it, gets it, puts that and gets it again. All that was given is shown.
async fn round_trip(server: &TestServer, list: &str, given: &Value, secrets: &[&str]) -> Value {
    let made = post(server, list, given.clone()).await;
    assert_eq!(made.status, 201, "{given}: {}", made.body);
    let path = format!("{list}/{}", given["name"].as_str().expect("a name"));
    let first = shown(server, &path).await;
    for key in keys(given) {
        let is_shown = first.get(&key).is_some_and(|value| !value.is_null());
        assert_eq!(is_shown, !secrets.contains(&key.as_str()), "{key}: {first}");
    }
    let again = put(server, &path, first.clone()).await;
    assert_eq!(again.status, 200, "{first}: {}", again.body);
    let second = shown(server, &path).await;
    assert_eq!(first, second);
    second
}

/// Remotes in which every key of `[[remote]]` is set; some do not go together.
fn remotes(folder: &std::path::Path) -> Vec<Value> {
    let authority = Authority::new();
    let identity = authority.client("entrepot");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    vec![
        json!({
            "name": "whole", "provider": "harbor", "urls": ["https://one.example", "https://two.example"],
            "description": "of the site", "region": "eu-1", "username": "robot", "password": SECRET,
            "verify_tls": false, "ca": file("ca.pem", &authority.pem()),
            "client_cert": file("client.pem", &identity.certificate),
            "client_key": file("client.key", &identity.key),
            "proxy": format!("http://me:{SECRET}@127.0.0.1:1"),
            "connect_timeout": "3s", "header_timeout": "16s", "answer_timeout": "4s",
            "idle_timeout": "17s", "retry_for": "2m", "realms": ["token.example"],
            "max_connections": 7, "bandwidth": "20MiB/s", "rate_reserve": 11, "max_concurrent": 3,
            "allowed_hours": "22:00-06:00", "projects": ["team"],
            "credentials_expire_at": "2099-01-31T00:00:00Z",
        }),
        json!({
            "name": "amazon", "provider": "ecr", "account": "123456789012", "region": "eu-central-1",
            "credentials": "environment", "image_tag_mutability": "IMMUTABLE", "scan_on_push": true,
            "encryption_type": "KMS", "kms_key": "alias/registry",
        }),
        json!({"name": "tencent", "provider": "tencent", "instance": "team", "token": SECRET}),
        json!({"name": "helped", "urls": ["https://h.example"], "credential_helper": "sample"}),
        json!({"name": "looked-up", "urls": ["https://l.example"], "docker_config": true}),
    ]
}

#[tokio::test]
async fn every_key_of_a_remote_survives_a_round_trip() {
    let (server, folder) = server().await;
    let refused = json!({"name": "r", "urls": ["http://r.example"], NOBODYS: 1});
    let taken = told(&post(&server, "/remotes", refused).await);
    let remotes = remotes(folder.path());
    let given: BTreeSet<String> = remotes.iter().flat_map(keys).collect();
    let missing: Vec<_> = taken.difference(&given).collect();
    assert!(missing.is_empty(), "no remote here sets {missing:?}");
    for remote in &remotes {
        let shown = round_trip(&server, "/remotes", remote, &["password", "token"]).await;
        assert_eq!(shown["anonymous"], false, "{shown}");
        assert!(!shown.to_string().contains(SECRET), "{shown}");
        let has_secret = remote.get("password").or(remote.get("token")).is_some();
        assert_eq!(shown["has_secret"], has_secret, "{shown}");
    }
}

#[tokio::test]
async fn a_remote_with_a_login_of_elsewhere_keeps_it_and_its_mirrors_stay_closed() {
    let (server, folder) = server().await;
    let registry = FakeRegistry::builder().basic("robot", SECRET).start().await;
    let image = ImageBuilder::new(3).layer(1000).build();
    registry.put_image("app", "1", &image);
    let host = registry.url().replace("http://", "");
    let login = basic("robot", SECRET).replace("Basic ", "");
    let file = json!({"auths": {host: {"auth": login}}}).to_string();
    std::fs::write(folder.path().join("config.json"), file).expect("a file");
    let remote = json!({"name": "corp", "urls": [registry.url()], "docker_config": true});
    round_trip(&server, "/remotes", &remote, &[]).await;
    let tested = post(&server, "/remotes/corp/test", json!({})).await;
    assert_eq!(tested.body["auth"], "accepted", "{}", tested.body);
    let project = post(&server, "/projects", json!({"name": "corp"})).await;
    assert_eq!(project.body["visibility"], "private", "{}", project.body);
    let shown = get(&server, "/remotes/corp").await.body;
    assert_eq!(put(&server, "/remotes/corp", shown).await.status, 200);
    let project = get(&server, "/projects/corp").await.body;
    assert_eq!(project["visibility"], "private");
    let url = format!("{}/v2/corp/app/manifests/1", server.url());
    assert_eq!(fetch(&url).await.status, 401);
}

#[tokio::test]
async fn a_proxys_password_stays_where_the_proxy_is_put_as_it_was_got() {
    let (server, _folder) = server().await;
    let registry = FakeRegistry::builder().basic("robot", SECRET).start().await;
    let proxy = crate::forward_proxy::ForwardProxy::start().await;
    let with_password = proxy.url().replace("http://", "http://me:pass@");
    let remote = json!({
        "name": "corp", "urls": [registry.url()], "username": "robot", "password": SECRET,
        "proxy": with_password,
    });
    let mut shown = round_trip(&server, "/remotes", &remote, &["password"]).await;
    assert_eq!(shown["has_secret"], true, "{shown}");
    post(&server, "/remotes/corp/test", json!({})).await;
    let login = basic("me", "pass").to_lowercase();
    let asked = proxy.asked();
    let is_told = |head: &String| head.to_lowercase().contains(&login);
    assert!(asked.last().is_some_and(is_told), "{asked:?}");
    // Another user name is another login: the password is not its own.
    let other = proxy.url().replace("http://", "http://you@");
    shown["proxy"] = json!(other);
    let changed = put(&server, "/remotes/corp", shown).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.body["has_secret"], false);
}

#[tokio::test]
async fn every_key_of_a_project_survives_a_round_trip() {
    let (server, _folder) = server().await;
    let mirror = json!({
        "name": "second", "kind": "mirror", "description": "a mirror", "remote": "docker.io",
        "hosts": ["second.example"], "default": false, "visibility": "remote", "allow": ["library/**"],
        "deny": ["library/b*"], "prefix": "team-a", "max_bytes": "1MiB", "keep_deleted": true,
        "offline": true, "negative_ttl": "11s", "verdict_ttl": "6m", "verdict_if_error": "2h",
        "freshness": [
            {"tags": "v*", "mode": "immutable"},
            {"tags": "edge", "ttl": "2m", "stale_while_revalidate": "30s", "stale_if_error": "1h"},
        ],
    });
    let hosted = json!({
        "name": "team", "kind": "hosted", "visibility": "public", "quota": "10GiB",
        "immutable_tags": ["v*"], "sparse_index": false, "sparse_image": true,
        "retention": [{"tags": "ci-*", "newest": 10, "max_age": "90days"}, {"newest": 100}],
        "auto_create_repositories": false, "hide_default": true,
        "members": [{"principal": "ada", "repositories": "**", "rights": ["pull"]}],
    });
    let ada = json!({"name": "ada", "password": "a long password"});
    assert_eq!(post(&server, "/users", ada).await.status, 201);
    let refused = json!({"name": "r", "remote": "docker.io", NOBODYS: 1});
    let taken = told(&post(&server, "/projects", refused).await);
    let given: BTreeSet<String> = [&mirror, &hosted].into_iter().flat_map(keys).collect();
    let missing: Vec<_> = taken.difference(&given).collect();
    assert!(missing.is_empty(), "no project here sets {missing:?}");
    let shown = round_trip(&server, "/projects", &mirror, &[]).await;
    assert_eq!(
        (&shown["verdict_ttl"], &shown["verdict_if_error"]),
        (&json!("6m"), &json!("2h"))
    );
    assert_eq!(shown["freshness"].as_array().map(Vec::len), Some(2));
    round_trip(&server, "/projects", &hosted, &[]).await;
}

#[tokio::test]
async fn every_member_of_a_rule_survives_a_round_trip() {
    let (server, _folder) = server().await;
    for remote in ["edge", "edge-2"] {
        let remote = json!({"name": remote, "urls": [format!("http://{remote}.example")]});
        assert_eq!(post(&server, "/remotes", remote).await.status, 201);
    }
    let project = json!({"name": "team", "kind": "hosted"});
    assert_eq!(post(&server, "/projects", project).await.status, 201);
    let rule = json!({
        "name": "nightly", "description": "at night", "enabled": false, "mode": "push",
        "remotes": ["edge", "edge-2"],
        "source": {"project": "team", "filters": [
            {"type": "name", "value": "app/**"},
            {"type": "tag", "value": "/^v[0-9]+$/", "decoration": "excludes"},
            {"type": "label", "value": ["prod"]},
            {"type": "resource", "value": ["image", "chart"]},
            {"type": "semver", "value": ">=1.2, <2"},
            {"type": "newest", "value": 5},
            {"type": "max_age", "value": "30d"},
            {"type": "platform", "value": ["linux/amd64", "linux/arm/v7"]},
        ]},
        "destination": {"project": "copies", "flatten": -1},
        "trigger": {"type": "cron", "cron": "0 3 * * 1-5", "timezone": "Europe/Zurich"},
        "override": true, "propagate_delete": true, "referrers": false,
        "bandwidth": "20MiB/s", "transfer_bandwidth": "1MiB/s", "retry_for": "36h", "fill": "all",
        "platform_mode": "rewrite_index", "concurrency": 3, "delete_grace": "90s", "delete_cap": 7,
    });
    let shown = round_trip(&server, "/rules", &rule, &[]).await;
    for (key, value) in rule.as_object().expect("an object") {
        match key.as_str() {
            "bandwidth" => assert_eq!(shown[key], format!("{}B/s", 20 << 20)),
            "transfer_bandwidth" => assert_eq!(shown[key], format!("{}B/s", 1 << 20)),
            "retry_for" => assert_eq!(shown[key], "1day 12h"),
            "delete_grace" => assert_eq!(shown[key], "1m 30s"),
            "source" | "remotes" | "trigger" => {}
            _ => assert_eq!(shown[key], *value, "{key}"),
        }
    }
    let filters = shown["source"]["filters"].as_array().expect("a list");
    assert_eq!(filters.len(), 8, "{shown}");
}
