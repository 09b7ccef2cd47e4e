//! The product document `002_…`, walked through step by step: what is pushed to a central registry goes to a cluster's Docker
//! registry, and a pod runs from there.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Client, Hosting, PASSWORD, Recipe, Remote, call_api, eventually, run, succeeds,
};
use crate::podman::{POLICY, Podman};

/// The central registry: with Docker Hub as the default project, which nobody can reach from here.
const SETTINGS: &str = "[access]\nadmin_password = \"admin's own password\"\n\
     [replication]\nevent_delay = \"50ms\"\n\
     [[remote]]\nname = \"docker.io\"\nprovider = \"docker-hub\"\nurls = [\"http://127.0.0.1:1\"]\n\
     [[project]]\nname = \"docker.io\"\nkind = \"mirror\"\nremote = \"docker.io\"\ndefault = true\n";
/// "Username with Push/Delete permissions for the target registry", and the password.
const ACCESS: (&str, &str) = ("cluster1", "the cluster's secret");
const RULE: &str = "cluster1-registry-replication";

#[test]
fn seed_002_4e55066f564b3903_from_a_central_registry_to_a_pod() {
    for program in ["registry", "docker-registry"] {
        eprintln!("to {program}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cluster = Remote::with_login(program, &folder.path().join("cluster"), ACCESS);
        let central = Central::start();
        central.registry_endpoint(&cluster);
        central.replication_rule();
        let digest = central.push_an_image(&cluster);
        central.monitor(&digest);
        central.deletions_follow(&cluster);
        // From here on nobody can reach the source.
        drop(central);
        run_a_pod(&cluster, &digest);
    }
}

/// The central registry and a machine that pushes to it.
struct Central {
    hosting: Hosting,
    machine: Podman,
}

impl Central {
    fn start() -> Self {
        let hosting = Hosting::with(SETTINGS);
        let machine = podman(&hosting.host(), ("admin", PASSWORD));
        Self { hosting, machine }
    }

    fn call(&self, call: &str, body: Option<&Value>) -> (u16, Value) {
        call_api(self.hosting.address(), ("admin", PASSWORD), call, body)
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(&format!("GET {path}"), None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn make(&self, path: &str, body: &Value) -> Value {
        let (status, made) = self.call(&format!("POST {path}"), Some(body));
        assert_eq!(status, 201, "{path}: {made}");
        made
    }

    /// Step 1: provider, name, URL, access ID and secret; "test connection", then "OK".
    fn registry_endpoint(&self, cluster: &Remote) {
        let mut endpoint = json!({
            "provider": "docker-registry", "name": "cluster1-registry",
            "urls": [format!("http://{}", cluster.address())],
            "username": ACCESS.0, "password": "another secret", "verify_tls": false,
        });
        let (_, tested) = self.call("POST /remotes/test", Some(&endpoint));
        assert_eq!(tested["auth"], "refused", "{tested}");
        endpoint["password"] = json!(ACCESS.1);
        let (_, tested) = self.call("POST /remotes/test", Some(&endpoint));
        assert_eq!(
            (&tested["healthy"], &tested["auth"]),
            (&json!(true), &json!("accepted"))
        );
        self.make("/remotes", &endpoint);
    }

    /// Step 2, with everything as in the example: all of it, the same namespace, on push, deletions too.
    fn replication_rule(&self) {
        // The project's images take the place of Docker Hub's official ones: that must be said.
        let mut library = json!({"name": "library", "kind": "hosted"});
        let (status, refused) = self.call("POST /projects", Some(&library));
        assert_eq!(
            (status, &refused["errors"][0]["field"]),
            (400, &json!("hide_default"))
        );
        library["hide_default"] = json!(true);
        self.make("/projects", &library);
        let rule = json!({
            "name": RULE, "mode": "push", "remotes": ["cluster1-registry"],
            "source": {"project": "library", "filters": [
                {"type": "name", "value": ""},
                {"type": "tag", "value": ""},
                {"type": "label", "value": []},
                {"type": "resource", "value": "all"},
            ]},
            "destination": {"project": ""},
            "trigger": {"type": "event"}, "propagate_delete": true,
            "bandwidth": "-1", "transfer_bandwidth": -1, "override": true, "enabled": true,
        });
        let made = self.make("/rules", &rule);
        assert_eq!(
            (&made["enabled"], &made["override"]),
            (&json!(true), &json!(true))
        );
    }

    /// Step 3, "push an image": its digest. What a pod needs besides goes the same way.
    fn push_an_image(&self, cluster: &Remote) -> String {
        let digest = self.push("alpine:latest", "CMD [\"sh\"]");
        self.push("pause:1", "ENTRYPOINT [\"sleep\", \"3600\"]");
        for name in ["alpine:latest", "pause:1"] {
            eventually(|| is_at(cluster, name).then_some(()));
        }
        digest
    }

    fn push(&self, name: &str, last_line: &str) -> String {
        let folder = Client::new();
        let recipe = Recipe::write(folder.home(), "alpine");
        let lines = format!("FROM scratch\nADD base.tar /\nENV PATH=/bin\n{last_line}\n");
        std::fs::write(recipe.folder.join("Dockerfile"), lines).expect("write a Dockerfile");
        let image = format!("{}/library/{name}", self.hosting.host());
        let mut build = command(&self.machine, &["build", "--isolation", "chroot"]);
        run(build.args(["--tag", &image]).arg(&recipe.folder));
        let file = self.machine.client.path("digest");
        run(&mut command(
            &self.machine,
            &["push", "--digestfile", &file, &image],
        ));
        std::fs::read_to_string(file).expect("the digest of a push")
    }

    /// Step 3, "monitor": the job that a push began, and its record in detail.
    fn monitor(&self, digest: &str) {
        let job = eventually(|| {
            let jobs = self.get(&format!("/rules/{RULE}/tasks"));
            let jobs = jobs["items"].as_array()?.clone();
            let is_it =
                |job: &Value| job["repository"] == "library/alpine" && job["status"] == "Succeeded";
            jobs.into_iter().find(is_it)
        });
        assert_eq!(job["destination"], "library/alpine", "{job}");
        let execution = self.get(&format!("/executions/{}", text(&job["execution"])));
        assert_eq!(
            (&execution["trigger"], &execution["success_rate"]),
            (&json!("event"), &json!(1.0)),
            "{execution}"
        );
        let log = self.get(&format!("/tasks/{}/log", text(&job["id"])));
        assert!(text(&log).contains(digest), "{log}");
    }

    /// "Delete remote resources when locally deleted."
    fn deletions_follow(&self, cluster: &Remote) {
        self.push("old:1", "CMD [\"cat\"]");
        eventually(|| is_at(cluster, "old:1").then_some(()));
        let (status, _) = self.call("DELETE /artifact?name=library/old&reference=1", None);
        assert_eq!(status, 204);
        eventually(|| (!is_at(cluster, "old:1")).then_some(()));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A Podman that is logged in there, and knows no other registry.
fn podman(host: &str, login: (&str, &str)) -> Podman {
    let client = Client::new();
    let registries = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    client.write("registries.conf", &registries);
    client.write("auth.json", "{}");
    client.write("containers.conf", "");
    client.write("auth.json", "{}");
    client.write("containers.conf", "");
    client.write(".config/containers/policy.json", POLICY);
    let podman = Podman { client };
    run(&mut command(
        &podman,
        &["login", "-u", login.0, "-p", login.1, host],
    ));
    podman
}

fn command(podman: &Podman, arguments: &[&str]) -> Command {
    let mut command = podman.podman();
    command.env("REGISTRY_AUTH_FILE", podman.client.path("auth.json"));
    command.env("CONTAINERS_CONF", podman.client.path("containers.conf"));
    command.args(arguments);
    command
}

/// Is there an image of this name in the cluster's `library`?
fn is_at(cluster: &Remote, name: &str) -> bool {
    let client = Client::new();
    let login = format!("{}:{}", ACCESS.0, ACCESS.1);
    let image = format!("docker://{}/library/{name}", cluster.address());
    let inspect = [
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &login,
        &image,
    ];
    succeeds(client.command("skopeo").args(inspect))
}

/// `kubectl run alpine-test --image=<cluster registry>/library/alpine:latest -- sleep 3600`
fn run_a_pod(cluster: &Remote, digest: &str) {
    let host = cluster.address().to_string();
    let image = format!("{host}/library/alpine:latest");
    let node = Node(podman(&host, ACCESS));
    let pause = format!("{host}/library/pause:1");
    run(&mut command(&node.0, &["pull", "--quiet", &pause]));
    // No limits above this process's own: nobody may raise them in a container.
    let settings = format!(
        "[engine]\ninfra_image = \"{pause}\"\n\
         [containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"
    );
    node.0.client.write("containers.conf", &settings);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alpine-test"},
        "spec": {"hostNetwork": true, "containers": [
            {"name": "alpine", "image": image, "args": ["sleep", "3600"]},
        ]},
    });
    let file = node.0.client.write("pod.yaml", &pod.to_string());
    run(command(&node.0, &["kube", "play"]).arg(file));
    let asked = "{{.State.Status}} {{.ImageName}} {{.ImageDigest}}";
    let inspect = ["inspect", "--format", asked, "alpine-test-alpine"];
    let container = run(&mut command(&node.0, &inspect));
    assert_eq!(container.trim(), format!("running {image} {digest}"));
    let runs = run(&mut command(
        &node.0,
        &["top", "alpine-test-alpine", "args"],
    ));
    assert!(runs.contains("sleep 3600"), "{runs}");
}

/// Where pods run; none of them outlives it.
struct Node(Podman);

impl Drop for Node {
    fn drop(&mut self) {
        let removed = command(&self.0, &["pod", "rm", "--all", "--force", "--time", "0"]);
        succeeds(&mut { removed });
    }
}
