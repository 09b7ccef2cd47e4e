//! Faults below HTTP: cuts, resets, stalls, noise; and outages of the whole server.

use std::time::Duration;

use http::Method;

use crate::harness::{
    Client, FakeRegistry, Fault, ImageBuilder, On, Progress, SlowReader, drain_sha256, get, sha256,
};

const REPOSITORY: &str = "a";

/// A registry with one layer of this size: the registry, the blob's URL, its digest.
async fn remote(size: usize) -> (FakeRegistry, String, String) {
    let registry = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(size).build();
    registry.put_image(REPOSITORY, "latest", &image);
    let digest = image.layers()[0].clone();
    let url = registry.blob_url(REPOSITORY, &digest);
    (registry, url, digest)
}

#[tokio::test]
async fn a_cut_ends_the_body_early() {
    let (registry, url, digest) = remote(100_000).await;
    registry.fault(On::blob(), Fault::CutAfter(70_000));
    let answer = get(&url).await;
    assert!(!answer.complete);
    assert_eq!(answer.body.len(), 70_000);
    registry.wait_for_ends(On::blob(), 1).await;
    let recorded = &registry.requests()[0];
    assert_eq!(
        (recorded.bytes_sent, recorded.progress),
        (70_000, Progress::Cut)
    );
    let drained = drain_sha256(&url).await;
    assert!(drained.complete);
    assert_eq!((drained.bytes, drained.digest), (100_000, digest));
}

#[tokio::test]
async fn a_cut_of_a_chunked_body_is_seen_too() {
    let (registry, url, _) = remote(1000).await;
    registry.fault_always(On::blob(), Fault::NoLength);
    registry.fault(On::blob(), Fault::CutAfter(1000));
    let answer = get(&url).await;
    assert_eq!((answer.complete, answer.body.len()), (false, 1000));
}

#[tokio::test]
async fn a_reset_breaks_the_connection() {
    let (registry, url, _) = remote(100_000).await;
    registry.fault(On::blob(), Fault::ResetAfter(70_000));
    let mut reader = SlowReader::open(&url, &[]).await;
    let body = reader.read_to_end().await;
    assert!(body.len() <= 70_000);
    assert!(!reader.is_complete());
}

#[tokio::test]
async fn connections_can_end_before_the_headers() {
    let (registry, url, _) = remote(10).await;
    let client = Client::new();
    let faults = [
        Fault::DropBeforeAnswer,
        Fault::ResetBeforeAnswer,
        Fault::CutInHeaders,
        Fault::GarbageHttp,
    ];
    for fault in faults {
        registry.fault(On::blob(), fault.clone());
        let outcome = client.try_send(Method::GET, &url, &[]).await;
        assert!(outcome.is_err(), "{fault:?} gave an answer");
    }
    assert_eq!(client.get(&url).await.status, 200);
}

#[tokio::test]
async fn a_kept_alive_connection_can_close_unannounced() {
    let (registry, url, _) = remote(10).await;
    let client = Client::new();
    registry.fault(On::blob(), Fault::CloseAfterAnswer);
    let answer = client.get(&url).await;
    assert_eq!((answer.complete, answer.header("connection")), (true, ""));
    assert_eq!(client.get(&url).await.status, 200);
    assert_eq!(client.get(&url).await.status, 200);
    assert_eq!(registry.connections(), 2);
}

#[tokio::test]
async fn stalls_and_drips_delay_but_do_not_change_the_body() {
    let (registry, url, digest) = remote(1000).await;
    let tiny = Duration::from_millis(2);
    for fault in [
        Fault::StallAfter(500, tiny),
        Fault::SlowDrip(300, tiny),
        Fault::Delay(tiny),
    ] {
        registry.fault(On::blob(), fault);
        let drained = drain_sha256(&url).await;
        assert_eq!((drained.complete, &drained.digest), (true, &digest));
        assert!(drained.total >= tiny);
    }
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_leaves() {
    let (registry, url, _) = remote(1000).await;
    registry.fault(On::blob(), Fault::HangAfter(400));
    let mut reader = SlowReader::open(&url, &[]).await;
    assert_eq!(reader.read(400).await.len(), 400);
    assert_eq!(registry.running(On::blob()), 1);
    drop(reader);
    registry.wait_for_ends(On::blob(), 1).await;

    registry.fault(On::blob(), Fault::HangBeforeHeaders);
    let request = tokio::spawn(async move { get(&url).await });
    registry.wait_for(On::blob(), 2).await;
    request.abort();
    registry.wait_for_ends(On::blob(), 2).await;
    assert_eq!(registry.bytes_sent(On::blob()), 400);
}

#[tokio::test]
async fn an_endless_body_does_not_end() {
    let (registry, url, _) = remote(10).await;
    registry.fault(On::blob(), Fault::EndlessBody);
    let mut reader = SlowReader::open(&url, &[]).await;
    assert_eq!(reader.headers["transfer-encoding"], "chunked");
    assert_eq!(reader.read(5_000_000).await.len(), 5_000_000);
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_back() {
    let (registry, url, digest) = remote(40_000_000).await;
    let mut reader = SlowReader::open(&url, &[]).await;
    let first = reader.read(1000).await;
    assert!(reader.first_byte.is_some());
    assert!(registry.bytes_sent(On::blob()) < 40_000_000);
    let rest = reader.read_to_end().await;
    assert!(reader.is_complete());
    assert_eq!(sha256(&[first, rest].concat()), digest);
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back_with_its_content() {
    let (registry, url, _) = remote(100_000).await;
    let hold = registry.hold_after(On::blob(), 50_000);
    let mut reader = SlowReader::open(&url, &[]).await;
    hold.reached(1).await;
    registry.stop().await;
    assert_eq!(reader.read_to_end().await.len(), 50_000);
    drop(hold);
    let refused = Client::new().try_send(Method::GET, &url, &[]).await;
    assert!(refused.expect_err("nobody listens").is_connect());
    registry.start_again().await;
    assert!(get(&url).await.complete);
}

#[tokio::test]
async fn a_silent_server_accepts_and_never_answers() {
    let (registry, url, _) = remote(10).await;
    registry.stop_answering().await;
    let stream = tokio::net::TcpStream::connect(registry.address()).await;
    assert!(stream.is_ok());
    let answer = tokio::time::timeout(Duration::from_millis(20), get(&url)).await;
    assert!(answer.is_err());
    assert_eq!(registry.count(On::any()), 0);
    registry.start_again().await;
    assert_eq!(get(&url).await.status, 200);
}
