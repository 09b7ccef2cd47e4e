//! What an engine knows of Docker Hub's login stays with it. (Logins to the server itself: `push/`.)

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    docker::Docker,
    harness::{PASSWORD, SETTINGS, World, run},
};

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
