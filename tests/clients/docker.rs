//! Docker Engine with `registry-mirrors`: it asks for `library/nginx` and tells nobody that it means
//! Docker Hub. Other registries it reaches by the path. Version 20.10 cannot read zstd layers, so it is not asked to.

use std::{net::SocketAddr, process::Command};

use crate::harness::{
    Client, Daemon, Image, World, cold_hot_and_with_the_remotes_stopped, run, succeeds,
};

#[test]
fn docker_pulls_by_short_name_and_by_path_and_runs_what_it_pulled() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let docker = Docker::start(world);
        let mut projects = world.projects();
        let (default, content) = projects.next().expect("the default project");
        for image in content.images() {
            // `single:1`; what has a `/` would need its owner.
            let is_short = !image.name.contains('/');
            let long = format!("{}/{}", default.owner, image.name);
            docker.pull_and_run(if is_short { image.name } else { &long }, image);
        }
        for (project, content) in projects {
            for image in content.images() {
                docker.pull_and_run(&world.behind_mirror(project, image.name), image);
            }
        }
    });
}

/// An engine that has never pulled anything.
pub(crate) struct Docker {
    _daemon: Daemon,
    client: Client,
}

impl Docker {
    pub(crate) fn start(world: &World) -> Self {
        Self::behind(world.mirror())
    }

    /// With the mirror at this address.
    pub(crate) fn behind(mirror: SocketAddr) -> Self {
        let client = Client::new();
        let mirrors = format!("{{\"registry-mirrors\": [\"http://{mirror}\"]}}");
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
        assert_eq!(output, image.greeting, "{reference}");
    }

    /// Gives the command its `config.json`, with logins.
    pub(crate) fn configure(&self, config: &str) {
        self.client.write(".docker/config.json", config);
    }

    pub(crate) fn docker(&self) -> Command {
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
