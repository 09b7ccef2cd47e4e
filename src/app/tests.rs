//! Listener, layers and drain over real sockets, with routes of the tests' own.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::{
    listener::{Connections, Listener},
    middleware::access_log::AccessLog,
    room::Room,
    router::layered,
    shutdown::end_connections,
    tls::{Certificates, acceptor},
};
use crate::{config::TlsFiles, telemetry::Metrics};

struct Running {
    address: SocketAddr,
    connections: Connections,
    /// Lets `/slow` send its second half.
    go_on: Arc<Notify>,
}

async fn start(tls: Option<&Arc<Certificates>>) -> Running {
    let metrics = Metrics::default();
    let go_on = Arc::new(Notify::new());
    let listener = Listener {
        socket: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        tls: tls.map(|certificates| acceptor(certificates).unwrap()),
        router: layered(
            routes(Arc::clone(&go_on)),
            AccessLog::new(metrics.clone(), Vec::new()),
        ),
        connections: Connections::new(metrics),
        room: Room::new(1024, 1, Vec::new()),
    };
    let running = Running {
        address: listener.address(),
        connections: listener.connections.clone(),
        go_on,
    };
    tokio::spawn(listener.run());
    running
}

fn routes(go_on: Arc<Notify>) -> Router {
    let slow = move || {
        let go_on = Arc::clone(&go_on);
        async move {
            let halves = stream::unfold(0, move |sent| {
                let go_on = Arc::clone(&go_on);
                async move {
                    if sent == 1 {
                        go_on.notified().await;
                    }
                    let frame = Frame::data(Bytes::from_static(b"half"));
                    (sent < 2).then_some((Ok::<_, Infallible>(frame), sent + 1))
                }
            });
            Body::new(StreamBody::new(halves))
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/panic", get(|| async { panics() }))
        .route("/slow", get(slow))
}

fn panics() -> &'static str {
    panic!("on purpose")
}

fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

#[tokio::test]
async fn one_port_speaks_http_1_and_h2c() {
    let server = start(None).await;
    let one = client().build().unwrap().get(server.url("/healthz"));
    let one = one.send().await.unwrap();
    assert_eq!(
        (one.version(), one.status().as_u16()),
        (http::Version::HTTP_11, 200)
    );
    let two = client().http2_prior_knowledge().build().unwrap();
    let two = two.get(server.url("/healthz")).send().await.unwrap();
    assert_eq!(
        (two.version(), two.status().as_u16()),
        (http::Version::HTTP_2, 200)
    );
}

/// A certificate for `localhost`, and its text.
fn certificates(folder: &tempfile::TempDir) -> (Arc<Certificates>, String) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        cert: folder.path().join("crt"),
        key: folder.path().join("key"),
    };
    std::fs::write(&files.cert, pair.cert.pem()).unwrap();
    std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
    (
        Arc::new(Certificates::load(files).unwrap()),
        pair.cert.pem(),
    )
}

#[tokio::test]
async fn https_speaks_http_2_by_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let (certificates, pem) = certificates(&folder);
    let server = start(Some(&certificates)).await;
    let url = format!("https://localhost:{}/healthz", server.address.port());
    let of = |builder: reqwest::ClientBuilder| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        builder
            .tls_certs_only([root])
            .resolve("localhost", server.address)
            .build()
            .unwrap()
            .get(&url)
            .send()
    };
    assert_eq!(of(client()).await.unwrap().version(), http::Version::HTTP_2);
    assert_eq!(
        of(client().http1_only()).await.unwrap().version(),
        http::Version::HTTP_11
    );
}

#[tokio::test]
async fn a_panic_is_a_500_for_its_client_alone() {
    let server = start(None).await;
    let client = client().build().unwrap();
    let answer = client.get(server.url("/panic")).send().await.unwrap();
    assert_eq!(answer.status(), 500);
    assert!(answer.text().await.unwrap().contains("UNAVAILABLE"));
    let next = client.get(server.url("/healthz")).send().await.unwrap();
    assert_eq!(next.status(), 200);
}

#[tokio::test]
async fn an_id_is_kept_or_given() {
    let server = start(None).await;
    let client = client().build().unwrap();
    let ask = |id: &str| {
        let asked = client.get(server.url("/healthz"));
        asked.header("x-request-id", id.to_owned()).send()
    };
    assert_eq!(ask("abc").await.unwrap().headers()["x-request-id"], "abc");
    let too_long = "x".repeat(200);
    let given = ask(&too_long).await.unwrap().headers()["x-request-id"].clone();
    assert!(uuid::Uuid::parse_str(given.to_str().unwrap()).is_ok());
}

#[tokio::test]
async fn a_drain_lets_running_answers_end_and_takes_no_new_ones() {
    let server = start(None).await;
    let client = client().build().unwrap();
    let mut running = client.get(server.url("/slow")).send().await.unwrap();
    running.chunk().await.unwrap().unwrap();
    let connections = server.connections.clone();
    let drain = tokio::spawn(async move {
        end_connections(&connections, Duration::from_secs(30)).await;
    });
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!drain.is_finished());
    server.go_on.notify_one();
    assert_eq!(running.bytes().await.unwrap(), "half");
    drain.await.unwrap();
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_end_in_time() {
    let server = start(None).await;
    let client = client().build().unwrap();
    let mut running = client.get(server.url("/slow")).send().await.unwrap();
    running.chunk().await.unwrap().unwrap();
    end_connections(&server.connections, Duration::from_millis(50)).await;
    assert!(running.bytes().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let server = start(None).await;
    for said in [&b""[..], b"PRI", b"GET /healthz HTTP/1.1\r\nHost:"] {
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        // Either end of the stream is fine: some clients are told 408, others are reset.
        let ended = tokio::time::timeout(Duration::from_secs(60), idle.read_to_end(&mut answer));
        assert!(ended.await.is_ok(), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_does_not_end_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(Some(&certificates(&folder).0)).await;
    // Nothing, and the beginning of a record that says it is long.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), idle.read_to_end(&mut answer));
        assert!(ended.await.is_ok(), "{said:?}");
    }
}
