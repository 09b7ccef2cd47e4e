//! "Push", "Pushing Manifests", "Pushing Manifests with Subject".

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{BOTH, REPOSITORY, Registry, absent, manifest_path};
use crate::{
    harness::{ImageBuilder, digest_of, media_type, sha256},
    push::setup,
    server::on_both,
};

on_both!(
    push_a_subject_that_is_not_there_is_accepted,
    push_a_manifest_refused_for_what_is_missing_is_manifest_blob_unknown,
    push_a_sparse_image_is_accepted_where_the_project_says_so,
    pushing_manifests_parameters_of_the_content_type_are_ignored,
    pushing_manifests_the_bytes_are_kept_exactly,
    pushing_manifests_is_201_with_location_and_digest,
    pushing_manifests_a_reference_is_a_tag_or_a_digest,
    pushing_manifests_a_list_of_blobs_may_be_empty,
    pushing_manifests_by_digest_takes_tags_and_names_each,
    pushing_manifests_a_repository_that_does_not_exist_is_404_to_pulls,
    pushing_manifests_four_megabytes_are_taken_and_more_is_413,
    pushing_with_subject_is_answered_by_oci_subject,
);

fn bytes(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}

fn of_subject(media_type: &str, digest: &str) -> Value {
    let subject = json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 7});
    json!({"schemaVersion": 2, "mediaType": media_type, "subject": subject})
}

async fn push_a_subject_that_is_not_there_is_accepted() {
    let registry = Registry::start().await;
    for subject in absent() {
        let mut index = of_subject(media_type::OCI_INDEX, &subject);
        index["manifests"] = json!([]);
        let put = registry
            .put_manifest("1", media_type::OCI_INDEX, &bytes(&index))
            .await;
        assert_eq!(
            (put.status, put.header("oci-subject")),
            (201, subject.as_str())
        );
    }
}

async fn push_a_manifest_refused_for_what_is_missing_is_manifest_blob_unknown() {
    let registry = Registry::start().await;
    let image = ImageBuilder::new(1).layer(300).build();
    let root = image.root_manifest();
    let refused = registry
        .put_manifest("1", &root.media_type, &root.bytes)
        .await;
    assert_eq!(refused.status, 400);
    for (code, _) in refused.errors() {
        assert_eq!(code, "MANIFEST_BLOB_UNKNOWN");
    }
    assert_eq!(registry.get(&manifest_path("1")).await.status, 404);
}

async fn push_a_sparse_image_is_accepted_where_the_project_says_so() {
    let registry = Registry::of(setup("sparse_image = true").start().await);
    let image = ImageBuilder::new(1).layer(300).layer(400).build();
    registry.blob(&image.blob(&image.config())).await;
    let root = image.root_manifest();
    let put = registry
        .put_manifest("1", &root.media_type, &root.bytes)
        .await;
    assert_eq!(put.status, 201);
    assert_eq!(registry.get(&manifest_path("1")).await.body, root.bytes);
    // What comes later belongs to it.
    let layer = &image.layers()[0];
    assert_eq!(registry.head(&super::blob_path(layer)).await.status, 404);
    registry.blob(&image.blob(layer)).await;
    assert_eq!(registry.head(&super::blob_path(layer)).await.status, 200);
}

async fn pushing_manifests_parameters_of_the_content_type_are_ignored() {
    let registry = Registry::start().await;
    let body =
        bytes(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}));
    for content_type in ["; charset=utf-8", ";a=b;c=d", " ; a=\"b\""] {
        let content_type = format!("{}{content_type}", media_type::OCI_INDEX);
        let put = registry.put_manifest("1", &content_type, &body).await;
        assert_eq!(put.status, 201, "{content_type}");
        let got = registry.get(&manifest_path("1")).await;
        assert_eq!(got.header("content-type"), media_type::OCI_INDEX);
    }
}

async fn pushing_manifests_the_bytes_are_kept_exactly() {
    let registry = Registry::start().await;
    let type_ = media_type::OCI_INDEX;
    for (tag, text) in [
        (
            "spaces",
            format!(
                "{{ \"schemaVersion\" : 2,\n\t\"mediaType\":\"{type_}\",\"manifests\":[ ]}}\n\n"
            ),
        ),
        (
            "order",
            format!("{{\"manifests\":[],\"mediaType\":\"{type_}\",\"schemaVersion\":2}}"),
        ),
        (
            "members",
            format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"{type_}\",\"manifests\":[],\"x\":{{\"y\":1e400}}}}"
            ),
        ),
        (
            "escapes",
            format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"{type_}\",\"manifests\":[],\"annotations\":{{\"\\u00e4\":\"ä\"}}}}"
            ),
        ),
    ] {
        let body = Bytes::from(text);
        assert_eq!(
            registry.put_manifest(tag, type_, &body).await.status,
            201,
            "{tag}"
        );
        for reference in [tag, &sha256(&body)] {
            assert_eq!(
                registry.get(&manifest_path(reference)).await.body,
                body,
                "{tag}"
            );
        }
    }
}

async fn pushing_manifests_is_201_with_location_and_digest() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        let body = bytes(&json!({"algorithm": format!("{algorithm:?}")}));
        let digest = digest_of(algorithm, &body);
        let put = registry.put_manifest(&digest, "a/b", &body).await;
        assert_eq!(
            (put.status, put.header("docker-content-digest")),
            (201, digest.as_str())
        );
        assert_eq!(registry.get(put.header("location")).await.body, body);
    }
    let body = bytes(&json!({"by": "tag"}));
    let put = registry.put_manifest("1", "a/b", &body).await;
    assert_eq!(
        (put.status, put.header("docker-content-digest")),
        (201, sha256(&body).as_str())
    );
    assert_eq!(registry.get(put.header("location")).await.body, body);
}

async fn pushing_manifests_a_reference_is_a_tag_or_a_digest() {
    let registry = Registry::start().await;
    let body = bytes(&json!({"a": 1}));
    for reference in [
        "-x",
        "sha256:00",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "a%3Ab",
    ] {
        let put = registry.put_manifest(reference, "a/b", &body).await;
        assert!(
            matches!(put.status, 400 | 404),
            "{reference}: {}",
            put.status
        );
    }
    // A digest of other bytes.
    for digest in absent() {
        let put = registry.put_manifest(&digest, "a/b", &body).await;
        assert_eq!(
            (put.status, put.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
    }
}

async fn pushing_manifests_a_list_of_blobs_may_be_empty() {
    let registry = Registry::start().await;
    let config = registry.blob(&Bytes::from("{}")).await;
    let config = json!({"mediaType": media_type::OCI_EMPTY, "digest": config, "size": 2});
    let image = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/vnd.example", "config": config, "layers": []});
    let put = registry
        .put_manifest("1", media_type::OCI_MANIFEST, &bytes(&image))
        .await;
    assert_eq!(put.status, 201);
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
    let put = registry
        .put_manifest("2", media_type::OCI_INDEX, &bytes(&index))
        .await;
    assert_eq!(put.status, 201);
}

async fn pushing_manifests_by_digest_takes_tags_and_names_each() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        let body = bytes(&json!({"algorithm": format!("{algorithm:?}")}));
        let mut reference = format!("{}?", digest_of(algorithm, &body));
        let tags: Vec<String> = (0..20).map(|n| format!("v{n}")).collect();
        for tag in &tags {
            write!(reference, "tag={tag}&").expect("a string takes everything");
        }
        let put = registry.put_manifest(&reference, "a/b", &body).await;
        assert_eq!(put.status, 201);
        let named = put.headers.get_all("oci-tag").iter();
        let named = named.filter_map(|value| value.to_str().ok());
        let named: Vec<&str> = named
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        assert_eq!(named, tags);
        for tag in &tags {
            assert_eq!(registry.get(&manifest_path(tag)).await.body, body);
        }
    }
}

async fn pushing_manifests_a_repository_that_does_not_exist_is_404_to_pulls() {
    let registry = Registry::start().await;
    registry.image(1, "1").await;
    for repository in ["team/nothing", "nowhere/nothing", "nothing"] {
        for path in ["manifests/1", "tags/list"] {
            let got = registry.get(&format!("/v2/{repository}/{path}")).await;
            assert_eq!(got.status, 404, "{repository}/{path}");
        }
    }
}

async fn pushing_manifests_four_megabytes_are_taken_and_more_is_413() {
    let registry = Registry::start().await;
    for (length, expected) in [(4_000_000, 201), (4 << 20, 201), ((4 << 20) + 1, 413)] {
        let padding = "x".repeat(length - "{\"padding\":\"\"}".len());
        let body = Bytes::from(format!("{{\"padding\":\"{padding}\"}}"));
        assert_eq!(
            registry.put_manifest("1", "a/b", &body).await.status,
            expected
        );
    }
}

async fn pushing_with_subject_is_answered_by_oci_subject() {
    let registry = Registry::start().await;
    let subject = registry.image(1, "1").await;
    let artifact = ImageBuilder::artifact(2, "application/vnd.example", &subject).build();
    for bytes in artifact.blobs.values() {
        registry.blob(bytes).await;
    }
    let root = artifact.root_manifest();
    for reference in ["tagged", &root.digest] {
        let put = registry
            .put_manifest(reference, &root.media_type, &root.bytes)
            .await;
        assert_eq!(
            (put.status, put.header("oci-subject")),
            (201, subject.root.as_str())
        );
    }
    let without = registry.put_manifest("1", "a/b", &Bytes::from("{}")).await;
    assert!(!without.headers.contains_key("oci-subject"));
    assert_eq!(
        registry
            .get(&format!("/v2/{REPOSITORY}/tags/list"))
            .await
            .status,
        200
    );
}
