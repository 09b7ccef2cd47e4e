use std::time::{Duration, Instant};

use super::{
    super::{BlobStream, ErrorKind, Patience},
    server::{FakeServer, Reply, Seen},
    *,
};

async fn open(
    reply: fn(&Seen) -> Reply,
    offset: u64,
) -> Result<(FakeServer, BlobStream), ClientError> {
    let server = FakeServer::start(reply).await;
    let client = client(remote(server.url()));
    let stream = client.blob_get(&name(), &blob(), offset, 0).await?;
    Ok((server, stream))
}

async fn fails(reply: fn(&Seen) -> Reply, offset: u64) -> ClientError {
    match open(reply, offset).await {
        Err(error) => error,
        Ok((_server, mut stream)) => read(&mut stream.body).await.unwrap_err(),
    }
}

#[tokio::test]
async fn a_whole_blob_comes_without_a_range() {
    let (server, mut stream) = open(|_| Reply::new(200, BLOB), 0).await.unwrap();
    assert_eq!((stream.offset, stream.total_bytes), (0, Some(10)));
    assert_eq!(read(&mut stream.body).await.unwrap(), BLOB);
    let seen = &server.seen()[0];
    assert_eq!(seen.target, format!("/v2/library/nginx/blobs/{}", blob()));
    assert_eq!(seen.header("range"), "");
}

#[tokio::test]
async fn a_download_goes_on_in_the_middle() {
    let part = |_: &Seen| Reply::new(206, &BLOB[7..]).with("content-range", "bytes 7-9/10");
    let (server, mut stream) = open(part, 7).await.unwrap();
    assert_eq!((stream.offset, stream.total_bytes), (7, Some(10)));
    assert_eq!(read(&mut stream.body).await.unwrap(), "789");
    assert_eq!(server.seen()[0].header("range"), "bytes=7-");
}

#[tokio::test]
async fn a_remote_that_ignores_the_range_begins_at_zero() {
    let (_server, mut stream) = open(|_| Reply::new(200, BLOB), 7).await.unwrap();
    assert_eq!(stream.offset, 0);
    assert_eq!(read(&mut stream.body).await.unwrap(), BLOB);
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_invalid() {
    let other = |_: &Seen| Reply::new(206, &BLOB[6..]).with("content-range", "bytes 6-9/10");
    assert_eq!(fails(other, 7).await.kind, ErrorKind::Invalid);
    let nameless = |_: &Seen| Reply::new(206, &BLOB[7..]);
    assert_eq!(fails(nameless, 7).await.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_416_is_invalid_with_its_status() {
    let error = fails(|_| Reply::new(416, ""), 70).await;
    assert_eq!((error.kind, error.status), (ErrorKind::Invalid, Some(416)));
}

#[tokio::test]
async fn a_part_that_ends_before_the_blob_is_an_early_end() {
    let short = |_: &Seen| Reply::new(206, &BLOB[7..9]).with("content-range", "bytes 7-8/10");
    let error = fails(short, 7).await;
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert_eq!(error.message, "ended the body after 2 bytes, 1 too early");
}

#[tokio::test]
async fn a_body_that_breaks_is_unreachable() {
    let short = |_: &Seen| {
        Reply::new(200, &BLOB[..4])
            .with("content-length", "10")
            .breaking()
    };
    let (_server, mut stream) = open(short, 0).await.unwrap();
    assert_eq!(stream.body.next().await.unwrap().unwrap(), &BLOB[..4]);
    let error = stream.body.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(stream.body.next().await.is_none());
}

#[tokio::test]
async fn more_bytes_than_announced_are_never_delivered() {
    let long = |_: &Seen| Reply::new(206, BLOB).with("content-range", "bytes 7-9/10");
    let (_server, mut stream) = open(long, 7).await.unwrap();
    let error = stream.body.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_stall_times_out_and_says_after_what() {
    let stall = |_: &Seen| {
        Reply::new(200, &BLOB[..4])
            .with("content-length", "10")
            .stalling()
    };
    let (_server, mut stream) = open(stall, 0).await.unwrap();
    assert_eq!(stream.body.next().await.unwrap().unwrap(), &BLOB[..4]);
    // A slow reader is not the remote's fault.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let waited = Instant::now();
    let error = stream.body.next().await.unwrap().unwrap_err();
    assert!(waited.elapsed() >= Duration::from_millis(250));
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "fake: no byte of the body within 300ms");
}

#[tokio::test]
async fn bandwidth_slows_the_body() {
    let server = FakeServer::start(|_| Reply::new(200, vec![7; 30_000])).await;
    let mut remote = remote(server.url());
    remote.bandwidth = Some(100_000);
    let client = client(remote);
    let began = Instant::now();
    let mut stream = client.blob_get(&name(), &blob(), 0, 0).await.unwrap();
    assert_eq!(read(&mut stream.body).await.unwrap().len(), 30_000);
    assert!(began.elapsed() >= Duration::from_millis(190));
}

async fn size(reply: fn(&Seen) -> Reply) -> (Result<Option<u64>, ClientError>, usize) {
    let server = FakeServer::start(reply).await;
    let client = client(remote(server.url()));
    let size = client.blob_head(&name(), &blob(), Patience::Full).await;
    (size, server.seen().len())
}

#[tokio::test]
async fn the_size_of_a_blob_comes_by_head() {
    let (found, requests) = size(|_| Reply::new(200, "").with("content-length", "10")).await;
    assert_eq!((found.unwrap(), requests), (Some(10), 1));
}

#[tokio::test]
async fn a_head_without_a_length_or_without_head_is_followed_by_a_get_of_one_byte() {
    let (found, requests) = size(|seen| match seen.method.as_str() {
        "HEAD" => Reply::new(200, ""),
        _ if seen.header("range") != "bytes=0-0" => Reply::new(400, ""),
        _ => Reply::new(206, "0").with("content-range", "bytes 0-0/10"),
    })
    .await;
    assert_eq!((found.unwrap(), requests), (Some(10), 2));
    let (found, requests) = size(|seen| match seen.method.as_str() {
        "HEAD" => Reply::new(405, ""),
        _ => Reply::new(200, BLOB),
    })
    .await;
    assert_eq!((found.unwrap(), requests), (Some(10), 2));
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_not_found_by_one_request() {
    let (found, requests) = size(|_| Reply::new(404, "")).await;
    assert_eq!(
        (found.unwrap_err().kind, requests),
        (ErrorKind::NotFound, 1)
    );
}
