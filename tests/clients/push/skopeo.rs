//! skopeo: from an archive in each form, from one repository to another, and all platforms of an index.

use std::process::Command;

use super::crane::Crane;
use super::{assert_digest_of_file, configure_containers, log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, PASSWORD, Recipe, run};

#[test]
fn skopeo_pushes_every_form_of_an_image_and_reads_it_elsewhere() {
    let hosting = Hosting::start();
    let crane = Crane::new(&hosting);
    let recipe = Recipe::write(crane.client.home(), "app");
    let archive = format!("docker-archive:{}", crane.archive(&recipe));
    let here = Skopeo::new(&hosting);

    log_in_and_push(
        |password| here.log_in(password),
        || here.copy(&archive, "app:1", &["--format", "oci"]),
    );
    let digest = here.pushed();
    hosting.assert_arrived("app:1", &digest);
    let zstd = ["--format", "oci", "--dest-compress-format", "zstd"];
    for (name, options) in [
        ("app:docker", &["--format", "v2s2"][..]),
        ("app:zstd", &zstd),
    ] {
        run(&mut here.copy(&archive, name, options));
        hosting.assert_arrived(name, &here.pushed());
    }

    let elsewhere = Skopeo::new(&hosting);
    let source = format!("docker://{}", hosting.reference("app:1"));
    let folder = format!("dir:{}", elsewhere.client.path("pulled"));
    log_in_and_pull(
        |password| elsewhere.log_in(password),
        || elsewhere.command(&["copy", "--preserve-digests", &source, &folder]),
    );
    assert_digest_of_file(&elsewhere.client, "pulled/manifest.json", &digest);

    let repository = format!("docker://{}", hosting.reference("app"));
    let tags = run(&mut elsewhere.command(&["list-tags", &repository]));
    for tag in ["1", "docker", "zstd"] {
        assert!(tags.contains(&format!("\"{tag}\"")), "{tags}");
    }
}

#[test]
fn skopeo_copies_an_index_from_repository_to_repository_and_deletes_it() {
    let hosting = Hosting::start();
    let crane = Crane::new(&hosting);
    let recipe = Recipe::write(crane.client.home(), "app");
    let app = hosting.reference("app:1");
    run(&mut crane.log_in(PASSWORD));
    run(&mut crane.append(&recipe, &app));
    let index = crane.push_index(&app, "index:1");

    let here = Skopeo::new(&hosting);
    run(&mut here.log_in(PASSWORD));
    let source = format!("docker://{}", hosting.reference("index:1"));
    run(&mut here.copy(&source, "a/b/copied:1", &["--all"]));
    // It writes the index anew.
    hosting.assert_arrived("a/b/copied:1", &here.pushed());

    let copied = format!("docker://{}", hosting.reference("a/b/copied:1"));
    run(&mut here.command(&["delete", &copied]));
    let inspect = here.command(&["inspect", "--raw", &copied]);
    assert!(!crate::harness::succeeds(&mut { inspect }));
    hosting.assert_arrived("index:1", &index);
}

struct Skopeo<'a> {
    client: Client,
    hosting: &'a Hosting,
}

impl<'a> Skopeo<'a> {
    fn new(hosting: &'a Hosting) -> Self {
        let client = Client::new();
        configure_containers(&client, hosting);
        Self { client, hosting }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut skopeo = self.client.command("skopeo");
        skopeo.args(["--registries-conf", &self.client.path("registries.conf")]);
        skopeo.env("REGISTRY_AUTH_FILE", self.client.path("auth.json"));
        skopeo.args(arguments);
        skopeo
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

    fn copy(&self, source: &str, name: &str, options: &[&str]) -> Command {
        let file = self.client.path("digest");
        let destination = format!("docker://{}", self.hosting.reference(name));
        let mut copy = self.command(&["copy", "--quiet", "--digestfile", &file]);
        copy.args(options).args([source, &destination]);
        copy
    }

    /// The digest of the last push.
    fn pushed(&self) -> String {
        std::fs::read_to_string(self.client.path("digest")).expect("the digest of a push")
    }
}
