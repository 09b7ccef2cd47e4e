//! Faults in answers: status, headers and content.

use crate::harness::{
    FakeRegistry, Fault, Image, ImageBuilder, On, get, get_range, head, random_bytes, sha256,
};

const REPOSITORY: &str = "library/nginx";

struct Remote {
    registry: FakeRegistry,
    image: Image,
    layer: String,
    blob_url: String,
    manifest_url: String,
}

async fn remote() -> Remote {
    let registry = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(1000).build();
    registry.put_image(REPOSITORY, "latest", &image);
    let layer = image.layers()[0].clone();
    let blob_url = registry.blob_url(REPOSITORY, &layer);
    let manifest_url = registry.manifest_url(REPOSITORY, "latest");
    Remote {
        registry,
        image,
        layer,
        blob_url,
        manifest_url,
    }
}

#[tokio::test]
async fn counted_faults_fire_in_order_and_then_no_more() {
    let remote = remote().await;
    remote
        .registry
        .fault_times(On::blob().get(), 2, Fault::status(503));
    remote.registry.fault(On::blob(), Fault::too_many("7"));
    let mut statuses = Vec::new();
    assert_eq!(head(&remote.blob_url).await.status, 429);
    for _ in 0..3 {
        statuses.push(get(&remote.blob_url).await.status);
    }
    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(remote.registry.faults_left(), 0);
    assert_eq!(remote.registry.count(On::blob().get().answered(503)), 2);
}

#[tokio::test]
async fn constant_faults_join_counted_ones_until_cleared() {
    let remote = remote().await;
    remote
        .registry
        .fault_always(On::manifest(), Fault::NoDigestHeader);
    remote.registry.fault(
        On::manifest().reference("latest"),
        Fault::WrongMediaType("text/plain"),
    );
    let first = get(&remote.manifest_url).await;
    assert_eq!(first.header("content-type"), "text/plain");
    assert_eq!(first.header("docker-content-digest"), "");
    assert_eq!(
        get(&remote.manifest_url)
            .await
            .header("docker-content-digest"),
        ""
    );
    remote.registry.clear_faults();
    let last = get(&remote.manifest_url).await;
    assert_eq!(last.header("docker-content-digest"), remote.image.root);
}

#[tokio::test]
async fn statuses_challenges_and_redirects_replace_the_answer() {
    let remote = remote().await;
    let cases = [
        (Fault::too_many("7"), 429, "retry-after", "7"),
        (
            Fault::Challenge("Basic realm=\"x\"".into()),
            401,
            "www-authenticate",
            "Basic realm=\"x\"",
        ),
        (
            Fault::Redirect("http://other/".into()),
            307,
            "location",
            "http://other/",
        ),
        (Fault::HtmlPage, 200, "content-type", "text/html"),
    ];
    for (fault, status, name, value) in cases {
        remote.registry.fault(On::manifest(), fault);
        let answer = get(&remote.manifest_url).await;
        assert_eq!((answer.status, answer.header(name)), (status, value));
    }
    remote
        .registry
        .fault_always(On::blob(), Fault::RedirectLoop);
    let looped = get(&remote.blob_url).await;
    let location = looped.header("location");
    let (path, _) = location.split_once('?').unwrap_or((location, ""));
    assert!(remote.blob_url.ends_with(path), "{location}");
}

#[tokio::test]
async fn wrong_contents_come_as_complete_answers() {
    let remote = remote().await;
    let cases = [
        (Fault::WrongBody("wrong".into()), 5),
        (Fault::EmptyBody, 0),
        (Fault::HugeBody(3_000_000), 3_000_000),
        (Fault::FlipByteAt(999), 1000),
    ];
    for (fault, length) in cases {
        remote.registry.fault(On::blob(), fault);
        let answer = get(&remote.blob_url).await;
        assert!(answer.complete);
        assert_eq!(answer.header("docker-content-digest"), remote.layer);
        assert_eq!(answer.body.len(), length);
        assert_ne!(sha256(&answer.body), remote.layer);
    }
    remote.registry.fault(On::manifest(), Fault::GarbageJson);
    let garbage = get(&remote.manifest_url).await;
    assert!(serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
}

#[tokio::test]
async fn a_huge_manifest_is_still_json() {
    let remote = remote().await;
    remote
        .registry
        .fault(On::manifest(), Fault::HugeBody(1_000_000));
    assert_eq!(get(&remote.manifest_url).await.json()["schemaVersion"], 2);
}

#[tokio::test]
async fn headers_can_be_wrong_or_missing() {
    let remote = remote().await;
    remote.registry.fault(On::blob(), Fault::WrongDigestHeader);
    assert_ne!(
        head(&remote.blob_url).await.header("docker-content-digest"),
        remote.layer
    );
    remote
        .registry
        .fault(On::blob(), Fault::Header("Content-Encoding", "gzip".into()));
    assert_eq!(
        head(&remote.blob_url).await.header("content-encoding"),
        "gzip"
    );
    remote
        .registry
        .fault(On::blob(), Fault::NoHeader("Content-Type"));
    assert_eq!(head(&remote.blob_url).await.header("content-type"), "");
    remote.registry.fault_times(On::blob(), 2, Fault::NoLength);
    assert_eq!(head(&remote.blob_url).await.header("content-length"), "");
    let chunked = get(&remote.blob_url).await;
    assert_eq!(chunked.header("transfer-encoding"), "chunked");
    assert!(chunked.complete);
    assert_eq!(sha256(&chunked.body), remote.layer);
}

#[tokio::test]
async fn content_length_can_lie_both_ways() {
    let remote = remote().await;
    remote
        .registry
        .fault(On::blob(), Fault::WrongContentLength(10));
    let longer = get(&remote.blob_url).await;
    assert!(!longer.complete);
    assert_eq!(longer.header("content-length"), "1010");
    remote
        .registry
        .fault(On::blob(), Fault::WrongContentLength(-10));
    let shorter = get(&remote.blob_url).await;
    assert!(shorter.complete);
    assert_eq!(shorter.body.len(), 990);
}

#[tokio::test]
async fn ranges_can_be_ignored_shortened_or_misnamed() {
    let remote = remote().await;
    let whole = remote.image.blob(&remote.layer);
    remote
        .registry
        .fault(On::blob().ranged(), Fault::IgnoreRange);
    let ignored = get_range(&remote.blob_url, "10-").await;
    assert_eq!((ignored.status, ignored.body), (200, whole.clone()));
    remote
        .registry
        .fault(On::blob().ranged(), Fault::ShortRange(5));
    let short = get_range(&remote.blob_url, "10-").await;
    assert_eq!(short.header("content-range"), "bytes 10-14/1000");
    assert_eq!((short.status, short.body), (206, whole.slice(10..15)));
    remote
        .registry
        .fault(On::blob().ranged(), Fault::WrongContentRange);
    let misnamed = get_range(&remote.blob_url, "10-19").await;
    assert_eq!(misnamed.header("content-range"), "bytes 11-19/1000");
    assert_eq!(misnamed.body.len(), 10);
}

#[tokio::test]
async fn offsets_of_faults_count_from_the_start_of_the_answer() {
    let remote = remote().await;
    remote.registry.fault(On::blob(), Fault::FlipByteAt(3));
    let body = get_range(&remote.blob_url, "500-").await.body;
    let mut right = random_bytes_of_layer(&remote)[500..].to_vec();
    right[3] ^= 0xff;
    assert_eq!(body, right);
}

fn random_bytes_of_layer(remote: &Remote) -> bytes::Bytes {
    let bytes = random_bytes(1 + (1 << 16), 1000);
    assert_eq!(sha256(&bytes), remote.layer);
    bytes
}
