//! Free ports, and the one HTTP question that the harness asks itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// An address on loopback that nobody listens on.
pub(super) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
    listener.local_addr().expect("the address of a listener")
}

/// Whether an HTTP server at `address` answers `GET path` with 200.
pub(super) fn answers_ok(address: SocketAddr, path: &str) -> bool {
    get(address, path).is_some_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
