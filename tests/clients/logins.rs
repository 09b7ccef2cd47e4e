//! Real clients log in, push and pull what is private, and are turned away; and what an engine knows of Docker Hub's login
//! stays with it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    docker::Docker,
    harness::{Client, World, run, succeeds},
};

const PASSWORD: &str = "admin's own password";
const SETTINGS: &str = "[access]\nadmin_password = \"admin's own password\"\n\
     [[project]]\nname = \"team\"\nkind = \"hosted\"\nvisibility = \"private\"\n";

/// What each client does with the registry: log in with a password, copy a public image to a private name, get it back.
fn log_in_push_and_pull(
    log_in: impl Fn(&str) -> Command,
    push: impl Fn() -> Command,
    pull: impl Fn() -> Command,
) {
    assert!(!succeeds(&mut pull()), "nothing is there yet");
    assert!(!succeeds(&mut push()), "a push without a login");
    assert!(!succeeds(&mut log_in("a wrong password")));
    run(&mut log_in(PASSWORD));
    run(&mut push());
    run(&mut pull());
}

#[test]
fn crane_logs_in_pushes_and_pulls() {
    let world = World::with(SETTINGS);
    let host = world.mirror().to_string();
    let (project, content) = world.projects().next().expect("a project");
    let from = world.behind_mirror(project, content.single.name);
    let from = format!("{from}:{}", content.single.tag);
    let client = Client::new();
    let crane = |arguments: &[&str]| {
        let mut crane = client.command("crane");
        crane.arg("--insecure").args(arguments);
        crane
    };
    let to = format!("{host}/team/app:1");
    log_in_push_and_pull(
        |password| crane(&["auth", "login", &host, "-u", "admin", "-p", password]),
        || crane(&["copy", &from, &to]),
        || crane(&["pull", &to, &client.path("image.tar")]),
    );
    run(&mut crane(&["delete", &to]));
    assert!(run(&mut crane(&["ls", &format!("{host}/team/app")])).is_empty());
}

#[test]
fn podman_and_skopeo_share_a_login() {
    let world = World::with(SETTINGS);
    let host = world.mirror().to_string();
    let (project, content) = world.projects().next().expect("a project");
    let from = world.behind_mirror(project, content.single.name);
    let from = format!("docker://{from}:{}", content.single.tag);
    let client = Client::new();
    let auth = client.path("auth.json");
    let to = format!("docker://{host}/team/app:1");
    let folder = format!("dir:{}", client.path("image"));
    let copy = |source: &str, destination: &str| {
        let mut skopeo = client.command("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--authfile", &auth]);
        skopeo.args(["--src-tls-verify=false", "--dest-tls-verify=false"]);
        skopeo.args([source, destination]);
        skopeo
    };
    log_in_push_and_pull(
        |password| {
            let mut podman = client.command("podman");
            podman.args(["login", "--tls-verify=false", "--authfile", &auth]);
            podman.args(["-u", "admin", "-p", password, &host]);
            podman
        },
        || copy(&from, &to),
        || copy(&to, &folder),
    );
}

#[test]
fn helm_logs_in_and_pushes_a_chart() {
    let world = World::with(SETTINGS);
    let host = world.mirror().to_string();
    let client = Client::new();
    std::fs::create_dir_all(client.path("app")).expect("a folder");
    let chart = "apiVersion: v2\nname: app\nversion: 0.1.0\n";
    client.write("app/Chart.yaml", chart);
    let helm = |arguments: &[&str]| {
        let mut helm = client.command("helm");
        helm.args(arguments);
        helm
    };
    run(&mut helm(&[
        "package",
        &client.path("app"),
        "-d",
        &client.path("."),
    ]));
    let packed = client.path("app-0.1.0.tgz");
    let (charts, chart) = (
        format!("oci://{host}/team"),
        format!("oci://{host}/team/app"),
    );
    log_in_push_and_pull(
        |password| {
            let login = [
                "registry",
                "login",
                "--plain-http",
                "-u",
                "admin",
                "-p",
                password,
            ];
            helm(&[&login[..], &[&host]].concat())
        },
        || helm(&["push", "--plain-http", &packed, &charts]),
        || {
            helm(&[
                "show",
                "chart",
                "--plain-http",
                &chart,
                "--version",
                "0.1.0",
            ])
        },
    );
}

#[test]
fn docker_logs_in_pushes_and_pulls() {
    let world = World::with(SETTINGS);
    let host = world.mirror().to_string();
    let docker = Docker::start(&world);
    let (project, content) = world.projects().next().expect("a project");
    let from = world.behind_mirror(project, content.single.name);
    let from = format!("{from}:{}", content.single.tag);
    let to = format!("{host}/team/app:1");
    run(docker.docker().args(["pull", &from]));
    run(docker.docker().args(["tag", &from, &to]));
    log_in_push_and_pull(
        |password| {
            let mut login = docker.docker();
            login.args(["login", "-u", "admin", "-p", password, &host]);
            login
        },
        || {
            let mut push = docker.docker();
            push.args(["push", &to]);
            push
        },
        || {
            let mut pull = docker.docker();
            pull.args(["pull", &to]);
            pull
        },
    );
    run(docker.docker().args(["logout", &host]));
    assert!(!succeeds(docker.docker().args(["pull", &to])));
}

/// Hands on what it gets, and remembers the bytes.
struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn before(remote: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(remote).expect("the remote takes it");
                let log = Arc::clone(&log);
                let ends = (client.try_clone(), server.try_clone());
                let (Ok(client_end), Ok(server_end)) = ends else {
                    continue;
                };
                thread::spawn(move || hand_on(client, server, Some(&log)));
                thread::spawn(move || hand_on(server_end, client_end, None));
            }
        });
        Self { address, seen }
    }

    fn text(&self) -> String {
        let seen = self.seen.lock().expect("no panic");
        String::from_utf8_lossy(&seen).into_owned()
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, log: Option<&Mutex<Vec<u8>>>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(log) = log {
            log.lock().expect("no panic").extend(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Docker is logged in to Docker Hub and to the mirror, by either of its addresses, and pulls by short names.
#[test]
fn a_login_for_docker_hub_reaches_neither_logs_nor_remotes() {
    const HUB_PASSWORD: &str = "dckr_pat_0f1e2d3c4b5a";
    let hub_login = BASE64_STANDARD.encode(format!("hubuser-7f3a:{HUB_PASSWORD}"));
    let mut recorder = None;
    let world = World::through(SETTINGS, |remote| {
        let before = Recorder::before(remote);
        let address = before.address;
        recorder.get_or_insert_with(Vec::new).push(before);
        address
    });
    let recorders = recorder.expect("there are remotes");
    for address in [world.mirror(), world.pull_only()] {
        let docker = Docker::behind(address);
        let config = format!(
            "{{\"auths\": {{\"https://index.docker.io/v1/\": {{\"auth\": \"{hub_login}\"}}, \
             \"{}\": {{\"auth\": \"{}\"}}}}}}",
            world.mirror(),
            BASE64_STANDARD.encode(format!("admin:{PASSWORD}")),
        );
        docker.configure(&config);
        let (default, content) = world.projects().next().expect("the default project");
        let image = &content.single;
        let name = format!("{}/{}:{}", default.owner, image.name, image.tag);
        run(docker.docker().args(["pull", &name]));
    }
    let mut told: Vec<String> = recorders.iter().map(Recorder::text).collect();
    assert!(
        told.iter().any(|text| text.contains("GET /v2/")),
        "it was seen"
    );
    told.push(world.log());
    for text in told {
        for secret in [
            "hubuser-7f3a",
            HUB_PASSWORD,
            hub_login.trim_end_matches('='),
        ] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}
