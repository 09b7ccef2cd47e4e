//! Rules by the management API, and what they do.

mod catalog;
mod deletes;
mod delivery;
mod hours;
mod making;
mod plans;
mod platforms;
mod pulling;
mod recovery;
mod registries;
mod sync;
mod tags;
mod turns;
mod versions;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    api::PASSWORD,
    harness::{FakeRegistry, Image, ImageBuilder, Line, get},
    manage::{Called, call},
    push::Pusher,
    server::{Setup, TestServer},
};

/// The configuration of a mirror project `far` of this remote.
fn far(remote: &FakeRegistry) -> String {
    let url = remote.url();
    format!(
        "[[remote]]\nname = \"far\"\nurls = [\"{url}\"]\n\
         [[project]]\nname = \"far\"\nkind = \"mirror\"\nremote = \"far\"\n"
    )
}

/// A remote that has `library/app:1` for two platforms.
async fn far_image() -> (FakeRegistry, Image) {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1)
        .layer(20_000)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    remote.put_image("library/app", "1", &image);
    (remote, image)
}

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two servers: what is pushed to the hub goes to the edge, over a line that can break.
struct Sites {
    hub: TestServer,
    edge: TestServer,
    line: Line,
}

impl Sites {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more keys for the hub.
    async fn with(keys: &str) -> Self {
        let edge = crate::push::setup("").start().await;
        let address = edge.url().trim_start_matches("http://");
        let line = Line::to(address.parse().expect("an address")).await;
        let url = format!("http://{}", line.address());
        let hub = Setup::empty()
            .section(&format!(
                "[access]\nadmin_password = \"{PASSWORD}\"\n[replication]\nevent_delay = \"50ms\"\n{keys}"
            ))
            .remote("edge", &url, &login())
            .section(&hosted("team"))
            .section(&hosted("library"));
        let hub = hub.start().await;
        Self { hub, edge, line }
    }

    async fn push(&self, repository: &str, tag: &str, image: &Image) {
        Pusher::of(&self.hub).image(repository, tag, image).await;
    }

    /// Another remote of the hub, `near`: the same edge, by no line.
    async fn near(&self) {
        let near = json!({
            "name": "near", "urls": [self.edge.url()], "username": "admin", "password": PASSWORD,
        });
        let made = self.post("/remotes", near).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Called {
        call(&self.hub, method, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let shown = self.call(Method::GET, path, None).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
        shown.body
    }

    async fn post(&self, path: &str, body: Value) -> Called {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Makes a rule from `team` to the edge.
    async fn rule(&self, more: Value) -> Value {
        let made = self.post("/rules", rule(more)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body
    }

    /// Begins an execution; its id.
    async fn run(&self, rule: &str, body: Value) -> String {
        let begun = self.post(&format!("/rules/{rule}/executions"), body).await;
        assert_eq!(begun.status, 201, "{}", begun.body);
        begun.body["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until an execution has one of these states.
    async fn execution(&self, id: &str, states: &[&str]) -> Value {
        let path = format!("/executions/{id}");
        eventually(async || {
            let execution = self.get(&path).await;
            let status = execution["status"].as_str().expect("a text").to_owned();
            states.contains(&status.as_str()).then_some(execution)
        })
        .await
    }

    async fn done(&self, id: &str) -> Value {
        self.execution(id, &["Succeeded", "Failed", "Stopped"])
            .await
    }

    /// The digest under a tag at the edge, if there is one.
    async fn at_edge(&self, repository: &str, reference: &str) -> Option<String> {
        let answer = get(&self.edge.manifest_url(repository, reference)).await;
        (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned())
    }

    /// Waits until a tag at the edge is this image, or is gone.
    async fn arrived(&self, repository: &str, tag: &str, image: Option<&Image>) {
        let wanted = image.map(|image| image.root.clone());
        eventually(async || {
            let there = self.at_edge(repository, tag).await;
            (there == wanted).then_some(())
        })
        .await;
    }
}

fn login() -> String {
    format!("username = \"admin\"\npassword = \"{PASSWORD}\"")
}

fn hosted(name: &str) -> String {
    format!("[[project]]\nname = \"{name}\"\nkind = \"hosted\"\nvisibility = \"public\"")
}

fn rule(more: Value) -> Value {
    let mut rule = json!({
        "name": "to-edge", "remotes": ["edge"], "source": {"project": "team"},
    });
    let (Value::Object(members), Value::Object(more)) = (&mut rule, more) else {
        panic!("no object");
    };
    members.extend(more);
    rule
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(10_000).build()
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        sleep(Duration::from_millis(30)).await;
    }
}
