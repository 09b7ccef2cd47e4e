//! crane: PATCH of a body whose length it does not say, mounts, indexes, deletes.

use std::process::Command;

use super::{digest_in, log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, PASSWORD, Recipe, run};

#[test]
fn crane_pushes_images_and_an_index_and_copies_and_deletes_them() {
    let hosting = Hosting::start();
    let crane = Crane::new(&hosting);
    let recipe = Recipe::write(crane.client.home(), "app");
    let app = hosting.reference("app:1");
    log_in_and_push(
        |password| crane.log_in(password),
        || crane.append(&recipe, &app),
    );
    let index = crane.push_index(&app, "index:1");
    hosting.assert_arrived("index:1", &index);

    let copied = hosting.reference("copied:1");
    let original = hosting.reference("index:1");
    run(&mut crane.command(&["copy", &original, &copied]));
    hosting.assert_arrived("copied:1", &index);

    let elsewhere = Crane::new(&hosting);
    let layout = elsewhere.client.path("layout");
    log_in_and_pull(
        |password| elsewhere.log_in(password),
        || elsewhere.command(&["pull", "--format", "oci", &copied, &layout]),
    );
    let pulled = std::fs::read_to_string(format!("{layout}/index.json")).expect("an index");
    assert!(pulled.contains(&index), "{pulled}");

    run(&mut crane.command(&["delete", &copied]));
    let tags = run(&mut crane.command(&["ls", &hosting.reference("copied")]));
    assert_eq!(tags, "");
    hosting.assert_arrived("index:1", &index);
}

pub(super) struct Crane<'a> {
    pub(super) client: Client,
    hosting: &'a Hosting,
}

impl<'a> Crane<'a> {
    pub(super) fn new(hosting: &'a Hosting) -> Self {
        Self {
            client: Client::new(),
            hosting,
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut crane = self.client.command("crane");
        crane.arg("--insecure").args(arguments);
        crane
    }

    pub(super) fn log_in(&self, password: &str) -> Command {
        let host = self.hosting.host();
        self.command(&["auth", "login", &host, "-u", "admin", "-p", password])
    }

    /// Builds an image as an archive of `docker save`'s form, without any registry.
    pub(super) fn archive(&self, recipe: &Recipe) -> String {
        let archive = self.client.path("image.tar");
        run(self.append(recipe, "image:1").args(["-o", &archive]));
        archive
    }

    /// Logs in, and pushes an image that runs here; gives its name.
    pub(super) fn push_image(&self, recipe: &Recipe) -> String {
        run(&mut self.log_in(PASSWORD));
        let base = self.hosting.reference("base:1");
        run(&mut self.append(recipe, &base));
        self.push_platform(&base, "amd64")
    }

    fn push_platform(&self, base: &str, architecture: &str) -> String {
        let image = self.hosting.reference(&format!("{architecture}:1"));
        let platform = format!("linux/{architecture}");
        let mut mutate = self.command(&["mutate", base, "--set-platform", &platform]);
        run(mutate.args(["--cmd", "cat,/hello.txt", "-t", &image]));
        image
    }

    /// Builds an image in the registry, for no platform.
    pub(super) fn append(&self, recipe: &Recipe, reference: &str) -> Command {
        let mut append = self.command(&["append", "--oci-empty-base", "-t", reference]);
        append.arg("-f").arg(&recipe.base);
        append.arg("-f").arg(&recipe.own);
        append
    }

    /// Makes two platforms of the image `base`, and an index of both at `name`, which the digest is of.
    pub(super) fn push_index(&self, base: &str, name: &str) -> String {
        let reference = self.hosting.reference(name);
        let mut append = self.command(&["index", "append", "-t", &reference]);
        for architecture in ["amd64", "arm64"] {
            append.args(["-m", &self.push_platform(base, architecture)]);
        }
        run(&mut append);
        digest_in(&run(&mut self.command(&["digest", &reference])))
    }
}
