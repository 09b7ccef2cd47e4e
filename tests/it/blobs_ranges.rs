//! Ranges of blobs, cached and on a running fill.

use bytes::Bytes;
use http::Method;

use crate::{
    harness::{
        Answer, Client, FakeRegistry, Image, ImageBuilder, On, SlowReader, get, get_range, head,
    },
    server::{Setup, TestServer, on_both},
};

on_both! {
    one_range_of_a_cached_blob_is_a_206_with_its_exact_place,
    a_whole_blob_has_exact_headers_cold_and_cached,
    a_cold_head_tells_the_size_and_downloads_nothing,
    a_head_takes_the_size_from_a_cached_manifest,
    a_blob_that_the_remote_does_not_have_is_a_404,
    ranges_of_a_cold_blob_start_one_download,
    ranges_that_are_here_are_answered_while_the_fill_runs,
    a_range_beyond_the_end_is_a_416_with_the_length,
    ranges_that_mean_nothing_are_answered_with_the_whole,
    if_range_lets_the_range_through_for_the_same_content_only,
    several_ranges_come_as_parts_in_the_order_asked_for,
    several_ranges_of_a_cold_blob_come_as_parts_too,
    head_ignores_a_range,
}

const SIZE: usize = 300_000;

struct Blob {
    hub: FakeRegistry,
    server: TestServer,
    digest: String,
    bytes: Bytes,
}

impl Blob {
    async fn cold() -> Self {
        let image: Image = ImageBuilder::new(77).layer(SIZE).build();
        let hub = FakeRegistry::start().await;
        hub.put_image("library/app", "1", &image);
        let server = Setup::hub(&hub).start().await;
        let digest = image.layers()[0].clone();
        let bytes = image.blob(&digest);
        Self {
            hub,
            server,
            digest,
            bytes,
        }
    }

    async fn hot() -> Self {
        let blob = Self::cold().await;
        assert_eq!(get(&blob.url()).await.body, blob.bytes);
        blob.server.settled().await;
        blob
    }

    fn url(&self) -> String {
        self.server.blob_url("library/app", &self.digest)
    }

    async fn range(&self, range: &str) -> Answer {
        get_range(&self.url(), range).await
    }

    fn assert_part(&self, answer: &Answer, start: usize, end: usize) {
        assert_eq!(answer.status, 206, "{start}-{end}");
        assert!(answer.complete);
        let expected = format!("bytes {start}-{}/{}", end - 1, self.bytes.len());
        assert_eq!(answer.header("content-range"), expected);
        assert_eq!(answer.header("content-length"), (end - start).to_string());
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.header("docker-content-digest"), self.digest);
        assert_eq!(answer.body, self.bytes[start..end]);
    }
}

/// (`Range` without the unit, first byte, end)
fn single_ranges() -> Vec<(&'static str, usize, usize)> {
    vec![
        ("0-0", 0, 1),
        ("0-99", 0, 100),
        ("1000-1999", 1000, 2000),
        ("299999-", SIZE - 1, SIZE),
        ("150000-", 150_000, SIZE),
        ("0-", 0, SIZE),
        ("-1", SIZE - 1, SIZE),
        ("-70000", SIZE - 70_000, SIZE),
        ("-9999999", 0, SIZE),
        ("299990-400000", SIZE - 10, SIZE),
        ("400000-,5-9", 5, 10),
    ]
}

async fn one_range_of_a_cached_blob_is_a_206_with_its_exact_place() {
    let blob = Blob::hot().await;
    for (range, start, end) in single_ranges() {
        blob.assert_part(&blob.range(range).await, start, end);
    }
    assert_eq!(blob.hub.count(On::blob()), 1);
}

async fn a_whole_blob_has_exact_headers_cold_and_cached() {
    let blob = Blob::cold().await;
    for outcome in ["miss", "hit"] {
        let answer = get(&blob.url()).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, outcome));
        assert_eq!(answer.header("content-length"), SIZE.to_string());
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("docker-content-digest"), blob.digest);
        assert_eq!(answer.header("etag"), format!("\"{}\"", blob.digest));
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.body, blob.bytes);
        blob.server.settled().await;
    }
    let answer = head(&blob.url()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), SIZE.to_string());
}

async fn a_cold_head_tells_the_size_and_downloads_nothing() {
    let blob = Blob::cold().await;
    let answer = head(&blob.url()).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "miss"));
    assert_eq!(answer.header("content-length"), SIZE.to_string());
    assert_eq!(answer.header("docker-content-digest"), blob.digest);
    assert_eq!(
        (blob.hub.count(On::blob().head()), blob.hub.count(On::any())),
        (1, 1)
    );
}

async fn a_head_takes_the_size_from_a_cached_manifest() {
    let blob = Blob::cold().await;
    get(&blob.server.manifest_url("library/app", "1")).await;
    let answer = head(&blob.url()).await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, SIZE.to_string().as_str())
    );
    assert_eq!(blob.hub.count(On::blob()), 0);
}

async fn a_blob_that_the_remote_does_not_have_is_a_404() {
    let blob = Blob::cold().await;
    let url = blob
        .server
        .blob_url("library/app", &format!("sha256:{}", "0".repeat(64)));
    let answer = get(&url).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (404, "BLOB_UNKNOWN")
    );
    assert_eq!(get_range(&url, "0-9").await.status, 404);
    assert_eq!(head(&url).await.status, 404);
}

async fn ranges_of_a_cold_blob_start_one_download() {
    let blob = Blob::cold().await;
    blob.assert_part(&blob.range("-70000").await, SIZE - 70_000, SIZE);
    for (range, start, end) in single_ranges() {
        blob.assert_part(&blob.range(range).await, start, end);
    }
    blob.hub.wait_for_ends(On::blob(), 1).await;
    assert_eq!(get(&blob.url()).await.body, blob.bytes);
    assert_eq!(blob.hub.count(On::blob().get().unranged()), 1);
}

async fn ranges_that_are_here_are_answered_while_the_fill_runs() {
    let blob = Blob::cold().await;
    let hold = blob.hub.hold_after(On::blob().get(), 200_000);
    let mut first = SlowReader::open(&blob.url(), &[]).await;
    assert_eq!(first.status, 200);
    hold.reached(1).await;
    for (range, start, end) in [("0-99", 0, 100), ("100000-109999", 100_000, 110_000)] {
        let answer = blob.range(range).await;
        blob.assert_part(&answer, start, end);
        assert_eq!(answer.header("x-cache"), "joined");
    }
    let beyond = tokio::spawn({
        let url = blob.url();
        async move { get_range(&url, "1000-,0-0").await }
    });
    hold.release();
    assert_eq!(first.read_to_end().await, blob.bytes);
    assert!(matches!(beyond.await.expect("no panic").status, 200 | 206));
    blob.assert_part(&blob.range("-10").await, SIZE - 10, SIZE);
    assert_eq!(blob.hub.count(On::blob().get().unranged()), 1);
}

async fn a_range_beyond_the_end_is_a_416_with_the_length() {
    let blob = Blob::hot().await;
    for range in ["300000-", "300000-300001", "-0", "999999-,300000-"] {
        let answer = blob.range(range).await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes */{SIZE}"));
        assert_eq!(answer.error_code(), "SIZE_INVALID");
    }
}

async fn ranges_that_mean_nothing_are_answered_with_the_whole() {
    let blob = Blob::hot().await;
    let many = (0..40)
        .map(|i| format!("{}-{}", i * 10, i * 10 + 1))
        .collect::<Vec<_>>()
        .join(",");
    for header in [
        "items=0-1",
        "bytes=x-y",
        "bytes=9-5",
        "bytes=",
        "0-1",
        "bytes=0-10,5-15",
        &format!("bytes={many}"),
    ] {
        let answer = Client::new()
            .send(Method::GET, &blob.url(), &[("range", header)])
            .await;
        assert_eq!((answer.status, answer.body.len()), (200, SIZE), "{header}");
    }
}

async fn if_range_lets_the_range_through_for_the_same_content_only() {
    let blob = Blob::hot().await;
    let same = format!("\"{}\"", blob.digest);
    for (validator, status) in [
        (same.as_str(), 206),
        ("\"sha256:0\"", 200),
        (&format!("W/{same}"), 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
    ] {
        let asked = [("range", "bytes=0-9"), ("if-range", validator)];
        let answer = Client::new().send(Method::GET, &blob.url(), &asked).await;
        assert_eq!(answer.status, status, "{validator}");
        assert_eq!(answer.body.len(), if status == 206 { 10 } else { SIZE });
    }
}

async fn several_ranges_come_as_parts_in_the_order_asked_for() {
    let blob = Blob::hot().await;
    let answer = blob.range("200000-200099,0-9,-5").await;
    assert_eq!((answer.status, answer.complete), (206, true));
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
    assert!(!answer.headers.contains_key("content-range"));
    let parts = parts(&answer);
    let expected = [(200_000, 200_100), (0, 10), (SIZE - 5, SIZE)];
    assert_eq!(parts.len(), expected.len());
    for ((range, bytes), (start, end)) in parts.iter().zip(expected) {
        assert_eq!(range, &format!("bytes {start}-{}/{SIZE}", end - 1));
        assert_eq!(bytes, &blob.bytes[start..end]);
    }
}

async fn several_ranges_of_a_cold_blob_come_as_parts_too() {
    let blob = Blob::cold().await;
    let parts = parts(&blob.range("299000-299999,10-19").await);
    assert_eq!(parts[0].1, blob.bytes[299_000..]);
    assert_eq!(parts[1].1, blob.bytes[10..20]);
    assert_eq!(blob.hub.count(On::blob().get()), 1);
}

async fn head_ignores_a_range() {
    let blob = Blob::hot().await;
    let answer = Client::new()
        .send(Method::HEAD, &blob.url(), &[("range", "bytes=0-9")])
        .await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, SIZE.to_string().as_str())
    );
}

/// `Content-Range` and bytes of each part of a multipart/byteranges body, read as RFC 2046 says.
fn parts(answer: &Answer) -> Vec<(String, Bytes)> {
    let boundary = answer
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("not multipart: {:?}", answer.headers));
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = answer
        .body
        .slice(find(&answer.body, delimiter.as_bytes()) + delimiter.len()..);
    let mut parts = Vec::new();
    while rest.starts_with(b"\r\n") {
        let head_end = find(&rest, b"\r\n\r\n");
        let head = String::from_utf8(rest[2..head_end].to_vec()).expect("headers are ASCII");
        let header = |name: &str| {
            let line = head
                .split("\r\n")
                .find(|line| line.starts_with(name))
                .expect("the header is there");
            line[name.len() + 2..].to_owned()
        };
        assert_eq!(header("Content-Type"), "application/octet-stream");
        let body = rest.slice(head_end + 4..);
        let end = find(&body, delimiter.as_bytes());
        parts.push((header("Content-Range"), body.slice(..end)));
        rest = body.slice(end + delimiter.len()..);
    }
    assert_eq!(rest, "--\r\n", "the closing delimiter");
    parts
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .expect("the text is there")
}
