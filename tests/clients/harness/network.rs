//! Free ports, and the HTTP requests that the tests make themselves.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

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
    exchange(
        address,
        &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"),
    )
}

/// One call of the management API (its path without the prefix) by this user: the status, and the answer's body.
pub(crate) fn call_api(
    address: SocketAddr,
    login: (&str, &str),
    call: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let (method, path) = call.split_once(' ').expect("a method and a path");
    let login = BASE64_STANDARD.encode(format!("{}:{}", login.0, login.1));
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let request = format!(
        "{method} /api/v1{path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic {login}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = exchange(address, &request).expect("the server answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let body = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
    (status.expect("a status"), body)
}

fn exchange(address: SocketAddr, request: &str) -> Option<String> {
    let patience = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
