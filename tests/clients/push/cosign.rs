//! cosign: a signature that refers to the image, and one in the older form, by a tag.

use std::process::Command;

use super::crane::Crane;
use super::{log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, PASSWORD, Recipe, run, succeeds};

/// Nothing is written to a public log, and nobody asks one.
const SIGN: [&str; 6] = [
    "sign",
    "--yes",
    "--key=cosign.key",
    "--tlog-upload=false",
    "--use-signing-config=false",
    "--allow-http-registry",
];
const VERIFY: [&str; 4] = [
    "verify",
    "--key=cosign.pub",
    "--insecure-ignore-tlog=true",
    "--allow-http-registry",
];

#[test]
fn cosign_signs_an_image_and_another_verifies_it() {
    let hosting = Hosting::start();
    let crane = Crane::new(&hosting);
    let recipe = Recipe::write(crane.client.home(), "app");
    run(&mut crane.log_in(PASSWORD));
    let app = hosting.reference("app:1");
    run(&mut crane.append(&recipe, &app));
    let index = |name: &'static str| {
        let digest = crane.push_index(&app, name);
        let (repository, _) = name.split_once(':').expect("a name and a tag");
        format!("{}@{digest}", hosting.reference(repository))
    };
    let (signed, older, unsigned) = (index("signed:1"), index("older:1"), index("unsigned:1"));

    let here = Cosign::new(&hosting);
    run(&mut here.command(&["generate-key-pair"], &[]));
    log_in_and_push(
        |password| here.log_in(password),
        || here.command(&SIGN, &[&signed]),
    );
    run(&mut here.command(&SIGN, &["--new-bundle-format=false", &older]));

    let elsewhere = Cosign::new(&hosting);
    let key = std::fs::read_to_string(here.client.path("cosign.pub")).expect("a public key");
    elsewhere.client.write("cosign.pub", &key);
    log_in_and_pull(
        |password| elsewhere.log_in(password),
        || elsewhere.command(&VERIFY, &[&signed]),
    );
    let in_the_older_form = ["--new-bundle-format=false", &older];
    run(&mut elsewhere.command(&VERIFY, &in_the_older_form));
    assert!(!succeeds(&mut elsewhere.command(&VERIFY, &[&unsigned])));
}

struct Cosign<'a> {
    client: Client,
    hosting: &'a Hosting,
}

impl<'a> Cosign<'a> {
    fn new(hosting: &'a Hosting) -> Self {
        Self {
            client: Client::new(),
            hosting,
        }
    }

    fn command(&self, arguments: &[&str], more: &[&str]) -> Command {
        let mut cosign = self.client.command("cosign");
        cosign.env("COSIGN_PASSWORD", "");
        cosign.args(arguments).args(more);
        cosign
    }

    fn log_in(&self, password: &str) -> Command {
        let host = self.hosting.host();
        self.command(&["login", "-u", "admin", "-p", password, &host], &[])
    }
}
