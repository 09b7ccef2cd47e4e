//! containerd with a `hosts.toml` for each registry, so that it asks with `?ns=`; by its own client
//! `ctr`, and by the CRI call that a kubelet makes.

use std::process::Command;

use crate::harness::{
    Client, Daemon, Image, PROJECTS, World, cold_hot_and_with_the_remotes_stopped, run, succeeds,
};

#[test]
fn containerd_pulls_by_ns_and_runs_what_it_pulled() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let containerd = Containerd::start(world);
        for (project, content) in world.projects() {
            for image in content.images_and_zstd() {
                containerd.pull(&project.reference(image), image);
                containerd.run(&project.reference(image), image);
            }
        }
    });
}

#[test]
fn containerd_pulls_for_a_kubelet_through_cri() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let containerd = Containerd::start(world);
        for (project, content) in world.projects() {
            for image in content.images_and_zstd() {
                containerd.pull_by_cri(&project.reference(image), image);
            }
        }
    });
}

/// A containerd that has never pulled anything.
pub(crate) struct Containerd {
    _daemon: Daemon,
    client: Client,
}

impl Containerd {
    fn start(world: &World) -> Self {
        let containerd = Self::empty();
        for project in &PROJECTS {
            containerd.client.write(
                &format!("certs.d/{}/hosts.toml", project.host),
                &hosts(world),
            );
        }
        containerd
    }

    /// With no hosts of its own.
    pub(crate) fn empty() -> Self {
        let client = Client::new();
        let config = client.write("config.toml", &settings(&client));
        let mut serve = client.command("containerd");
        serve.arg("--config").arg(config);
        let log = client.home().join("containerd.log");
        let daemon = Daemon::start(&mut serve, &log, || succeeds(ctr(&client).arg("version")));
        Self {
            _daemon: daemon,
            client,
        }
    }

    fn pull(&self, reference: &str, image: &Image) {
        let hosts = self.client.path("certs.d");
        run(self.ctr().args([
            "images",
            "pull",
            "--snapshotter",
            "native",
            "--hosts-dir",
            &hosts,
            reference,
        ]));
        self.assert_holds("default", reference, image);
    }

    fn run(&self, reference: &str, image: &Image) {
        let name = format!("run-{}", image.name.replace('/', "-"));
        let output =
            run(self
                .ctr()
                .args(["run", "--rm", "--snapshotter", "native", reference, &name]));
        assert_eq!(output, image.greeting, "{reference}");
    }

    fn pull_by_cri(&self, reference: &str, image: &Image) {
        run(self
            .client
            .command("cri-pull")
            .arg(self.client.path("containerd.sock"))
            .arg(reference));
        self.assert_holds("k8s.io", reference, image);
    }

    /// The tag stands for the digest that was pushed, and all that this platform needs is there.
    fn assert_holds(&self, namespace: &str, reference: &str, image: &Image) {
        let filter = format!("name=={reference}");
        let list = run(self.ctr().args([
            "-n",
            namespace,
            "images",
            "check",
            "--snapshotter",
            "native",
            &filter,
        ]));
        let line = list.lines().nth(1).unwrap_or_default();
        assert!(line.contains(&image.digest), "{reference}: {list}");
        assert!(
            line.contains("complete") && !line.contains("incomplete"),
            "{reference}: {list}"
        );
    }

    /// What a name stands for here.
    pub(crate) fn digest(&self, reference: &str) -> String {
        let list = run(self
            .ctr()
            .args(["images", "list", &format!("name=={reference}")]));
        let line = list.lines().nth(1).expect("the image is listed");
        let digest = line.split_whitespace().nth(2);
        digest.expect("a digest").to_owned()
    }

    pub(crate) fn ctr(&self) -> Command {
        ctr(&self.client)
    }
}

fn ctr(client: &Client) -> Command {
    let mut ctr = client.command("ctr");
    ctr.args(["--address", &client.path("containerd.sock")]);
    ctr
}

/// `server` is the mirror too, so that there is nowhere else to fall back to.
fn hosts(world: &World) -> String {
    let mirror = world.mirror();
    format!(
        "server = \"http://{mirror}\"\n[host.\"http://{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    )
}

fn settings(client: &Client) -> String {
    let home = client.home().display();
    format!(
        r#"
        version = 2
        root = "{home}/root"
        state = "{home}/state"
        [grpc]
        address = "{home}/containerd.sock"
        [ttrpc]
        address = "{home}/containerd.sock.ttrpc"
        [plugins."io.containerd.grpc.v1.cri"]
        disable_cgroup = true
        [plugins."io.containerd.grpc.v1.cri".containerd]
        snapshotter = "native"
        [plugins."io.containerd.grpc.v1.cri".cni]
        bin_dir = "{home}/cni"
        conf_dir = "{home}/cni"
        [plugins."io.containerd.grpc.v1.cri".registry]
        config_path = "{home}/certs.d"
        "#
    )
}
