use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::net::TcpListener;

use super::{
    super::{ErrorKind, Patience, RemoteManifest},
    server::{FakeServer, Reply},
    *,
};

/// Answers with these one after the other; the last one stays.
async fn answering(replies: &'static [fn() -> Reply]) -> FakeServer {
    let next = AtomicUsize::new(0);
    FakeServer::start(move |_| {
        let n = next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1);
        replies[n]()
    })
    .await
}

async fn get(client: &RegistryClient) -> Result<RemoteManifest, ClientError> {
    client.manifest_get(&name(), &tag(), Patience::Full).await
}

async fn closed_port() -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap()
}

#[tokio::test]
async fn two_503s_and_then_success_are_one_success() {
    let server = answering(&[
        || Reply::new(503, ""),
        || Reply::new(503, ""),
        || Reply::new(200, "{}"),
    ])
    .await;
    get(&client(remote(server.url()))).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_remote_that_stays_broken_is_unreachable_after_a_handful_of_tries() {
    let server = answering(&[|| Reply::new(502, "")]).await;
    let error = get(&client(remote(server.url()))).await.unwrap_err();
    assert_eq!(
        (error.kind, error.status),
        (ErrorKind::Unreachable, Some(502))
    );
    assert_eq!(error.to_string(), "fake: answered 502: Bad Gateway");
    assert_eq!(server.count("manifests"), 5);
}

#[tokio::test]
async fn retry_after_is_waited_for_when_it_fits() {
    let server = answering(&[
        || Reply::new(429, "").with("retry-after", "1"),
        || Reply::new(200, "{}"),
    ])
    .await;
    let asked = std::time::Instant::now();
    get(&client(remote(server.url()))).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn retry_after_beyond_the_patience_is_told_at_once() {
    let server = answering(&[|| Reply::new(429, "").with("retry-after", "120")]).await;
    let error = get(&client(remote(server.url()))).await.unwrap_err();
    assert_eq!(
        (error.kind, error.status),
        (ErrorKind::RateLimited, Some(429))
    );
    assert_eq!(error.retry_after, Some(Duration::from_secs(120)));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_remote_that_does_not_answer_has_timed_out() {
    let server = answering(&[Reply::never]).await;
    let mut remote = remote(server.url());
    remote.header_timeout = Duration::from_millis(300);
    let client = client(remote);
    let error = client
        .manifest_get(&name(), &tag(), Patience::Short)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "fake: no answer within 300ms");
}

#[tokio::test]
async fn a_last_try_that_the_deadline_cuts_short_does_not_hide_why_the_others_failed() {
    let server = answering(&[
        || Reply::new(503, "").after(Duration::from_millis(500)),
        Reply::never,
    ])
    .await;
    let mut remote = remote(server.url());
    remote.header_timeout = Duration::from_millis(800);
    let error = get(&client(remote)).await.unwrap_err();
    assert_eq!(error.status, Some(503));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let error = get(&client(remote(closed_port().await))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert_eq!(error.to_string(), "fake: connection refused");
}

#[tokio::test]
async fn a_404_is_not_asked_twice() {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let server = FakeServer::start(move |_| Reply::new(404, body)).await;
    let error = get(&client(remote(server.url()))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "fake: does not have it: MANIFEST_UNKNOWN manifest unknown"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_next_url_is_asked_when_the_first_is_gone_or_broken_or_has_it_not() {
    let good = answering(&[|| Reply::new(200, "{}")]).await;
    let broken = answering(&[|| Reply::new(500, "")]).await;
    let missing = answering(&[|| Reply::new(404, "")]).await;
    for first in [closed_port().await, broken.url(), missing.url()] {
        let mut remote = remote(first);
        remote.urls.push(good.url());
        get(&client(remote)).await.unwrap();
    }
    assert_eq!(good.seen().len(), 3);
    assert_eq!((broken.seen().len(), missing.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_silent_url_leaves_time_for_the_next() {
    let silent = answering(&[Reply::never]).await;
    let good = answering(&[|| Reply::new(200, "{}")]).await;
    let mut remote = remote(silent.url());
    remote.urls.push(good.url());
    let client = client(remote);
    client
        .manifest_get(&name(), &tag(), Patience::Short)
        .await
        .unwrap();
}

#[tokio::test]
async fn all_urls_that_answer_must_say_404_for_not_found() {
    let missing = answering(&[|| Reply::new(404, "")]).await;
    let kind = async |urls: Vec<Url>| {
        let mut remote = remote(missing.url());
        remote.urls = urls;
        get(&client(remote)).await.unwrap_err().kind
    };
    let dead = closed_port().await;
    assert_eq!(
        kind(vec![missing.url(), missing.localhost()]).await,
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(vec![dead.clone(), missing.url()]).await,
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(vec![missing.url(), dead]).await,
        ErrorKind::Unreachable
    );
}

#[tokio::test]
async fn a_document_that_breaks_in_the_middle_is_asked_for_again() {
    let server = answering(&[
        || Reply::new(200, "{").with("content-length", "2").breaking(),
        || Reply::new(200, "{}"),
    ])
    .await;
    let manifest = get(&client(remote(server.url()))).await.unwrap();
    assert_eq!(&manifest.bytes[..], b"{}");
}

#[tokio::test]
async fn a_document_that_stalls_each_time_is_given_up_soon() {
    let server = answering(&[|| Reply::new(200, "{").with("content-length", "2").stalling()]).await;
    let mut remote = remote(server.url());
    remote.header_timeout = Duration::from_millis(500);
    remote.idle_timeout = Duration::from_secs(20);
    remote.retry_for = Duration::from_secs(60);
    let asked = std::time::Instant::now();
    let error = get(&client(remote)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(asked.elapsed() < Duration::from_secs(10));
}

/// Bytes that are no manifest, then wrong ones, then right ones.
async fn lying_twice() -> FakeServer {
    let announced = |bytes: &'static str| {
        let digest = Digest::sha256(b"{}").to_string();
        Reply::new(200, bytes).with("docker-content-digest", digest)
    };
    let next = AtomicUsize::new(0);
    FakeServer::start(move |_| match next.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(200, ""),
        1 => announced("{]"),
        _ => announced("{}"),
    })
    .await
}

#[tokio::test]
async fn wrong_bytes_are_asked_for_again() {
    for reference in [tag(), Reference::Digest(Digest::sha256(b"{}"))] {
        let server = lying_twice().await;
        let client = client(remote(server.url()));
        let got = client
            .manifest_get(&name(), &reference, Patience::Full)
            .await;
        assert_eq!(&got.unwrap().bytes[..], b"{}");
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn wrong_bytes_are_asked_for_at_the_next_url() {
    let lying = answering(&[|| Reply::new(200, "no manifest")]).await;
    let good = answering(&[|| Reply::new(200, "{}")]).await;
    let missing = answering(&[|| Reply::new(404, "")]).await;
    let of = |second: &FakeServer| {
        let mut remote = remote(lying.url());
        remote.urls.push(second.url());
        client(remote)
    };
    get(&of(&good)).await.unwrap();
    assert_eq!(lying.seen().len(), 1);
    // Who said something else contradicts a "not there".
    let error = get(&of(&missing)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_remote_that_always_lies_is_given_up_after_a_handful_of_tries() {
    let server = answering(&[|| Reply::new(200, "no manifest")]).await;
    let asked = std::time::Instant::now();
    let error = get(&client(remote(server.url()))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(server.seen().len(), 5);
    assert!(asked.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn max_connections_counts_open_bodies() {
    let server = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let mut remote = remote(server.url());
    remote.max_connections = Some(1);
    remote.header_timeout = Duration::from_millis(300);
    let client = client(remote);
    let held = client.blob_get(&name(), &blob(), 0, 0).await.unwrap();
    let waiting = client.manifest_get(&name(), &tag(), Patience::Short).await;
    assert_eq!(waiting.unwrap_err().kind, ErrorKind::TimedOut);
    drop(held);
    assert!(client.blob_get(&name(), &blob(), 0, 0).await.is_ok());
}
