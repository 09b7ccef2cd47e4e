use std::time::{Duration, Instant};

use super::{
    super::{ErrorKind, Patience, RateBudget, Remotes},
    server::{FakeServer, Reply},
    *,
};

fn is_gone(client: &RegistryClient) -> bool {
    matches!(client.budget(), RateBudget::Gone { .. })
}

async fn limiting(seconds: &'static str) -> FakeServer {
    FakeServer::start(move |_| Reply::new(429, "").with("retry-after", seconds)).await
}

/// As Docker Hub, with so many pulls left.
async fn hub(left: &'static str) -> FakeServer {
    FakeServer::start(move |_| {
        Reply::new(200, "{}")
            .with("ratelimit-limit", "100;w=21600")
            .with("ratelimit-remaining", left)
    })
    .await
}

async fn get(client: &RegistryClient) -> Result<(), ClientError> {
    let got = client.manifest_get(&name(), &tag(), Patience::Full).await;
    got.map(|_| ())
}

async fn head(client: &RegistryClient) -> Result<(), ClientError> {
    let had = client.manifest_head(&name(), &tag(), Patience::Full).await;
    had.map(|_| ())
}

#[tokio::test]
async fn after_a_429_nothing_is_sent_until_the_time_it_names() {
    let server = limiting("120").await;
    let client = client(remote(server.url()));
    assert_eq!(client.budget(), RateBudget::Plenty);
    assert!(get(&client).await.is_err());
    for error in [
        get(&client).await.unwrap_err(),
        head(&client).await.unwrap_err(),
        client.blob_get(&name(), &blob(), 0, 0).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::RateLimited);
        let wait = error.retry_after.unwrap();
        assert!(wait > Duration::from_secs(60) && wait <= Duration::from_secs(120));
    }
    assert!(is_gone(&client));
    assert_eq!(server.seen().len(), 1);
    // Somebody is there, all the same.
    assert!(client.health()[0].trouble.is_none());
}

#[tokio::test]
async fn who_has_something_cached_does_not_wait_for_a_limit_to_pass() {
    let server = limiting("10").await;
    let mut remote = remote(server.url());
    remote.answer_timeout = Duration::from_secs(20);
    let client = client(remote);
    for _ in 0..3 {
        let answer = client.manifest_get(&name(), &tag(), Patience::Short).await;
        assert_eq!(answer.unwrap_err().kind, ErrorKind::RateLimited);
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_limit_at_one_url_leaves_the_other() {
    let (limiting, good) = (limiting("120").await, hub("90;w=21600").await);
    let mut remote = remote(limiting.url());
    remote.urls.push(good.url());
    let client = client(remote);
    for _ in 0..3 {
        get(&client).await.unwrap();
    }
    assert_eq!((limiting.seen().len(), good.seen().len()), (1, 3));
    assert_eq!(client.budget(), RateBudget::Plenty);
}

#[tokio::test]
async fn when_no_pull_is_left_heads_and_blobs_go_on() {
    let server = hub("0;w=21600").await;
    let client = client(remote(server.url()));
    get(&client).await.unwrap();
    let error = get(&client).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert!(is_gone(&client));
    head(&client).await.unwrap();
    client.blob_get(&name(), &blob(), 0, 0).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn the_background_leaves_the_reserve_alone() {
    let server = hub("10;w=21600").await;
    let client = client(remote(server.url()));
    let background = client.background();
    get(&background).await.unwrap();
    assert_eq!(background.budget(), RateBudget::Low);
    let error = get(&background).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    head(&background).await.unwrap();
    get(&client).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn the_foreground_has_the_connection_that_the_background_waits_for() {
    let server = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let mut remote = remote(server.url());
    remote.max_connections = Some(1);
    let client = client(remote);
    let held = client.blob_get(&name(), &blob(), 0, 0).await.unwrap();
    let ask = |client: RegistryClient, digest: Digest| async move {
        let stream = client.blob_get(&name(), &digest, 0, 0).await;
        drop(stream.unwrap());
    };
    let background = ask(client.background(), Digest::sha256(b"background"));
    let foreground = ask(client.clone(), Digest::sha256(b"foreground"));
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
    };
    // The background is the first to queue.
    tokio::join!(background, foreground, release);
    let asked = server.seen().into_iter().map(|seen| seen.target);
    let last_two: Vec<String> = asked.skip(1).collect();
    assert!(last_two[0].contains(&Digest::sha256(b"foreground").to_string()));
    assert!(last_two[1].contains(&Digest::sha256(b"background").to_string()));
}

#[tokio::test]
async fn a_bandwidth_that_is_changed_holds_for_what_runs() {
    let server = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let metrics = Metrics::default();
    let remotes = Remotes::new(&[remote(server.url())], &metrics).unwrap();
    let get = async || {
        let client = remotes.get("fake").unwrap();
        client.blob_get(&name(), &blob(), 0, 0).await.unwrap().body
    };
    let mut running = get().await;
    let changed = |bandwidth| Remote {
        bandwidth,
        ..remote(server.url())
    };
    assert!(remotes.replace(&[changed(Some(20))], &metrics).is_empty());
    let began = Instant::now();
    // A tenth of a second's at once.
    assert_eq!(running.next().await.unwrap().unwrap().len(), 2);
    // What begins by now shares it: 20 bytes take a second.
    let mut next = get().await;
    let (rest, whole) = tokio::join!(read(&mut running), read(&mut next));
    assert_eq!((rest.unwrap().len(), whole.unwrap().len()), (8, 10));
    assert!(began.elapsed() > Duration::from_millis(800));

    let mut last = get().await;
    assert!(remotes.replace(&[changed(None)], &metrics).is_empty());
    assert_eq!(last.next().await.unwrap().unwrap().len(), 10);
}
