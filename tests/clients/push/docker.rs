//! Docker: POST, one PATCH, PUT, for several layers at once; layers that it knows of elsewhere in the registry are mounted.

use std::process::Command;

use super::{digest_in, log_in_and_pull, log_in_and_push};
use crate::docker::Docker;
use crate::harness::{Client, Hosting, Recipe, run, succeeds};

#[test]
fn docker_pushes_what_it_built_and_another_engine_pulls_and_runs_it() {
    let hosting = Hosting::start();
    let folder = Client::new();
    let recipe = Recipe::write(folder.home(), "app");
    let (app, other) = (hosting.reference("app:1"), hosting.reference("other/app:1"));

    let docker = Docker::behind(hosting.address());
    let mut build = docker.docker();
    build.env("DOCKER_BUILDKIT", "0");
    run(build.args(["build", "--tag", &app]).arg(&recipe.folder));
    let told = log_in_and_push(
        |password| log_in(&docker, &hosting, password),
        || command(&docker, &["push", &app]),
    );
    let digest = digest_in(&told);
    hosting.assert_arrived("app:1", &digest);

    run(&mut command(&docker, &["tag", &app, &other]));
    let told = run(&mut command(&docker, &["push", &other]));
    assert_eq!(told.matches("Mounted from team/app").count(), 2, "{told}");
    assert_eq!(digest_in(&told), digest);

    let elsewhere = Docker::behind(hosting.address());
    log_in_and_pull(
        |password| log_in(&elsewhere, &hosting, password),
        || command(&elsewhere, &["pull", &other]),
    );
    let format = ["image", "inspect", "--format", "{{.RepoDigests}}", &other];
    let digests = run(&mut command(&elsewhere, &format));
    assert!(digests.contains(&digest), "{digests}");
    let greeting = ["run", "--rm", "--network", "none", &other];
    assert_eq!(run(&mut command(&elsewhere, &greeting)), recipe.greeting);

    run(&mut command(&elsewhere, &["logout", &hosting.host()]));
    assert!(!succeeds(&mut command(&elsewhere, &["pull", &app])));
}

fn command(docker: &Docker, arguments: &[&str]) -> Command {
    let mut command = docker.docker();
    command.args(arguments);
    command
}

fn log_in(docker: &Docker, hosting: &Hosting, password: &str) -> Command {
    let host = hosting.host();
    command(docker, &["login", "-u", "admin", "-p", password, &host])
}
