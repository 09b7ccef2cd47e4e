//! Podman: one platform, zstd, and a list of platforms.

use std::process::Command;

use super::{configure_containers, log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, Recipe, run};
use crate::podman::Podman;

#[test]
fn podman_pushes_what_it_built_and_another_pulls_and_runs_it() {
    let hosting = Hosting::start();
    let folder = Client::new();
    let recipe = Recipe::write(folder.home(), "app");
    let (app, list) = (hosting.reference("app:1"), hosting.reference("list:1"));

    let here = Place::new(&hosting);
    let build = ["build", "--isolation", "chroot", "--tag", &app];
    run(here.podman(&build).arg(&recipe.folder));
    log_in_and_push(|password| here.log_in(password), || here.push(&app));
    let digest = here.pushed();
    hosting.assert_arrived("app:1", &digest);

    let zstd = hosting.reference("app:zstd");
    run(here
        .push(&app)
        .args(["--compression-format", "zstd", &zstd]));
    hosting.assert_arrived("app:zstd", &here.pushed());

    // From the cache both platforms would be one.
    let platforms = ["--platform", "linux/amd64,linux/arm64", "--manifest", &list];
    let mut build = here.podman(&["build", "--no-cache", "--isolation", "chroot"]);
    run(build.args(platforms).arg(&recipe.folder));
    let file = here.podman.client.path("digest");
    let push = ["manifest", "push", "--all", "--digestfile", &file, &list];
    run(here.podman(&push).arg(format!("docker://{list}")));
    hosting.assert_arrived("list:1", &here.pushed());

    let elsewhere = Place::new(&hosting);
    log_in_and_pull(
        |password| elsewhere.log_in(password),
        || elsewhere.podman(&["pull", "--quiet", &app]),
    );
    let inspect = ["image", "inspect", "--format", "{{.Digest}}", &app];
    assert_eq!(run(&mut elsewhere.podman(&inspect)).trim(), digest);
    for name in [&app, &zstd, &list] {
        run(&mut elsewhere.podman(&["pull", "--quiet", name]));
        let greeting = elsewhere.podman.greeting(name);
        assert_eq!(greeting, recipe.greeting, "{name}");
    }
}

/// A Podman with nothing.
struct Place<'a> {
    podman: Podman,
    hosting: &'a Hosting,
}

impl<'a> Place<'a> {
    fn new(hosting: &'a Hosting) -> Self {
        let client = Client::new();
        configure_containers(&client, hosting);
        Self {
            podman: Podman { client },
            hosting,
        }
    }

    fn podman(&self, arguments: &[&str]) -> Command {
        let mut podman = self.podman.podman();
        podman.env("REGISTRY_AUTH_FILE", self.podman.client.path("auth.json"));
        podman.args(arguments);
        podman
    }

    fn log_in(&self, password: &str) -> Command {
        let host = self.hosting.host();
        self.podman(&["login", "-u", "admin", "-p", password, &host])
    }

    fn push(&self, reference: &str) -> Command {
        let file = self.podman.client.path("digest");
        self.podman(&["push", "--digestfile", &file, reference])
    }

    /// The digest of the last push.
    fn pushed(&self) -> String {
        let file = self.podman.client.path("digest");
        std::fs::read_to_string(file).expect("the digest of a push")
    }
}
