//! Thousands of connections that do nothing: what they cost, and that others do not notice.

use std::{net::SocketAddr, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{harness::get, process::Process, server::Setup};

const PATIENCE: Duration = Duration::from_secs(20);
/// A tenth of what a server should bear: the tests share the machine and its limit of open files.
const CONNECTIONS: usize = 1000;
/// The soft limit is for programs of another time.
fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
}

fn resident_bytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        << 10
}

async fn connect(address: SocketAddr, n: usize) -> TcpStream {
    // Of some clients each: one alone may not have all places.
    let own = [127, 0, 0, 2 + u8::try_from(n % 4).expect("small")];
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from((own, 0)))
        .expect("a loopback address");
    socket.connect(address).await.expect("it listens")
}

const H1: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
/// Preface, empty settings, GET of `/healthz` on stream 1.
const H2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/healthz\x01\x01x";

/// Opens connections that make one request, if any, and then nothing.
async fn open(address: SocketAddr, request: &[u8]) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = connect(address, n).await;
        stream.write_all(request).await.expect("it reads");
        if !request.is_empty() {
            let mut answer = [0; 64];
            let read = timeout(PATIENCE, stream.read(&mut answer)).await;
            assert!(read.expect("in time").expect("an answer") > 0);
        }
        idle.push(stream);
    }
    idle
}

#[tokio::test]
async fn idle_connections_cost_little_and_hold_up_nobody() {
    allow_open_files();
    // Measured: 3, 25 and 28 KiB. A kept one is parked soon, and then has some 3; when the allocator gives the rest back is
    // its own affair.
    for (what, request, most_kib) in [
        ("silent", &b""[..], 12),
        ("kept", H1, 64),
        ("HTTP/2", H2, 64),
    ] {
        let process = Process::serve(&Setup::empty().text(), &[]).await;
        let address = process.url.trim_start_matches("http://");
        let address = address.parse().expect("an address");
        for _ in 0..20 {
            get(&format!("{}/healthz", process.url)).await;
        }
        let before = resident_bytes(&process);
        let idle = open(address, request).await;
        let answer = timeout(PATIENCE, get(&format!("{}/healthz", process.url))).await;
        assert_eq!(answer.expect("in time").status, 200);
        let each = resident_bytes(&process).saturating_sub(before) / CONNECTIONS as u64;
        eprintln!("{what}: {each} bytes for each idle connection");
        assert!(each < most_kib << 10, "{what}: {each} bytes");
        drop(idle);
    }
}
