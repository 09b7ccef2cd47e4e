//! How clients connect: HTTP/1.1, h2c, HTTPS with HTTP/2 by ALPN, certificates that change, the pull-only listener.

use std::{fs, path::Path, time::Duration};

use http::Version;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    harness::{Authority, Client, FakeRegistry, Identity, Image, ImageBuilder, get},
    server::{Setup, TestServer},
};

/// How long a wait may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(15);

async fn hub() -> (FakeRegistry, Image) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(300_000).build();
    hub.put_image("library/app", "1", &image);
    (hub, image)
}

/// Whole seconds are not to be trusted: the files get times of their own.
fn write_pair(folder: &Path, identity: &Identity, age: u64) {
    for (name, text) in [
        ("server.crt", &identity.certificate),
        ("server.key", &identity.key),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        let written = std::time::SystemTime::now() - Duration::from_secs(age);
        fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(written))
            .expect("a time");
    }
}

async fn https_server(hub: &FakeRegistry, files: &TempDir) -> TestServer {
    let path = |name: &str| files.path().join(name).display().to_string();
    let tls = format!(
        "[server.tls]\ncert = \"{}\"\nkey = \"{}\"",
        path("server.crt"),
        path("server.key")
    );
    Setup::hub(hub)
        .section(&tls)
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await
}

#[tokio::test]
async fn http_1_and_h2c_are_served_on_one_port() {
    let (hub, image) = hub().await;
    let server = Setup::hub(&hub).start().await;
    let layer = &image.layers()[0];
    let url = server.blob_url("library/app", layer);
    let answer = get(&url).await;
    assert_eq!((answer.status, answer.version), (200, Version::HTTP_11));
    let h2c = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    for _ in 0..2 {
        let answer = h2c.get(&url).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, Version::HTTP_2)
        );
        assert_eq!(answer.bytes().await.expect("all of it"), image.blob(layer));
    }
    let answer = h2c
        .get(&url)
        .header("range", "bytes=5-9")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        answer.bytes().await.expect("all of it"),
        image.blob(layer).slice(5..10)
    );
    let answer = h2c
        .head(server.manifest_url("library/app", "1"))
        .send()
        .await
        .expect("an answer");
    let length = image.root_manifest().bytes.len().to_string();
    assert_eq!(answer.headers()["content-length"], length.as_str());
    let answer = h2c.get(format!(
        "{}?ns={}",
        server.manifest_url("app", "1"),
        own_host(&server)
    ));
    assert_eq!(
        answer.send().await.expect("an answer").status(),
        200,
        "`ns` against :authority"
    );
}

fn own_host(server: &TestServer) -> String {
    server.url().trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn many_streams_of_one_h2_connection_run_side_by_side() {
    let (hub, image) = hub().await;
    let server = Setup::hub(&hub).start().await;
    let h2c = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let layer = image.layers()[0].clone();
    let pulls: Vec<_> = (0..40)
        .map(|_| {
            let request = h2c.get(server.blob_url("library/app", &layer));
            tokio::spawn(async move {
                request
                    .send()
                    .await
                    .expect("an answer")
                    .bytes()
                    .await
                    .expect("all of it")
            })
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.await.expect("no panic"), image.blob(&layer));
    }
}

#[tokio::test]
async fn https_speaks_http_2_by_alpn_and_http_1_to_those_who_want_it() {
    let (hub, image) = hub().await;
    let (authority, files) = (Authority::new(), TempDir::new().expect("a folder"));
    write_pair(files.path(), &authority.server(&["127.0.0.1"]), 10);
    let server = https_server(&hub, &files).await;
    let layer = &image.layers()[0];
    let client = Client::trusting(&authority.pem());
    for base in [server.url(), server.mirror_url()] {
        let answer = client
            .get(&format!("{base}/v2/library/app/blobs/{layer}"))
            .await;
        assert_eq!((answer.status, answer.version), (200, Version::HTTP_2));
        assert_eq!(answer.body, image.blob(layer));
    }
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let http1 = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .http1_only()
        .build()
        .expect("a client");
    let answer = http1.get(server.url()).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_11)
    );
    let stranger = Client::trusting(&Authority::new().pem());
    assert!(
        stranger
            .try_send(http::Method::GET, server.url(), &[])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_served_without_a_restart() {
    let (hub, _image) = hub().await;
    let (first, second, files) = (
        Authority::new(),
        Authority::new(),
        TempDir::new().expect("a folder"),
    );
    write_pair(files.path(), &first.server(&["127.0.0.1"]), 100);
    let server = https_server(&hub, &files).await;
    let base = format!("{}/v2/", server.url());
    let connected = Client::trusting(&first.pem());
    assert_eq!(connected.get(&base).await.status, 200);
    write_pair(files.path(), &second.server(&["127.0.0.1"]), 0);
    let noticed = async {
        // A new client each time: a kept connection has the old certificate.
        while Client::trusting(&second.pem())
            .try_send(http::Method::GET, &base, &[])
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, noticed)
        .await
        .expect("the new certificate is served");
    assert_eq!(
        connected.get(&base).await.status,
        200,
        "connections that are open stay"
    );
    assert!(
        Client::trusting(&first.pem())
            .try_send(http::Method::GET, &base, &[])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_pull_only_listener_serves_mirrors_by_ns_path_and_default() {
    let (hub, image) = hub().await;
    let server = Setup::hub(&hub)
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    let base = server.mirror_url();
    for path in [
        "app/manifests/1",
        "docker.io/library/app/manifests/1",
        "library/app/manifests/1?ns=docker.io",
    ] {
        let answer = get(&format!("{base}/v2/{path}")).await;
        assert_eq!(
            (answer.status, &answer.body),
            (200, &image.root_manifest().bytes),
            "{path}"
        );
    }
    let own = base.trim_start_matches("http://");
    assert_eq!(
        get(&format!("{base}/v2/app/manifests/1?ns={own}"))
            .await
            .status,
        200
    );
    let main = own_host(&server);
    assert_eq!(
        get(&format!("{base}/v2/app/manifests/1?ns={main}"))
            .await
            .status,
        200,
        "both are this server"
    );
    assert_eq!(
        get(&format!("{base}/v2/a/manifests/1?ns=quay.io"))
            .await
            .error_code(),
        "NAME_UNKNOWN"
    );
}

/// What comes back for these bytes until the server closes.
async fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(own_host(server))
        .await
        .expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bytes_that_are_no_request_hurt_nobody() {
    let (hub, _image) = hub().await;
    let server = Setup::hub(&hub).start().await;
    let answer = raw(
        &server,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    )
    .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    let many = format!(
        "GET /v2/ HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(500)
    );
    let answer = raw(&server, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(get(&format!("{}/v2/", server.url())).await.status, 200);
}

#[tokio::test]
async fn a_request_with_a_body_nobody_reads_is_answered() {
    let (hub, _image) = hub().await;
    let server = Setup::hub(&hub).start().await;
    let request = b"PUT /v2/docker.io/library/app/manifests/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    let answer = raw(&server, request).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let request = b"PUT /v2/docker.io/library/app/manifests/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = raw(&server, request).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
