//! Docker Engine with `registry-mirrors`: it asks for `library/nginx` and tells nobody that it means
//! Docker Hub. Version 20.10 cannot read zstd layers, so it is not asked to.

use std::process::Command;

use crate::harness::{
    Client, Daemon, Image, PROJECTS, World, cold_hot_and_with_the_remotes_stopped, run, succeeds,
};

#[test]
fn docker_pulls_by_short_name_and_runs_what_it_pulled() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let docker = Docker::start(world);
        for image in world.content().images() {
            // `single:1`; what is not in library/ would need its owner.
            let name = format!("{}/{}", PROJECTS[0].owner, image.name);
            let name = if image.name.contains('/') {
                name
            } else {
                image.name.to_owned()
            };
            docker.pull_and_run(&name, image);
        }
    });
}

#[test]
fn docker_pulls_from_a_project_that_is_named_in_the_path() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let docker = Docker::start(world);
        for project in &PROJECTS {
            for image in world.content().images() {
                docker.pull_and_run(&world.behind_mirror(project, image.name), image);
            }
        }
    });
}

/// An engine that has never pulled anything.
struct Docker {
    _daemon: Daemon,
    client: Client,
}

impl Docker {
    fn start(world: &World) -> Self {
        let client = Client::new();
        let mirrors = format!("{{\"registry-mirrors\": [\"http://{}\"]}}", world.mirror());
        let config = client.write("daemon.json", &mirrors);

        let mut serve = client.command("dockerd");
        serve.args([
            "--storage-driver",
            "vfs",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ]);
        serve.args([
            "--data-root",
            &client.path("data"),
            "--exec-root",
            &client.path("exec"),
        ]);
        serve.args(["--pidfile", &client.path("pid"), "--host", &socket(&client)]);
        serve.arg("--config-file").arg(config);
        let log = client.home().join("dockerd.log");
        let daemon = Daemon::start(&mut serve, &log, || {
            succeeds(docker(&client).arg("version"))
        });
        Self {
            _daemon: daemon,
            client,
        }
    }

    fn pull_and_run(&self, name: &str, image: &Image) {
        let reference = format!("{name}:{}", image.tag);
        run(self.docker().args(["pull", &reference]));

        let digests = run(self.docker().args([
            "image",
            "inspect",
            "--format",
            "{{.RepoDigests}}",
            &reference,
        ]));
        assert!(digests.contains(&image.digest), "{reference}: {digests}");

        let output = run(self
            .docker()
            .args(["run", "--rm", "--network", "none", &reference]));
        assert_eq!(output, image.greeting(), "{reference}");
    }

    fn docker(&self) -> Command {
        docker(&self.client)
    }
}

fn docker(client: &Client) -> Command {
    let mut docker = client.command("docker");
    docker.args(["--host", &socket(client)]);
    docker
}

fn socket(client: &Client) -> String {
    format!("unix://{}", client.path("docker.sock"))
}
