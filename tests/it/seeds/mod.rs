//! The product documents that rules are to satisfy, walked through step by step by the management API: one file each, named
//! after the document. Each ends with a real client that pulls at the destination. The walk through `002_…` is in
//! tests/clients, where it ends with a pod; that of `003_…` is in `sync_command`.

mod seed_000_bf147194b6b9a9be;
mod seed_001_76b703d9a81d591b;
mod seed_004_933c94551b945ddf;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    api::PASSWORD,
    harness::Image,
    manage::{Called, call_as},
    push::Pusher,
    real_registry::tool,
    rules::eventually,
    server::{Setup, TestServer},
};

const PULL_TIMEOUT: Duration = Duration::from_secs(60);
/// User and password, if there are any.
type Login = Option<(&'static str, &'static str)>;

const ADMIN: Login = Some(("admin", PASSWORD));

/// A server, used by one of its users.
struct Site {
    server: TestServer,
    user: Login,
}

impl Site {
    /// With nothing but its admin.
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more keys of `[access]`.
    async fn with(access: &str) -> Self {
        let keys = format!(
            "[access]\nadmin_password = \"{PASSWORD}\"\n{access}\n[replication]\nevent_delay = \"50ms\"\n"
        );
        Self {
            server: Setup::empty().section(&keys).start().await,
            user: ADMIN,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Called {
        let user = self.user.expect("somebody");
        call_as(&self.server, user, method, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let shown = self.call(Method::GET, path, None).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
        shown.body
    }

    async fn post(&self, path: &str, body: Value) -> Called {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Makes something; what it is then.
    async fn make(&self, path: &str, body: Value) -> Value {
        let made = self.post(path, body).await;
        assert_eq!(made.status, 201, "{path}: {}", made.body);
        made.body
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        let put = self.call(Method::PUT, path, Some(body)).await;
        assert_eq!(put.status, 200, "{path}: {}", put.body);
        put.body
    }

    async fn switch(&self, rule: &str, enabled: bool) -> Value {
        let path = format!("/rules/{rule}");
        let body = Some(json!({"enabled": enabled}));
        let switched = self.call(Method::PATCH, &path, body).await;
        assert_eq!(switched.status, 200, "{}", switched.body);
        switched.body
    }

    async fn delete(&self, path: &str) -> u16 {
        self.call(Method::DELETE, path, None).await.status
    }

    /// Runs a rule by hand, to its end.
    async fn run(&self, rule: &str) -> Value {
        let begun = self
            .make(&format!("/rules/{rule}/executions"), json!({}))
            .await;
        self.done(&begun["id"]).await
    }

    async fn done(&self, execution: &Value) -> Value {
        let path = format!("/executions/{}", execution.as_str().expect("an id"));
        eventually(async || {
            let execution = self.get(&path).await;
            let ended = ["Succeeded", "Failed", "Stopped"];
            ended
                .contains(&execution["status"].as_str()?)
                .then_some(execution)
        })
        .await
    }

    async fn push(&self, repository: &str, tag: &str, image: &Image) {
        Pusher::of(&self.server).image(repository, tag, image).await;
    }

    /// The digest of a tag, for the admin.
    async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let head = Pusher::of(&self.server).head(&path).await;
        (head.status == 200).then(|| head.header("docker-content-digest").to_owned())
    }

    /// Waits until a tag is this image, or is gone.
    async fn arrived(&self, repository: &str, tag: &str, image: Option<&Image>) {
        let wanted = image.map(|image| image.root.clone());
        eventually(async || (self.digest(repository, tag).await == wanted).then_some(())).await;
    }

    fn host(&self) -> &str {
        self.server.url().trim_start_matches("http://")
    }

    /// Its words as a remote of another site.
    fn as_remote(&self, name: &str) -> Value {
        json!({
            "name": name, "provider": "entrepot", "urls": [self.server.url()],
            "username": "admin", "password": PASSWORD,
        })
    }
}

/// crane, with this login and nothing of its own, pulls an image and verifies all of it.
async fn assert_pulls(host: &str, login: Login, name: &str, image: &Image) {
    let name = format!("{host}/{name}");
    assert_pulls_with(&["--insecure"], &[], login, &name, image).await;
}

/// The same with options of crane, and variables by which it finds the registry.
pub(crate) async fn assert_pulls_with(
    options: &[&str],
    environment: &[(&str, &str)],
    login: Login,
    name: &str,
    image: &Image,
) {
    let (host, _) = name.split_once('/').expect("a registry's name");
    let folder = TempDir::new().expect("a folder");
    let auths = match login {
        Some((user, password)) => {
            let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
            json!({"auths": {host: {"auth": auth}}})
        }
        None => json!({}),
    };
    std::fs::write(folder.path().join("config.json"), auths.to_string()).expect("a file");
    let layout = folder.path().join("layout");
    let mut crane = tokio::process::Command::new(tool("crane"));
    crane
        .args(options)
        .args(["pull", "--format", "oci", name])
        .arg(&layout)
        .env_clear()
        .envs(environment.iter().copied())
        .env("HOME", folder.path())
        .env("DOCKER_CONFIG", folder.path())
        .kill_on_drop(true);
    let output = timeout(PULL_TIMEOUT, crane.output()).await;
    let output = output.expect("it ends in time").expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {said}");
    let index = std::fs::read_to_string(layout.join("index.json")).expect("an index");
    assert!(index.contains(&image.root), "{name}: {index}");
    for digest in image.blobs.keys() {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        let blob = layout.join("blobs").join(algorithm).join(hex);
        assert!(blob.is_file(), "{name} is without {digest}");
    }
}
