//! Whatever happened: once the line is whole, everything comes to be where it is to be, and the rule says so.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Sites, eventually, hosted, image, login, registries, versions::setting};
use crate::{
    api::PASSWORD,
    harness::{Image, Line, Trouble, get},
    process::{Process, command},
    push::Pusher,
    real_registry::{Program, RealRegistry},
    server::TestServer,
};

const TAGS: [&str; 4] = ["a", "b", "c", "d"];
const STEPS: usize = 14;
/// What failed a few times is tried again after some tens of seconds.
const REPAIRED_WITHIN: Duration = Duration::from_secs(90);

/// Where everything goes.
enum Edge {
    /// It knows of each tag which write it is of.
    Entrepot(TestServer),
    /// It does not.
    Plain(RealRegistry),
}

impl Edge {
    async fn entrepot() -> Self {
        Self::Entrepot(crate::push::setup("").start().await)
    }

    async fn plain() -> Self {
        Self::Plain(RealRegistry::start(Program::Distribution).await)
    }

    fn address(&self) -> String {
        match self {
            Self::Entrepot(server) => server.url().trim_start_matches("http://").to_owned(),
            Self::Plain(registry) => registry.host.clone(),
        }
    }

    /// The digest under a tag of `team/app`.
    async fn tag(&self, tag: &str) -> Option<String> {
        match self {
            Self::Entrepot(server) => {
                let answer = get(&server.manifest_url("team/app", tag)).await;
                let digest = answer.header("docker-content-digest").to_owned();
                (answer.status == 200).then_some(digest)
            }
            Self::Plain(registry) => registries::there(registry, "team/app", tag).await,
        }
    }
}

/// A source that can be killed, and its destination behind a line that can break.
struct World {
    /// `None`: it is dead.
    source: Option<Process>,
    edge: Edge,
    line: Line,
    /// What each tag is to be; `None`: it was deleted.
    wanted: BTreeMap<&'static str, Option<String>>,
}

impl World {
    async fn start(edge: Edge) -> Self {
        let line = Line::to(edge.address().parse().expect("an address")).await;
        let login = match edge {
            Edge::Entrepot(_) => login(),
            Edge::Plain(_) => String::new(),
        };
        let configuration = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[access]\nadmin_password = \"{PASSWORD}\"\n\
             [replication]\nevent_delay = \"50ms\"\n{}\n\
             [[remote]]\nname = \"edge\"\nurls = [\"http://{}\"]\n{login}\n",
            hosted("team"),
            line.address(),
        );
        let world = Self {
            source: Some(Process::serve(&configuration, &[]).await),
            edge,
            line,
            wanted: BTreeMap::new(),
        };
        let rule = json!({
            "name": "to-edge", "remotes": ["edge"], "source": {"project": "team"},
            "propagate_delete": true, "delete_grace": "0s",
        });
        let made = world.call(Method::POST, "/rules", &rule).await;
        assert_eq!(made["name"], "to-edge", "{made}");
        world
    }

    fn pusher(&self) -> Pusher {
        Pusher::at(&self.source.as_ref().expect("it lives").url)
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.pusher().request(method, &format!("/api/v1{path}"));
        let request = request.header("content-type", "application/json");
        let answer = Pusher::send(request.body(body.to_string())).await;
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    async fn step(&mut self, random: &mut StdRng) {
        let tag = TAGS[random.random_range(0..TAGS.len())];
        match random.random_range(0..10) {
            0..4 => self.push(tag, image(random.random_range(1..6))).await,
            4..6 => self.delete(tag).await,
            6 => self.kill().await,
            7 => self.line.set(Trouble::Refused),
            8 => {
                let bytes = random.random_range(0..20_000);
                self.line.set(Trouble::CutAfter(bytes));
            }
            _ => self.line.repair(),
        }
        sleep(Duration::from_millis(random.random_range(0..300))).await;
    }

    async fn push(&mut self, tag: &'static str, content: Image) {
        self.pusher().image("team/app", tag, &content).await;
        self.wanted.insert(tag, Some(content.root));
    }

    async fn delete(&mut self, tag: &'static str) {
        let path = format!("/v2/team/app/manifests/{tag}");
        let delete = self.pusher().request(Method::DELETE, &path);
        assert!([202, 404].contains(&Pusher::send(delete).await.status));
        self.wanted.insert(tag, None);
    }

    /// As by `kill -9`, and another start on the same data.
    async fn kill(&mut self) {
        let folder = self.source.take().expect("it lives").kill().await;
        let command = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
        self.source = Some(Process::start(folder, command).await);
    }

    /// Waits until the rule says that all is there, and it is.
    async fn repaired(&self) {
        let deadline = Instant::now() + REPAIRED_WITHIN;
        loop {
            let path = "/rules/to-edge/sync";
            let compared = self.call(Method::GET, path, &json!({})).await;
            let there = self.there().await;
            if compared["items"][0]["in_sync"] == true && there == self.wanted {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "it is not repaired: {compared}, {there:?} instead of {:?}",
                self.wanted
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn there(&self) -> BTreeMap<&'static str, Option<String>> {
        let mut there = BTreeMap::new();
        for tag in self.wanted.keys() {
            there.insert(*tag, self.edge.tag(tag).await);
        }
        there
    }
}

async fn is_repaired_after_anything(edge: Edge) {
    let cases = setting("ENTREPOT_SITES_CASES").unwrap_or(1);
    let seed = setting("ENTREPOT_SITES_SEED").unwrap_or_else(rand::random);
    // Shown when the test fails, or with --nocapture.
    eprintln!("ENTREPOT_SITES_SEED={seed}");
    let mut world = World::start(edge).await;
    for case in 0..cases {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(case));
        for _ in 0..STEPS {
            world.step(&mut random).await;
        }
        world.line.repair();
        world.repaired().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_pushes_deletes_kills_and_faults_everything_comes_to_be_in_sync() {
    is_repaired_after_anything(Edge::entrepot().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_at_a_registry_that_knows_nothing_of_versions() {
    is_repaired_after_anything(Edge::plain().await).await;
}

/// A source that was killed when its destination had a tag, and it had not heard of that yet. The line is still broken.
async fn killed_before_the_answer() -> World {
    let mut world = World::start(Edge::plain().await).await;
    let put = "PUT /v2/team/app/manifests/a ";
    world.line.set(Trouble::UnansweredFrom(put));
    world.push("a", image(1)).await;
    eventually(async || (world.there().await == world.wanted).then_some(())).await;
    world.line.set(Trouble::Refused);
    world.kill().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_put_just_before_the_end_of_the_process_is_deleted_with_its_source() {
    let mut world = killed_before_the_answer().await;
    world.delete("a").await;
    world.line.repair();
    world.repaired().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_put_just_before_the_end_of_the_process_follows_its_source() {
    let mut world = killed_before_the_answer().await;
    world.push("a", image(2)).await;
    world.line.repair();
    world.repaired().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_rule_goes_through_everything_by_itself_and_repairs_what_is_missing() {
    let sites = Sites::with("reconcile = \"1s\"").await;
    sites.push("team/app", "1", &image(1)).await;
    let made = sites.rule(json!({})).await;
    sites.done(made["execution"].as_str().expect("an id")).await;
    let edge = Pusher::of(&sites.edge);
    let delete = edge.request(Method::DELETE, "/v2/team/app/manifests/1");
    assert_eq!(Pusher::send(delete).await.status, 202);
    // Nothing happens here that would be an event.
    sites.arrived("team/app", "1", Some(&image(1))).await;
    eventually(async || {
        let compared = sites.get("/rules/to-edge/sync").await;
        (compared["items"][0]["in_sync"] == true).then_some(())
    })
    .await;
}
