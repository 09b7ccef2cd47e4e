//! containerd: POST and PUT, with the credentials of each command.

use std::process::Command;

use super::crane::Crane;
use crate::containerd::Containerd;
use crate::harness::{Hosting, PASSWORD, Recipe, run, succeeds};

#[test]
fn containerd_pushes_an_image_and_another_pulls_the_same() {
    let hosting = Hosting::start();
    let crane = Crane::new(&hosting);
    let recipe = Recipe::write(crane.client.home(), "app");
    let archive = crane.archive(&recipe);
    let app = hosting.reference("app:1");

    let here = Containerd::empty();
    run(here
        .ctr()
        .args(["images", "import", "--snapshotter", "native", &archive]));
    run(here
        .ctr()
        .args(["images", "tag", "docker.io/library/image:1", &app]));
    let digest = here.digest(&app);
    for password in ["", "a wrong password"] {
        assert!(!succeeds(&mut transfer(&here, "push", password, &app)));
    }
    run(&mut transfer(&here, "push", PASSWORD, &app));
    hosting.assert_arrived("app:1", &digest);

    let elsewhere = Containerd::empty();
    assert!(!succeeds(&mut transfer(&elsewhere, "pull", "", &app)));
    let mut pull = transfer(&elsewhere, "pull", PASSWORD, &app);
    run(pull.args(["--snapshotter", "native"]));
    assert_eq!(elsewhere.digest(&app), digest);
}

/// Without a password nobody is named.
fn transfer(containerd: &Containerd, direction: &str, password: &str, reference: &str) -> Command {
    let mut ctr = containerd.ctr();
    ctr.args(["images", direction, "--plain-http"]);
    if !password.is_empty() {
        ctr.args(["--user", &format!("admin:{password}")]);
    }
    ctr.arg(reference);
    ctr
}
