//! "Pulling manifests", "Pulling blobs", "Checking if content exists in the registry".

use bytes::Bytes;
use http::Method;

use super::{BOTH, REPOSITORY, Registry, absent, blob_path, manifest_path, with_digest};
use crate::{
    harness::{ImageBuilder, digest_of, media_type, random_bytes},
    server::on_both,
};

on_both!(
    pulling_manifests_a_name_matches_the_grammar,
    pulling_manifests_a_tag_matches_the_grammar,
    pulling_manifests_the_content_type_is_what_was_pushed_without_parameters,
    pulling_manifests_an_existing_one_is_200_with_its_bytes_and_digest,
    pulling_manifests_a_missing_one_is_404,
    pulling_blobs_an_existing_one_is_200_with_its_bytes_and_digest,
    pulling_blobs_a_missing_one_is_404,
    pulling_blobs_a_range_is_supported,
    checking_existing_content_is_200_with_digest_and_length,
    checking_missing_content_is_404,
);

async fn pulling_manifests_a_name_matches_the_grammar() {
    let registry = Registry::start().await;
    let upload = async |name: &str| {
        let path = format!("/v2/{name}/blobs/uploads/");
        registry.send(Method::POST, &path, &[], "").await
    };
    for name in ["team/0", "team/a.b_c__d-e---f/9.z", "team/a/b/c/d/e"] {
        assert_eq!(upload(name).await.status, 202, "{name}");
    }
    for name in [
        "team/A",
        "team/a..b",
        "team/a___b",
        "team/a._b",
        "team/-a",
        "team/a-",
        "team/_a",
        "team/a.",
        "team//a",
        "team/%C3%A4",
        "team/a%20b",
        "Team/a",
    ] {
        let refused = upload(name).await;
        assert!(
            matches!(refused.status, 400 | 404),
            "{name}: {}",
            refused.status
        );
    }
}

async fn pulling_manifests_a_tag_matches_the_grammar() {
    let registry = Registry::start().await;
    let body = Bytes::from("{\"schemaVersion\":2}");
    let longest = "x".repeat(128);
    for tag in ["_", "0", "a.b-c_D", longest.as_str()] {
        let put = registry.put_manifest(tag, "a/b", &body).await;
        assert_eq!(put.status, 201, "{tag}");
        assert_eq!(registry.get(&manifest_path(tag)).await.body, body, "{tag}");
    }
    let too_long = "x".repeat(129);
    for tag in [
        ".a",
        "-a",
        "a+b",
        "a%20b",
        "a:b",
        "sha256:00",
        too_long.as_str(),
    ] {
        let put = registry.put_manifest(tag, "a/b", &body).await;
        assert!(matches!(put.status, 400 | 404), "{tag}: {}", put.status);
        let got = registry.get(&manifest_path(tag)).await;
        assert!(matches!(got.status, 400 | 404), "{tag}: {}", got.status);
    }
}

async fn pulling_manifests_the_content_type_is_what_was_pushed_without_parameters() {
    let registry = Registry::start().await;
    let body = Bytes::from("{\"any\":1}");
    for (tag, pushed) in [
        ("1", "application/vnd.example.one+json"),
        ("2", "application/vnd.example.two+json; charset=utf-8"),
    ] {
        assert_eq!(registry.put_manifest(tag, pushed, &body).await.status, 201);
        let expected = pushed.split(';').next().expect("a media type");
        for method in [Method::GET, Method::HEAD] {
            let answer = registry
                .send(method, &manifest_path(tag), &[("accept", "*/*")], "")
                .await;
            assert_eq!(answer.header("content-type"), expected);
        }
    }
}

async fn pulling_manifests_an_existing_one_is_200_with_its_bytes_and_digest() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        let image = ImageBuilder::new(1).algorithm(algorithm).layer(300).build();
        for bytes in image.blobs.values() {
            let digest = digest_of(algorithm, bytes);
            let pushed = registry
                .post(&format!("?digest={digest}"), bytes.clone())
                .await;
            assert_eq!(pushed.status, 201);
        }
        let root = image.root_manifest();
        let by_digest = format!("{}?tag=tag", root.digest);
        let put = registry
            .put_manifest(&by_digest, &root.media_type, &root.bytes)
            .await;
        assert_eq!(put.status, 201);
        for reference in ["tag", &root.digest] {
            let got = registry.get(&manifest_path(reference)).await;
            assert_eq!((got.status, &got.body), (200, &root.bytes));
            assert_eq!(got.header("docker-content-digest"), root.digest);
        }
    }
}

async fn pulling_manifests_a_missing_one_is_404() {
    let registry = Registry::start().await;
    let image = registry.image(1, "1").await;
    let [one, other] = absent();
    for reference in ["2", &one, &other] {
        let got = registry.get(&manifest_path(reference)).await;
        assert_eq!(
            (got.status, got.error_code().as_str()),
            (404, "MANIFEST_UNKNOWN")
        );
    }
    // Not in another repository either.
    for reference in ["1", &image.root] {
        let path = format!("/v2/team/clauses/other/manifests/{reference}");
        assert_eq!(registry.get(&path).await.status, 404);
    }
}

async fn pulling_blobs_an_existing_one_is_200_with_its_bytes_and_digest() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        for bytes in [random_bytes(1, 70_000), Bytes::new()] {
            let digest = digest_of(algorithm, &bytes);
            let location = with_digest(&registry.session().await, &digest);
            let put = registry
                .send(Method::PUT, &location, &[], bytes.clone())
                .await;
            assert_eq!(put.status, 201);
            let got = registry.get(&blob_path(&digest)).await;
            assert_eq!((got.status, got.body), (200, bytes));
            assert_eq!(got.headers["docker-content-digest"], digest);
        }
    }
}

async fn pulling_blobs_a_missing_one_is_404() {
    let registry = Registry::start().await;
    let digest = registry.blob(&Bytes::from("here")).await;
    for absent in absent() {
        let got = registry.get(&blob_path(&absent)).await;
        assert_eq!(
            (got.status, got.error_code().as_str()),
            (404, "BLOB_UNKNOWN")
        );
    }
    let elsewhere = format!("/v2/team/clauses/other/blobs/{digest}");
    assert_eq!(registry.get(&elsewhere).await.status, 404);
}

async fn pulling_blobs_a_range_is_supported() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 1000);
    let path = blob_path(&registry.blob(&bytes).await);
    for (range, content_range, expected) in [
        ("bytes=0-99", "bytes 0-99/1000", 0..100),
        ("bytes=900-", "bytes 900-999/1000", 900..1000),
        ("bytes=-1", "bytes 999-999/1000", 999..1000),
        ("bytes=990-5000", "bytes 990-999/1000", 990..1000),
    ] {
        let got = registry
            .send(Method::GET, &path, &[("range", range)], "")
            .await;
        assert_eq!(
            (got.status, got.body),
            (206, bytes.slice(expected)),
            "{range}"
        );
        assert_eq!(got.headers["content-range"], content_range);
    }
    let beyond = registry
        .send(Method::GET, &path, &[("range", "bytes=1000-")], "")
        .await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, "bytes */1000")
    );
    for ignored in ["bytes=5-2", "lines=0-1", "bytes=x"] {
        let got = registry
            .send(Method::GET, &path, &[("range", ignored)], "")
            .await;
        assert_eq!((got.status, &got.body), (200, &bytes), "{ignored}");
    }
}

async fn checking_existing_content_is_200_with_digest_and_length() {
    let registry = Registry::start().await;
    let image = registry.image(1, "1").await;
    let root = image.root_manifest();
    let mut content = vec![
        (manifest_path("1"), &root.digest, root.bytes.len()),
        (manifest_path(&root.digest), &root.digest, root.bytes.len()),
    ];
    for (digest, bytes) in &image.blobs {
        content.push((blob_path(digest), digest, bytes.len()));
    }
    for (path, digest, length) in content {
        let head = registry.head(&path).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("docker-content-digest"), digest);
        assert_eq!(head.header("content-length"), length.to_string());
    }
    assert_eq!(
        registry
            .head(&manifest_path("1"))
            .await
            .header("content-type"),
        media_type::OCI_MANIFEST
    );
}

async fn checking_missing_content_is_404() {
    let registry = Registry::start().await;
    registry.image(1, "1").await;
    for repository in [REPOSITORY, "team/clauses/other"] {
        for absent in absent() {
            for path in ["blobs", "manifests"] {
                let path = format!("/v2/{repository}/{path}/{absent}");
                assert_eq!(registry.head(&path).await.status, 404, "{path}");
            }
        }
        let path = format!("/v2/{repository}/manifests/absent");
        assert_eq!(registry.head(&path).await.status, 404);
    }
}
