//! containerd: POST and PUT, mounts of layers that came from the same registry; credentials with each command.

use std::process::Command;

use super::crane::Crane;
use crate::containerd::Containerd;
use crate::harness::{Hosting, PASSWORD, Recipe, run, succeeds};

#[test]
fn containerd_pushes_an_image_and_another_pulls_the_same() {
    let (source, hosting) = (Hosting::start(), Hosting::start());
    let crane = Crane::new(&source);
    let recipe = Recipe::write(crane.client.home(), "app");
    let original = crane.push_image(&recipe);

    let here = Containerd::empty();
    run(&mut transfer(&here, "pull", PASSWORD, &original));
    let digest = here.digest(&original);
    let name = |hosting: &Hosting, name| {
        let reference = hosting.reference(name);
        run(here.ctr().args(["images", "tag", &original, &reference]));
        reference
    };
    let app = name(&hosting, "app:1");
    for password in ["", "a wrong password"] {
        assert!(!succeeds(&mut transfer(&here, "push", password, &app)));
    }
    run(&mut transfer(&here, "push", PASSWORD, &app));
    hosting.assert_arrived("app:1", &digest);
    let other = name(&source, "other:1");
    run(&mut transfer(&here, "push", PASSWORD, &other));
    source.assert_arrived("other:1", &digest);

    let elsewhere = Containerd::empty();
    assert!(!succeeds(&mut transfer(&elsewhere, "pull", "", &app)));
    run(&mut transfer(&elsewhere, "pull", PASSWORD, &app));
    assert_eq!(elsewhere.digest(&app), digest);
    let container = ["run", "--rm", "--snapshotter", "native", &app, "app"];
    assert_eq!(run(elsewhere.ctr().args(container)), recipe.greeting);
}

/// Without a password nobody is named.
fn transfer(containerd: &Containerd, direction: &str, password: &str, reference: &str) -> Command {
    let mut ctr = containerd.ctr();
    ctr.args(["images", direction, "--plain-http"]);
    if direction == "pull" {
        ctr.args(["--snapshotter", "native"]);
    }
    if !password.is_empty() {
        ctr.args(["--user", &format!("admin:{password}")]);
    }
    ctr.arg(reference);
    ctr
}
