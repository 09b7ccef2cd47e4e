//! Remotes that are no registry but an attack: each ends as a clear error within its time and with little memory, and
//! what comes after it is answered. Lengths, redirects and wrong content have tests of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::RawQuery, response::IntoResponse, routing::get as on_get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::{
    harness::{Answer, Client, FakeRegistry, Fault, ImageBuilder, On, get},
    server::{Setup, TestServer},
};

/// No answer takes longer than a few times what the remote is granted below.
const PATIENCE: Duration = Duration::from_secs(20);
const KEYS: &str = "header_timeout = \"700ms\"\nidle_timeout = \"500ms\"\nretry_for = \"1s\"";
/// What an answer without an end may cost: it is read for less than a second, a few times.
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What a remote says to every request.
#[derive(Clone)]
struct Script {
    /// Said first.
    head: String,
    /// Then this, again and again.
    again: Vec<u8>,
    pause: Duration,
}

impl Script {
    fn once(head: impl Into<String>) -> Self {
        Self {
            head: head.into(),
            again: Vec::new(),
            pause: Duration::ZERO,
        }
    }

    fn endless(head: impl Into<String>, again: impl Into<Vec<u8>>) -> Self {
        Self {
            again: again.into(),
            ..Self::once(head)
        }
    }

    fn dribbled(head: impl Into<String>, again: &str) -> Self {
        Self {
            pause: Duration::from_millis(50),
            ..Self::endless(head, again)
        }
    }

    async fn play(self, mut stream: TcpStream, sent: Arc<AtomicU64>) {
        let mut request = vec![0; 16 << 10];
        if stream.read(&mut request).await.is_err() {
            return;
        }
        if stream.write_all(self.head.as_bytes()).await.is_err() || self.again.is_empty() {
            // An orderly end, for those who read until it.
            let _ = stream.shutdown().await;
            return;
        }
        while stream.write_all(&self.again).await.is_ok() {
            sent.fetch_add(self.again.len() as u64, Ordering::Relaxed);
            tokio::time::sleep(self.pause).await;
        }
    }
}

/// A remote that plays one script, and how many bytes of its endless part were taken.
async fn remote(script: Script) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let sent = Arc::<AtomicU64>::default();
    let total = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script.clone().play(stream, Arc::clone(&total)));
        }
    });
    (url, sent)
}

async fn mirror_of(url: &str) -> TestServer {
    let setup = Setup::empty().remote("r.io", url, KEYS);
    setup.project("r.io", "r.io", "").start().await
}

/// Every question about `app` is answered with an outage, or with an answer that is not complete.
async fn assert_refused(script: Script, what: &str) -> u64 {
    let (url, sent) = remote(script).await;
    let server = mirror_of(&url).await;
    for path in [
        "manifests/1".to_owned(),
        "tags/list".to_owned(),
        format!("blobs/{DIGEST}"),
        format!("referrers/{DIGEST}"),
    ] {
        let url = format!("{}/v2/r.io/app/{path}", server.url());
        let client = Client::new();
        let asked = client.try_send(http::Method::GET, &url, &[]);
        let answer = timeout(PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer to {path}"));
        if let Ok(answer) = answer
            && answer.complete
        {
            assert_outage(&answer, &format!("{what}, {path}"));
        }
    }
    let answer = get(&format!("{}/healthz", server.url())).await;
    assert_eq!(answer.status, 200, "{what}");
    sent.load(Ordering::Relaxed)
}

fn assert_outage(answer: &Answer, what: &str) {
    assert!(
        matches!(answer.status, 502..=504),
        "{what}: {}",
        answer.status
    );
    assert_eq!(answer.error_code(), "UNAVAILABLE", "{what}");
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_are_read_only_so_far() {
    let line = format!("x-more: {}\r\n", "a".repeat(1000)).into_bytes();
    let sent = assert_refused(Script::endless(OK, line), "endless headers").await;
    // Some tries of four questions, each of less than the client's limit and the sockets' buffers.
    assert!(sent < 256 << 20, "{sent} bytes were taken");
    let sent = assert_refused(Script::endless(OK, vec![b'a'; 10_000]), "an endless header").await;
    assert!(sent < 256 << 20, "{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_as_large_as_a_layer_is_no_answer() {
    let bomb = "a".repeat(2 << 20);
    for name in ["docker-content-digest", "link", "x-anything"] {
        let script = Script::once(format!(
            "{OK}{name}: {bomb}\r\ncontent-length: 2\r\n\r\n{{}}"
        ));
        assert_refused(script, name).await;
    }
    for head in [
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: /{bomb}\r\n\r\n"),
        format!("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"{bomb}\"\r\n\r\n"),
    ] {
        assert_refused(Script::once(head), "a large header").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_only_ever_says_continue_has_not_answered() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    assert_refused(Script::endless("", interim), "100 for ever").await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    assert_refused(Script::dribbled("", hints), "103 now and then").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_none_are_a_broken_answer() {
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n");
    for body in [
        "zzz\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n{}",
        "-1\r\n{}",
        "2\r\n{}garbage",
    ] {
        assert_refused(Script::once(format!("{chunked}{body}")), body).await;
    }
    let extension = Script::endless(format!("{chunked}2;"), vec![b'a'; 10_000]);
    let sent = assert_refused(extension, "a chunk's extension without end").await;
    assert!(sent < 256 << 20, "{sent} bytes were taken");
    let trailers = Script::endless(format!("{chunked}0\r\n"), b"x: y\r\n".repeat(1000));
    let sent = assert_refused(trailers, "trailers without end").await;
    assert!(sent < 256 << 20, "{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contradictory_lengths_are_no_answer() {
    for lengths in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: -2",
        "content-length: 99999999999999999999",
    ] {
        let script = Script::once(format!("{OK}{lengths}\r\n\r\n{{}}"));
        assert_refused(script, lengths).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_documents_that_are_dribbled_have_an_end() {
    assert_refused(
        Script::dribbled("HTTP/1.1 200 OK\r\nx: ", "a"),
        "dribbled headers",
    )
    .await;
    let (url, _) = remote(Script::dribbled(
        format!("{OK}content-length: 1000000\r\n\r\n"),
        " ",
    ))
    .await;
    let server = mirror_of(&url).await;
    for path in ["manifests/1", "tags/list"] {
        let began = Instant::now();
        let url = format!("{}/v2/r.io/app/{path}", server.url());
        let answer = timeout(PATIENCE, get(&url)).await;
        let answer = answer.expect("an answer in time");
        assert_outage(&answer, path);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{path}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_tag_list_without_end_is_no_list() {
    let page = |RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default();
        let last: u64 = query
            .rsplit("last=t")
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let next = format!("</v2/app/tags/list?last=t{}>; rel=\"next\"", last + 1);
        let body = format!(r#"{{"name":"app","tags":["t{last}"]}}"#);
        (
            [
                ("link", next),
                ("content-type", "application/json".to_owned()),
            ],
            body,
        )
            .into_response()
    };
    let router = Router::new().route("/v2/app/tags/list", on_get(page));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let server = mirror_of(&url).await;
    let url = format!("{}/v2/r.io/app/tags/list", server.url());
    let answer = timeout(Duration::from_secs(60), get(&url)).await;
    let answer = answer.expect("an end");
    assert_outage(&answer, "tags");
    assert!(String::from_utf8_lossy(&answer.body).contains("too many pages"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_leads_back_here_is_an_outage_and_no_standstill() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(5000).build();
    hub.put_image("app", "1", &image);
    let server = mirror_of(hub.url()).await;
    let layer = &image.layers()[0];
    let (manifest, blob) = (
        server.manifest_url("r.io/app", "1"),
        server.blob_url("r.io/app", layer),
    );
    hub.fault_always(On::manifest(), Fault::Redirect(manifest.clone()));
    hub.fault_always(On::blob(), Fault::Redirect(blob.clone()));
    for url in [&manifest, &blob] {
        let answer = timeout(PATIENCE, get(url)).await.expect("an end");
        assert_outage(&answer, url);
    }
    hub.clear_faults();
    assert_eq!(get(&manifest).await.body, image.root_manifest().bytes);
    assert_eq!(get(&blob).await.body, image.blob(layer));
}

#[tokio::test]
async fn a_token_without_end_is_an_outage() {
    let hub = FakeRegistry::builder().bearer().start().await;
    let image = ImageBuilder::new(1).layer(1000).build();
    hub.put_image("app", "1", &image);
    let server = mirror_of(hub.url()).await;
    hub.fault_always(On::token(), Fault::EndlessBody);
    let url = server.manifest_url("r.io/app", "1");
    let answer = timeout(PATIENCE, get(&url)).await.expect("an end");
    assert_outage(&answer, "token");
    assert!(
        hub.bytes_sent(On::token()) < 40 << 20,
        "{}",
        hub.bytes_sent(On::token())
    );
    hub.clear_faults();
    assert_eq!(get(&url).await.status, 200);
}

#[tokio::test]
async fn what_a_remote_calls_compressed_is_kept_as_it_came() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(5000).build();
    hub.put_image("app", "1", &image);
    // A few bytes that would be gigabytes: nobody here unpacks them.
    hub.fault_always(
        On::any(),
        Fault::Header("content-encoding", "gzip".to_owned()),
    );
    let server = mirror_of(hub.url()).await;
    let layer = &image.layers()[0];
    let answer = get(&server.blob_url("r.io/app", layer)).await;
    assert_eq!((answer.status, &answer.body), (200, &image.blob(layer)));
    assert!(!answer.headers.contains_key("content-encoding"));
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &image.root_manifest().bytes)
    );
}

#[tokio::test]
async fn documents_nested_without_measure_hurt_nobody() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(1000).build();
    hub.put_image("app", "good", &image);
    let nested = "[".repeat(3 << 20);
    let digest = hub.put_manifest(
        "app",
        "application/vnd.oci.image.index.v1+json",
        nested.clone(),
    );
    hub.tag("app", "nested", &digest);
    let server = mirror_of(hub.url()).await;
    for reference in ["nested", &digest] {
        let answer = get(&server.manifest_url("r.io/app", reference)).await;
        assert!(
            answer.status >= 500 || answer.body == nested.as_bytes(),
            "{}",
            answer.status
        );
    }
    hub.fault_always(On::tags(), Fault::WrongBody(nested.into()));
    hub.put_image("other", "1", &image);
    let answer = get(&format!("{}/v2/r.io/other/tags/list", server.url())).await;
    assert_outage(&answer, "tags");
    assert_eq!(
        get(&server.manifest_url("r.io/app", "good")).await.status,
        200
    );
}
