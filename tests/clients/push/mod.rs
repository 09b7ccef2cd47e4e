//! Each client logs in to a private project, pushes what it has built, and gets it back somewhere else: with nothing of
//! its own there, after a login, and with the digest that was pushed. regctl then gets it too
//! ([`Hosting::assert_arrived`](crate::harness::Hosting::assert_arrived)).

mod buildah;
mod containerd;
mod cosign;
mod crane;
mod docker;
mod helm;
mod podman;
mod regctl;
mod skopeo;

use std::process::Command;

use crate::harness::{Client, Hosting, PASSWORD, run, succeeds};

/// A push counts only after a login with the right password. Gives what the push then told. Some clients only note a
/// password, and learn that it is wrong when they push.
#[track_caller]
fn log_in_and_push(log_in: impl Fn(&str) -> Command, push: impl Fn() -> Command) -> String {
    assert!(!succeeds(&mut push()), "a push without a login");
    let is_noted = succeeds(&mut log_in("a wrong password"));
    assert!(!is_noted || !succeeds(&mut push()), "with a wrong password");
    run(&mut log_in(PASSWORD));
    run(&mut push())
}

/// The same for a pull.
#[track_caller]
fn log_in_and_pull(log_in: impl Fn(&str) -> Command, pull: impl Fn() -> Command) -> String {
    assert!(!succeeds(&mut pull()), "a pull without a login");
    run(&mut log_in(PASSWORD));
    run(&mut pull())
}

/// The last digest in what a client told.
#[track_caller]
fn digest_in(text: &str) -> String {
    const LENGTH: usize = "sha256:".len() + 64;
    let at = text.rfind("sha256:").expect("a digest");
    text[at..][..LENGTH].to_owned()
}

#[track_caller]
fn assert_digest_of_file(client: &Client, file: &str, digest: &str) {
    let sum = run(client.command("sha256sum").arg(client.path(file)));
    assert!(
        sum.starts_with(digest.trim_start_matches("sha256:")),
        "{file}: {sum}, not {digest}"
    );
}

/// What buildah, Podman and skopeo look for in their home: the registry speaks HTTP, and images have no signatures.
fn configure_containers(client: &Client, hosting: &Hosting) {
    let host = hosting.host();
    let registries = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    client.write("registries.conf", &registries);
    client.write("auth.json", "{}");
    client.write(".config/containers/policy.json", crate::podman::POLICY);
}
