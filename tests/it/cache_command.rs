//! `entrepot cache …` as a process, against a server that is one too.

use serde_json::{Value, json};

use crate::{
    harness::{FakeRegistry, Image, ImageBuilder, get},
    process::{Process, Said, command, entrepot_in},
    server::Setup,
};

const IMAGE: &str = "docker.io/library/app:1";

/// A server with the first admin's own password, and an image at its remote.
struct Scene {
    _hub: FakeRegistry,
    image: Image,
    server: Process,
}

impl Scene {
    async fn new() -> Self {
        let hub = FakeRegistry::start().await;
        let image = ImageBuilder::new(1).layer(300_000).build();
        hub.put_image("library/app", "1", &image);
        let server = Process::serve(&Setup::hub(&hub).text(), &[]).await;
        Self {
            _hub: hub,
            image,
            server,
        }
    }

    async fn pull(&self) {
        let url = format!("{}/v2/library/app", self.server.url);
        assert_eq!(get(&format!("{url}/manifests/1")).await.status, 200);
        for digest in self.image.blobs.keys() {
            assert_eq!(get(&format!("{url}/blobs/{digest}")).await.status, 200);
        }
        // Clients do not wait until what they got is in place, with its rows.
        while !self.metrics().await.contains("entrepot_fills_running 0") {
            tokio::task::yield_now().await;
        }
    }

    async fn metrics(&self) -> String {
        let answer = get(&format!("{}/metrics", self.server.url)).await;
        String::from_utf8(answer.body.to_vec()).expect("metrics are text")
    }

    /// Runs `entrepot cache …` as a person does who has the server's configuration at hand.
    async fn cache(&self, arguments: &[&str]) -> Said {
        self.cache_in(arguments, &[("ENTREPOT_CONFIG", "entrepot.toml")])
            .await
    }

    async fn cache_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let arguments = [&["cache"], arguments].concat();
        let url = ("ENTREPOT_URL", self.server.url.as_str());
        let environment = [&[url][..], environment].concat();
        entrepot_in(self.server.folder.path(), &arguments, &environment).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let said = self
            .cache(&[arguments, &["--output", "json"]].concat())
            .await;
        serde_json::from_str(&said.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", said.stdout, said.stderr))
    }
}

#[tokio::test]
async fn the_password_that_the_first_start_made_is_printed_once_and_found_on_the_same_machine() {
    let scene = Scene::new().await;
    scene.server.printed("password").await;
    let printed = scene.server.stdout();
    let line = printed
        .lines()
        .find(|line| line.contains("user `admin`"))
        .expect("a line");
    let password = line
        .split('`')
        .nth(3)
        .expect("the password is in backticks");
    assert_eq!(password.len(), 24, "{line}");
    assert!(
        !scene.server.stderr().contains(password),
        "it is in the log"
    );
    assert_eq!(scene.cache(&["stats"]).await.code, Some(0));
    let with = async |password: &str| {
        let environment = [("ENTREPOT_ADMIN_PASSWORD", password)];
        scene.cache_in(&["stats"], &environment).await
    };
    assert_eq!(with(password).await.code, Some(0));
    let refused = with("wrong").await;
    assert_eq!(refused.code, Some(77), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("hint: `--password`"),
        "{}",
        refused.stderr
    );
    let mut first = scene.server;
    first.terminate();
    assert!(first.ended().await.success());
    let folder = first.folder;
    let serve = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let server = Process::start(folder, serve).await;
    server.printed("Podman").await;
    assert!(!server.stdout().contains("password"), "{}", server.stdout());
}

#[tokio::test]
async fn an_image_is_shown_as_text_and_as_the_apis_object() {
    let scene = Scene::new().await;
    let none = scene.cache(&["show", IMAGE]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(
        none.stderr
            .contains("nothing of docker.io/library/app:1 is here"),
        "{}",
        none.stderr
    );
    scene.pull().await;
    let shown = scene.cache(&["show", IMAGE]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for part in [
        "docker.io/library/app",
        &scene.image.root,
        "fresh",
        "checked",
    ] {
        assert!(shown.stdout.contains(part), "{}", shown.stdout);
    }
    let object = scene.json(&["show", IMAGE]).await;
    assert_eq!(
        (&object["digest"], &object["reference"]),
        (&json!(scene.image.root), &json!("1"))
    );
    let listed = scene.cache(&["list"]).await;
    assert!(listed.stdout.contains(IMAGE), "{}", listed.stdout);
    assert_eq!(scene.json(&["list"]).await, json!({"items": [object]}));
}

#[tokio::test]
async fn what_is_missing_of_an_image_decides_the_exit_code() {
    let scene = Scene::new().await;
    let absent = scene.cache(&["missing", IMAGE]).await;
    assert_eq!(absent.code, Some(1));
    assert!(
        absent.stdout.contains("nothing of it is here"),
        "{}",
        absent.stdout
    );
    get(&format!("{}/v2/library/app/manifests/1", scene.server.url)).await;
    let incomplete = scene.cache(&["missing", IMAGE]).await;
    assert_eq!(incomplete.code, Some(1));
    assert!(
        incomplete.stdout.contains(&scene.image.layers()[0]),
        "{}",
        incomplete.stdout
    );
    let item = &scene.json(&["missing", IMAGE]).await["items"][0];
    assert_eq!(item["complete"], false);
    assert_eq!(
        item["missing"].as_array().map(Vec::len),
        Some(scene.image.blobs.len())
    );
    scene.pull().await;
    let complete = scene.cache(&["missing", IMAGE]).await;
    assert_eq!(
        (complete.code, complete.stdout.as_str()),
        (Some(0), "docker.io/library/app:1: complete\n")
    );
    let one_of_two = scene
        .cache(&["missing", IMAGE, "docker.io/library/other:1"])
        .await;
    assert_eq!(one_of_two.code, Some(1));
}

#[tokio::test]
async fn images_are_refreshed_pinned_and_purged_one_after_the_other() {
    let scene = Scene::new().await;
    scene.pull().await;
    let unknown = "docker.io/library/none:1";
    let refreshed = scene.cache(&["refresh", unknown, IMAGE]).await;
    assert_eq!(refreshed.code, Some(1));
    assert!(refreshed.stderr.contains(unknown), "{}", refreshed.stderr);
    assert_eq!(
        refreshed.stdout, "docker.io/library/app:1: refreshed\n",
        "the other one is done all the same"
    );
    assert_eq!(scene.cache(&["pin", IMAGE]).await.code, Some(0));
    assert_eq!(scene.json(&["show", IMAGE]).await["pinned"], true);
    assert_eq!(scene.cache(&["unpin", IMAGE]).await.code, Some(0));
    assert_eq!(scene.cache(&["unpin", IMAGE]).await.code, Some(1));
    let purged = scene.cache(&["purge", IMAGE]).await;
    assert_eq!(
        (purged.code, purged.stdout.as_str()),
        (Some(0), "docker.io/library/app:1: purged\n")
    );
    assert_eq!(scene.cache(&["show", IMAGE]).await.code, Some(1));
}

#[tokio::test]
async fn a_scrub_says_what_it_read_and_the_stats_what_there_is() {
    let scene = Scene::new().await;
    scene.pull().await;
    let scrubbed = scene.cache(&["scrub"]).await;
    assert_eq!(scrubbed.code, Some(0), "{}", scrubbed.stderr);
    assert!(scrubbed.stdout.contains("0 damaged"), "{}", scrubbed.stdout);
    let stats = scene.cache(&["stats"]).await;
    for part in [
        env!("CARGO_PKG_VERSION"),
        "sqlite, ready",
        "misses",
        "to clients",
    ] {
        assert!(stats.stdout.contains(part), "{}", stats.stdout);
    }
    assert_eq!(scene.json(&["stats"]).await["database"]["ready"], true);
}

#[tokio::test]
async fn mistakes_have_words_and_exit_codes_of_their_own() {
    let scene = Scene::new().await;
    for (arguments, code, part) in [
        (&["show", "UPPER"][..], 64, "not a repository name"),
        (
            &["show", "127.0.0.1:5000/docker.io/library/app:1"],
            64,
            "leave out `127.0.0.1:5000/`",
        ),
        (&["show"], 64, "<IMAGE>"),
        (&["missing"], 64, "<IMAGE>"),
        (&["show", "library/app:1"], 1, "begins with its project"),
        (
            &["list", "--project", "nobody.io"],
            1,
            "project: no mirror project has this name",
        ),
        (
            &["stats", "--server", "http://127.0.0.1:1"],
            69,
            "hint: `--server`",
        ),
        (&["stats", "--config", "none.toml"], 64, "none.toml"),
        (&["stats", "--token", "t"], 77, "refuses"),
    ] {
        let said = scene.cache(arguments).await;
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{arguments:?}: {}", said.stderr);
    }
    let registry = FakeRegistry::start().await;
    let foreign = scene.cache(&["stats", "--server", registry.url()]).await;
    assert_eq!(foreign.code, Some(69), "{}", foreign.stderr);
    assert!(
        foreign
            .stderr
            .contains("does not answer as an Entrepot does"),
        "{}",
        foreign.stderr
    );
    let away = scene.cache_in(&["stats"], &[]).await;
    assert_eq!(
        away.code,
        Some(77),
        "without the configuration there is no password: {}",
        away.stderr
    );
}
