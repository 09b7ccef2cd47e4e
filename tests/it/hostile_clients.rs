//! Clients that send nonsense, too much, or too slowly: each gets its answer or its end, and nobody else notices.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    harness::{Client, FakeRegistry, Image, ImageBuilder, On, get},
    server::{Setup, TestServer},
};

/// How long a wait may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(20);

async fn scene() -> (FakeRegistry, TestServer, Image) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(300_000).build();
    hub.put_image("library/app", "1", &image);
    let server = Setup::hub(&hub).start().await;
    (hub, server, image)
}

fn address(server: &TestServer) -> &str {
    server.url().trim_start_matches("http://")
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(address(server))
        .await
        .expect("it listens")
}

/// What the server says until it closes; an answer may be followed by a reset.
async fn said(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The first line of the answer to these bytes.
async fn status_line(server: &TestServer, request: &[u8]) -> String {
    let mut stream = connect(server).await;
    // It may close before it has read everything.
    let _ = stream.write_all(request).await;
    let answer = said(&mut stream).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

async fn assert_alive(server: &TestServer, image: &Image) {
    let answer = get(&server.manifest_url("library/app", "1")).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &image.root_manifest().bytes)
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_with_431() {
    let (_hub, server, image) = scene().await;
    let fill = |bytes: usize| "a".repeat(bytes);
    for request in [
        format!(
            "GET /v2/ HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n",
            fill(40_000)
        ),
        format!("GET /v2/{} HTTP/1.1\r\nhost: x\r\n\r\n", fill(40_000)),
        // Without an end, so that no limit but the server's ends it.
        format!("GET /v2/ HTTP/1.1\r\nhost: x\r\nx-large: {}", fill(60_000)),
    ] {
        let line = status_line(&server, request.as_bytes()).await;
        let right = line.starts_with("HTTP/1.1 431") || line.starts_with("HTTP/1.1 414");
        assert!(right, "{line}");
    }
    let usual = format!(
        "GET /v2/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        fill(12_000)
    );
    let line = status_line(&server, usual.as_bytes()).await;
    assert!(
        !line.contains(" 431") && !line.is_empty(),
        "large tokens are usual: {line}"
    );
    assert_alive(&server, &image).await;
}

#[tokio::test]
async fn h2_headers_that_are_too_large_are_refused() {
    let (_hub, server, image) = scene().await;
    let h2c = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let asked = h2c
        .get(server.manifest_url("library/app", "1"))
        .header("x-large", "a".repeat(100_000));
    let refused = asked.send().await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 431));
    let answer = h2c
        .get(server.manifest_url("library/app", "1"))
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_alive(&server, &image).await;
}

#[tokio::test]
async fn a_body_on_a_get_is_not_waited_for_and_not_read_without_end() {
    let (_hub, server, image) = scene().await;
    let layer = &image.layers()[0];
    assert_alive(&server, &image).await;
    // Dribbled: some of it, and then nothing.
    let mut stream = connect(&server).await;
    let head = format!(
        "GET /v2/library/app/blobs/{layer} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc"
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let began = Instant::now();
    let mut first = [0; 12];
    let answered = timeout(PATIENCE, stream.read_exact(&mut first)).await;
    answered.expect("in time").expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
    drop(stream);
    // Endless: as fast as it can be sent.
    let mut stream = connect(&server).await;
    let head =
        "GET /v2/library/app/manifests/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let mut sent = 0_usize;
    let flood = async {
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
    };
    timeout(PATIENCE, flood).await.expect("the server hangs up");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert_alive(&server, &image).await;
}

#[tokio::test]
async fn each_bad_part_of_a_request_has_its_code() {
    let (hub, server, _image) = scene().await;
    let long = "a".repeat(300);
    let sha = "0".repeat(64);
    for (path, status, code) in [
        ("library/App/manifests/1".to_owned(), 400, "NAME_INVALID"),
        (format!("{long}/manifests/1"), 400, "NAME_INVALID"),
        ("library/../app/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("library/%2e%2e/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("library//app/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("library/a%00b/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("library/a%ff/tags/list".to_owned(), 400, "NAME_INVALID"),
        (
            "library/app/blobs/sha256:00".to_owned(),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("library/app/blobs/sha256:{}", "G".repeat(64)),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("library/app/blobs/sha256:{}", "A".repeat(64)),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("library/app/blobs/md5:{}", "0".repeat(32)),
            400,
            "DIGEST_INVALID",
        ),
        ("library/app/blobs/1".to_owned(), 400, "DIGEST_INVALID"),
        ("library/app/referrers/1".to_owned(), 400, "DIGEST_INVALID"),
        (
            format!("library/app/manifests/sha256:{}", "0".repeat(63)),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("library/app/manifests/{}", "t".repeat(129)),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            format!("library/app/manifests/sha256:{sha}"),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            format!("library/app/blobs/sha256:{sha}"),
            404,
            "BLOB_UNKNOWN",
        ),
        ("library/app/tags/list?n=x".to_owned(), 400, "UNSUPPORTED"),
        ("library/app/tags/list?n=-1".to_owned(), 400, "UNSUPPORTED"),
        ("app".to_owned(), 404, "UNSUPPORTED"),
    ] {
        // By hand: clients tidy paths up.
        let request = format!("GET /v2/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut stream = connect(&server).await;
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let answer = said(&mut stream).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(
            line.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {line}"
        );
        assert!(
            answer.contains(&format!("\"code\":\"{code}\"")),
            "{path}: {answer}"
        );
    }
    let asked = hub.requests().len();
    assert!(asked <= 4, "{asked}: what cannot be there is not asked for");
}

#[tokio::test]
async fn each_bad_range_is_ignored_or_refused_as_http_has_it() {
    let (_hub, server, image) = scene().await;
    let layer = &image.layers()[0];
    let url = server.blob_url("library/app", layer);
    assert_eq!(get(&url).await.status, 200);
    for (range, status) in [
        ("bytes=300000-", 416),
        ("bytes=-0", 416),
        ("bytes=99999999999999999999-", 416),
        ("bytes=5-1", 200),
        ("bytes=a-b", 200),
        ("lines=1-2", 200),
        ("bytes=0-0,2-2,4-4", 206),
    ] {
        let answer = Client::new()
            .send(http::Method::GET, &url, &[("range", range)])
            .await;
        assert_eq!(answer.status, status, "{range}");
        if status == 416 {
            assert_eq!(answer.error_code(), "SIZE_INVALID", "{range}");
            assert_eq!(answer.header("content-range"), "bytes */300000", "{range}");
        }
    }
    let many = format!(
        "bytes={}",
        (0..2000)
            .map(|n| format!("{n}-{n}"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let answer = Client::new()
        .send(http::Method::GET, &url, &[("range", &many)])
        .await;
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));
}

/// Opens streams and takes each back at once (CVE-2023-44487).
async fn rapid_resets(server: &TestServer, streams: u32) {
    let mut stream = connect(server).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for n in 0..streams {
        let id = (2 * n + 1).to_be_bytes();
        let path = format!("/v2/library/app/manifests/t{n}");
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).expect("short")];
        block.extend(path.bytes());
        block.extend([0x01, 1, b'x']);
        bytes.extend([0, 0, u8::try_from(block.len()).expect("short"), 1, 5]);
        bytes.extend(id);
        bytes.extend(block);
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(id);
        bytes.extend([0, 0, 0, 8]);
    }
    // It hangs up long before the end.
    let _ = stream.write_all(&bytes).await;
    let _ = said(&mut stream).await;
}

#[tokio::test]
async fn streams_opened_and_reset_at_once_end_the_connection_and_ask_the_remote_for_little() {
    let (hub, server, image) = scene().await;
    rapid_resets(&server, 20_000).await;
    assert_alive(&server, &image).await;
    let asked = hub.count(On::manifest());
    assert!(asked < 2000, "{asked} requests to the remote");
}

#[tokio::test]
async fn a_flood_of_waiting_requests_leaves_others_what_they_came_for() {
    let (hub, server, image) = scene().await;
    assert_alive(&server, &image).await;
    let hold = hub.hold(On::manifest().repository("library/other"));
    let h2c = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let url = server.manifest_url("library/other", &format!("t{n}"));
            tokio::spawn(h2c.get(url).send())
        })
        .collect();
    hold.reached(1).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = timeout(PATIENCE, get(&format!("{}{path}", server.url()))).await;
        assert_eq!(answer.expect("an answer").status, 200, "{path}");
    }
    let cached = timeout(
        PATIENCE,
        get(&server.manifest_url("library/app", &image.root)),
    )
    .await;
    assert_eq!(cached.expect("an answer").status, 200);
    hold.release();
    for asked in flood {
        let answer = asked.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), 404);
    }
}
