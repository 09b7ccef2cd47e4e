//! Podman with the mirror in `registries.conf`, where the path carries the registry.

use std::process::Command;

use crate::harness::{Client, Image, PROJECTS, World, cold_hot_and_with_the_remotes_stopped, run};

#[test]
fn podman_pulls_and_runs_what_it_pulled() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let podman = Podman::new(world);
        for (project, content) in world.projects() {
            for image in content.images_and_zstd() {
                podman.pull_and_run(&project.reference(image), image);
            }
        }
    });
}

/// A `registries.conf` that sends each registry's name to the mirror, and nowhere else: what stands
/// behind the mirror is a port where nobody listens.
pub(crate) fn registries(world: &World) -> String {
    let mirror = world.mirror();
    let tables = PROJECTS.iter().map(|project| {
        let host = project.host;
        format!(
            "[[registry]]\nprefix = \"{host}\"\nlocation = \"127.0.0.1:1/{host}\"\ninsecure = true\n\
             [[registry.mirror]]\nlocation = \"{mirror}/{host}\"\ninsecure = true\n"
        )
    });
    tables.collect()
}

/// A `policy.json` for images without signatures.
pub(crate) const POLICY: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;

/// A Podman that has never pulled anything.
pub(crate) struct Podman {
    pub(crate) client: Client,
}

impl Podman {
    fn new(world: &World) -> Self {
        let client = Client::new();
        client.write("registries.conf", &registries(world));
        client.write("policy.json", POLICY);
        Self { client }
    }

    fn pull_and_run(&self, reference: &str, image: &Image) {
        let policy = self.client.path("policy.json");
        run(self
            .podman()
            .args(["pull", "--quiet", "--signature-policy", &policy, reference]));

        let digests = run(self.podman().args([
            "image",
            "inspect",
            "--format",
            "{{.Digest}} {{.RepoDigests}}",
            reference,
        ]));
        assert!(digests.contains(&image.digest), "{reference}: {digests}");
        assert_eq!(self.greeting(reference), image.greeting, "{reference}");
    }

    /// What a container prints.
    pub(crate) fn greeting(&self, reference: &str) -> String {
        // No limits above this process's own: nobody may raise them in a container.
        let limits = [
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ];
        run(self
            .podman()
            .args(["run", "--rm", "--network", "none"])
            .args(limits)
            .arg(reference))
    }

    pub(crate) fn podman(&self) -> Command {
        let mut podman = self.client.command("podman");
        podman.env(
            "CONTAINERS_REGISTRIES_CONF",
            self.client.path("registries.conf"),
        );
        podman.args([
            "--root",
            &self.client.path("root"),
            "--runroot",
            &self.client.path("run"),
        ]);
        podman.args([
            "--tmpdir",
            &self.client.path("tmp"),
            "--storage-driver",
            "vfs",
        ]);
        podman.args([
            "--runtime",
            "runc",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
        ]);
        podman
    }
}
