//! buildah, step by step: Docker's form and OCI's.

use std::process::Command;

use super::{configure_containers, log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, Recipe, run};

#[test]
fn buildah_commits_and_pushes_and_another_pulls_the_same() {
    let hosting = Hosting::start();
    let here = Buildah::new(&hosting);
    let recipe = Recipe::write(here.client.home(), "app");
    let container = run(&mut here.command(&["from", "scratch"]));
    let container = container.trim();
    for layer in [&recipe.base, &recipe.own] {
        run(here.command(&["add", container]).arg(layer).arg("/"));
    }
    let command = r#"["cat", "/hello.txt"]"#;
    run(&mut here.command(&["config", "--cmd", command, container]));

    let elsewhere = Buildah::new(&hosting);
    for (number, format) in ["oci", "docker"].into_iter().enumerate() {
        let name = format!("app:{format}");
        let reference = hosting.reference(&name);
        run(&mut here.command(&["commit", "--format", format, container, &reference]));
        let push = || {
            let file = here.client.path("digest");
            here.command(&["push", "--digestfile", &file, &reference])
        };
        let pull = || elsewhere.command(&["pull", "--quiet", &reference]);
        if number == 0 {
            log_in_and_push(|password| here.log_in(password), push);
            log_in_and_pull(|password| elsewhere.log_in(password), pull);
        } else {
            run(&mut push());
            run(&mut pull());
        }
        let digest = std::fs::read_to_string(here.client.path("digest")).expect("a digest");
        hosting.assert_arrived(&name, &digest);
        let inspect = [
            "inspect",
            "--type",
            "image",
            "--format",
            "{{.FromImageDigest}}",
            &reference,
        ];
        assert_eq!(run(&mut elsewhere.command(&inspect)).trim(), digest);
    }
}

struct Buildah<'a> {
    client: Client,
    hosting: &'a Hosting,
}

impl<'a> Buildah<'a> {
    fn new(hosting: &'a Hosting) -> Self {
        let client = Client::new();
        configure_containers(&client, hosting);
        Self { client, hosting }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut buildah = self.client.command("buildah");
        buildah.args(["--root", &self.client.path("root")]);
        buildah.args(["--runroot", &self.client.path("run")]);
        buildah.args(["--storage-driver", "vfs"]);
        buildah.args(["--registries-conf", &self.client.path("registries.conf")]);
        buildah.env("REGISTRY_AUTH_FILE", self.client.path("auth.json"));
        buildah.args(arguments);
        buildah
    }

    fn log_in(&self, password: &str) -> Command {
        let host = self.hosting.host();
        self.command(&[
            "login",
            "--tls-verify=false",
            "-u",
            "admin",
            "-p",
            password,
            &host,
        ])
    }
}
