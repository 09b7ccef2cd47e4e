//! The right answers, and each option of the fake registry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use crate::harness::{
    Authority, Client, FakeRegistry, Fault, ImageBuilder, On, Referrers, get, get_range, head,
    media_type, sha256,
};

#[tokio::test]
async fn manifests_and_blobs_are_served_by_tag_and_digest() {
    let registry = FakeRegistry::start().await;
    let image = ImageBuilder::new(1)
        .layer(1000)
        .platforms(&["linux/amd64"])
        .build();
    registry.put_image("deep/er/name", "v1", &image);
    let by_tag = get(&registry.manifest_url("deep/er/name", "v1")).await;
    assert_eq!(by_tag.body, image.root_manifest().bytes);
    assert_eq!(by_tag.header("content-type"), media_type::OCI_INDEX);
    assert_eq!(by_tag.header("docker-content-digest"), image.root);
    let child = head(&registry.manifest_url("deep/er/name", &image.children()[0])).await;
    assert_eq!(
        child.header("content-length"),
        image.manifests[0].bytes.len().to_string()
    );
    let url = registry.manifest_url("deep/er/name", "v1");
    let known = [("if-none-match", by_tag.header("etag"))];
    let same = Client::new().send(Method::GET, &url, &known).await;
    assert_eq!(same.status, 304);
    let blob = registry.blob_url("deep/er/name", &image.layers()[0]);
    assert_eq!(sha256(&get(&blob).await.body), image.layers()[0]);
    assert_eq!(
        get(&registry.manifest_url("deep/er/name", "v2"))
            .await
            .status,
        404
    );
    registry.remove_repository("deep/er/name");
    assert_eq!(get(&blob).await.error_code(), "BLOB_UNKNOWN");
}

#[tokio::test]
async fn ranges_are_exact() {
    let registry = FakeRegistry::start().await;
    let digest = registry.put_blob("a", "0123456789");
    let url = registry.blob_url("a", &digest);
    let cases = [
        ("2-4", 206, "bytes 2-4/10", "234"),
        ("7-", 206, "bytes 7-9/10", "789"),
        ("-3", 206, "bytes 7-9/10", "789"),
        ("5-99", 206, "bytes 5-9/10", "56789"),
        ("0-1,4-5", 200, "", "0123456789"),
    ];
    for (range, status, content_range, body) in cases {
        let answer = get_range(&url, range).await;
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (status, content_range)
        );
        assert_eq!(answer.body, body);
    }
    let beyond = get_range(&url, "10-").await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, "bytes */10")
    );
}

#[tokio::test]
async fn tag_lists_have_pages() {
    let registry = FakeRegistry::builder().page_size(2).start().await;
    let image = ImageBuilder::new(1).build();
    for tag in ["c", "a", "e", "b", "d"] {
        registry.put_image("x", tag, &image);
    }
    registry.delete_tag("x", "e");
    let first = get(&format!("{}/v2/x/tags/list", registry.url())).await;
    assert_eq!(first.json()["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(
        first.header("link"),
        "</v2/x/tags/list?last=b&n=2>; rel=\"next\""
    );
    let last = get(&format!("{}/v2/x/tags/list?last=b&n=2", registry.url())).await;
    assert_eq!(last.json()["tags"], serde_json::json!(["c", "d"]));
    assert_eq!(last.header("link"), "");
    registry.configure(|options| options.absolute_links = true);
    let page = get(&format!("{}/v2/x/tags/list?n=1", registry.url())).await;
    assert!(
        page.header("link")
            .starts_with(&format!("<{}/v2/", registry.url()))
    );
    let catalog = get(&format!("{}/v2/_catalog", registry.url())).await;
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["x"]));
}

#[tokio::test]
async fn referrers_come_from_the_api_or_from_a_tag() {
    let registry = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(10).build();
    registry.put_image("x", "latest", &image);
    for (seed, kind) in [(2, "application/sbom"), (3, "application/signature")] {
        registry.put_untagged("x", &ImageBuilder::artifact(seed, kind, &image).build());
    }
    let url = format!("{}/v2/x/referrers/{}", registry.url(), image.root);
    let count =
        |answer: &crate::harness::Answer| answer.json()["manifests"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&get(&url).await), 2);
    let filtered = get(&format!("{url}?artifactType=application%2Fsbom")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(count(&filtered), 1);
    let fallback = registry.manifest_url("x", &image.root.replace(':', "-"));
    assert_eq!(get(&fallback).await.status, 404);
    registry.configure(|options| options.referrers = Referrers::Unfiltered);
    assert_eq!(
        count(&get(&format!("{url}?artifactType=application%2Fsbom")).await),
        2
    );
    registry.configure(|options| options.referrers = Referrers::ByTag);
    assert_eq!(get(&url).await.status, 404);
    assert_eq!(count(&get(&fallback).await), 2);
}

#[tokio::test]
async fn blobs_can_be_redirected_to_another_host() {
    let cdn = FakeRegistry::builder()
        .address([127, 0, 0, 2])
        .start()
        .await;
    let registry = FakeRegistry::builder()
        .redirect_blobs_to(&cdn)
        .start()
        .await;
    let image = ImageBuilder::new(1).layer(1000).build();
    registry.put_image("a/b", "latest", &image);
    let redirect = get(&registry.blob_url("a/b", &image.layers()[0])).await;
    assert_eq!(redirect.status, 307);
    let location = redirect.header("location");
    assert!(location.starts_with(cdn.url()) && location.ends_with("?signature=abc%2Fdef"));
    assert_eq!(get_range(location, "10-19").await.status, 206);
    assert_eq!(cdn.count(On::cdn().ranged()), 1);
    let leaked = Client::new()
        .send(Method::GET, location, &[("authorization", "Bearer x")])
        .await;
    assert_eq!(leaked.status, 400);
    assert_eq!(cdn.count(On::cdn().with_header("authorization")), 1);
    cdn.fault(On::cdn(), Fault::CutAfter(10));
    assert!(!get(location).await.complete);
}

#[tokio::test]
async fn headers_and_ranges_can_be_left_out() {
    let registry = FakeRegistry::builder()
        .options(|options| {
            options.digest_header = false;
            options.length_header = false;
            options.ranges = false;
        })
        .start()
        .await;
    let digest = registry.put_blob("a", "0123456789");
    let url = registry.blob_url("a", &digest);
    let answer = get_range(&url, "5-").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"0123456789"[..]));
    for name in ["docker-content-digest", "content-length", "accept-ranges"] {
        assert_eq!(answer.header(name), "");
    }
    assert_eq!(head(&url).await.header("content-length"), "");
}

#[tokio::test]
async fn manifest_gets_can_be_rationed() {
    let registry = FakeRegistry::builder()
        .options(|o| o.pulls_left = Some(1))
        .start()
        .await;
    registry.put_image("a", "latest", &ImageBuilder::new(1).build());
    let url = registry.manifest_url("a", "latest");
    assert_eq!(head(&url).await.header("ratelimit-remaining"), "1;w=21600");
    assert_eq!(get(&url).await.header("ratelimit-remaining"), "0;w=21600");
    let refused = get(&url).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "60"));
    assert_eq!(head(&url).await.status, 200);
}

#[tokio::test]
async fn bandwidth_and_latency_are_kept() {
    let limited = FakeRegistry::builder()
        .bandwidth(1_000_000)
        .shared_bandwidth(2_000_000);
    let registry = limited.latency(Duration::from_millis(5)).start().await;
    let digest = registry.put_blob("a", vec![1; 100_000]);
    let url = registry.blob_url("a", &digest);
    let begin = Instant::now();
    let (one, other) = tokio::join!(get(&url), get(&url));
    assert!(one.complete && other.complete);
    // 100 ms at one megabyte per second, less the credit of 20 ms.
    assert!(begin.elapsed() >= Duration::from_millis(70));
}

#[tokio::test]
async fn two_servers_can_have_the_same_content() {
    let one = FakeRegistry::start().await;
    let other = FakeRegistry::builder().content_of(&one).start().await;
    let digest = one.put_blob("a", "x");
    assert_eq!(get(&other.blob_url("a", &digest)).await.status, 200);
    assert_eq!((one.count(On::any()), other.count(On::any())), (0, 1));
}

#[tokio::test]
async fn tls_offers_both_protocols_and_is_distrusted_without_the_authority() {
    let authority = Arc::new(Authority::new());
    let registry = FakeRegistry::builder().tls(&authority).start().await;
    let digest = registry.put_blob("a", vec![1; 300_000]);
    let url = registry.blob_url("a", &digest);
    let client = Client::trusting(&authority.pem());
    let answer = client.get(&url).await;
    assert_eq!(
        (answer.version, answer.body.len()),
        (http::Version::HTTP_2, 300_000)
    );
    assert_eq!(client.head(&url).await.header("content-length"), "300000");
    registry.fault(On::blob(), Fault::CutAfter(200_000));
    let cut = client.get(&url).await;
    assert!(!cut.complete && cut.body.len() <= 200_000);
    registry.fault(On::blob(), Fault::DropBeforeAnswer);
    assert!(client.try_send(Method::GET, &url, &[]).await.is_err());
    assert!(
        Client::new()
            .try_send(Method::GET, &url, &[])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn tls_over_http1_plays_every_fault() {
    let authority = Arc::new(Authority::new());
    let registry = FakeRegistry::builder()
        .tls(&authority)
        .http1_only()
        .start()
        .await;
    let digest = registry.put_blob("a", vec![1; 300_000]);
    let url = registry.blob_url("a", &digest);
    let client = Client::trusting(&authority.pem());
    registry.fault(On::blob(), Fault::CutAfter(200_000));
    let cut = client.get(&url).await;
    assert_eq!((cut.version, cut.complete), (http::Version::HTTP_11, false));
    assert_eq!(cut.body.len(), 200_000);
    assert!(client.get(&url).await.complete);
}

#[tokio::test]
async fn a_client_certificate_can_be_required() {
    let authority = Arc::new(Authority::new());
    let builder = FakeRegistry::builder()
        .tls(&authority)
        .require_client_certificate();
    let registry = builder.start().await;
    let url = format!("{}/v2/", registry.url());
    let anonymous = Client::trusting(&authority.pem());
    assert!(anonymous.try_send(Method::GET, &url, &[]).await.is_err());
    let client = Client::trusting_as(&authority.pem(), &authority.client("tester"));
    assert_eq!(client.get(&url).await.status, 200);
    assert!(registry.requests()[0].request.client_certificate);
}

#[tokio::test]
async fn redirects_may_lead_from_https_to_http() {
    let authority = Arc::new(Authority::new());
    let plain = FakeRegistry::start().await;
    let registry = FakeRegistry::builder()
        .tls(&authority)
        .redirect_blobs_to(&plain)
        .start()
        .await;
    let digest = registry.put_blob("a", "x");
    let client = Client::trusting(&authority.pem());
    let redirect = client.get(&registry.blob_url("a", &digest)).await;
    assert!(redirect.header("location").starts_with("http://"));
    assert_eq!(client.get(redirect.header("location")).await.body, "x");
}
