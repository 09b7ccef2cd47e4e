//! "Pushing blobs", "Pushing a blob monolithically", "Mounting a blob from another repository".

use bytes::Bytes;
use http::Method;
use uuid::Uuid;

use super::{BOTH, REPOSITORY, Registry, absent, blob_path, with_digest};
use crate::{
    harness::{digest_of, random_bytes, sha256},
    push::Pushed,
    server::on_both,
};

on_both!(
    pushing_blobs_an_invalid_or_unsupported_digest_is_400,
    post_then_put_the_post_is_202_with_a_location_that_has_a_uuid,
    post_then_put_the_put_is_201_with_the_location_of_the_blob,
    post_then_put_a_digest_that_does_not_match_is_refused,
    single_post_is_201_with_the_location_of_the_blob,
    single_post_a_digest_that_does_not_match_is_refused,
    single_post_without_a_body_is_202_and_goes_on_with_a_put,
    mounting_is_201_with_the_location_of_the_blob,
    mounting_needs_no_from,
    mounting_what_cannot_be_is_202_and_an_upload,
);

const INVALID: [&str; 6] = [
    "sha256:00",
    "sha256",
    "sha256:",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    "sha999:d41d8cd98f00b204e9800998ecf8427e",
    "sha256:ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
];

impl Registry {
    /// 201, and the blob can be pulled from where it is said to be, with this digest.
    async fn is_pushed(&self, created: &Pushed, digest: &str, bytes: &Bytes) {
        assert_eq!(created.status, 201, "{:?}", created.body);
        assert_eq!(created.header("docker-content-digest"), digest);
        let pulled = self.get(created.header("location")).await;
        assert_eq!((pulled.status, &pulled.body), (200, bytes));
    }
}

async fn pushing_blobs_an_invalid_or_unsupported_digest_is_400() {
    let registry = Registry::start().await;
    let session = registry.session().await;
    for digest in INVALID {
        let posted = registry.post(&format!("?digest={digest}"), "x").await;
        assert_eq!(
            (posted.status, posted.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
        let put = registry
            .send(Method::PUT, &with_digest(&session, digest), &[], "x")
            .await;
        assert_eq!(
            (put.status, put.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
    }
    let started = registry.post("?digest-algorithm=md5", "").await;
    assert_eq!(started.status, 400);
}

async fn post_then_put_the_post_is_202_with_a_location_that_has_a_uuid() {
    let registry = Registry::start().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let started = registry.post("", "").await;
        assert_eq!(started.status, 202);
        let mut parts = started.header("location").split(['/', '?', '=']);
        let uuid = parts.find_map(|part| part.parse::<Uuid>().ok());
        seen.push(uuid.expect("a UUID"));
    }
    assert_ne!(seen[0], seen[1]);
}

async fn post_then_put_the_put_is_201_with_the_location_of_the_blob() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        for bytes in [random_bytes(1, 100_000), Bytes::new()] {
            let digest = digest_of(algorithm, &bytes);
            let location = with_digest(&registry.session().await, &digest);
            let headers = [("content-type", "application/octet-stream")];
            let put = registry
                .send(Method::PUT, &location, &headers, bytes.clone())
                .await;
            registry.is_pushed(&put, &digest, &bytes).await;
        }
    }
}

async fn post_then_put_a_digest_that_does_not_match_is_refused() {
    let registry = Registry::start().await;
    for digest in absent() {
        let location = with_digest(&registry.session().await, &digest);
        let put = registry
            .send(Method::PUT, &location, &[], "other bytes")
            .await;
        assert_eq!(
            (put.status, put.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
        assert_eq!(registry.head(&blob_path(&digest)).await.status, 404);
    }
}

async fn single_post_is_201_with_the_location_of_the_blob() {
    let registry = Registry::start().await;
    for algorithm in BOTH {
        let bytes = random_bytes(1, 100_000);
        let digest = digest_of(algorithm, &bytes);
        let posted = registry
            .post(&format!("?digest={digest}"), bytes.clone())
            .await;
        registry.is_pushed(&posted, &digest, &bytes).await;
    }
}

async fn single_post_a_digest_that_does_not_match_is_refused() {
    let registry = Registry::start().await;
    for digest in absent() {
        let posted = registry
            .post(&format!("?digest={digest}"), "other bytes")
            .await;
        assert_eq!(
            (posted.status, posted.error_code().as_str()),
            (400, "DIGEST_INVALID")
        );
        assert_eq!(registry.head(&blob_path(&digest)).await.status, 404);
    }
}

async fn single_post_without_a_body_is_202_and_goes_on_with_a_put() {
    let registry = Registry::start().await;
    let bytes = Bytes::from("it comes later");
    let digest = sha256(&bytes);
    let posted = registry.post(&format!("?digest={digest}"), "").await;
    assert_eq!(posted.status, 202);
    let location = with_digest(posted.header("location"), &digest);
    let put = registry
        .send(Method::PUT, &location, &[], bytes.clone())
        .await;
    registry.is_pushed(&put, &digest, &bytes).await;
}

async fn mounting_is_201_with_the_location_of_the_blob() {
    let registry = Registry::start().await;
    let bytes = Bytes::from("shared");
    let digest = registry.pusher.blob("team/clauses/from", &bytes).await;
    assert_eq!(registry.head(&blob_path(&digest)).await.status, 404);
    let query = format!("?mount={digest}&from=team/clauses/from");
    let mounted = registry.post(&query, "").await;
    registry.is_pushed(&mounted, &digest, &bytes).await;
    assert_eq!(registry.get(&blob_path(&digest)).await.body, bytes);
}

/// The specification leaves it to the registry; this one finds it where the caller may pull.
async fn mounting_needs_no_from() {
    let registry = Registry::start().await;
    let bytes = Bytes::from("shared");
    let digest = registry.pusher.blob("team/clauses/from", &bytes).await;
    let mounted = registry.post(&format!("?mount={digest}"), "").await;
    registry.is_pushed(&mounted, &digest, &bytes).await;
}

async fn mounting_what_cannot_be_is_202_and_an_upload() {
    let registry = Registry::start().await;
    let bytes = Bytes::from("nobody had this");
    let digest = sha256(&bytes);
    for from in [
        format!("&from={REPOSITORY}"),
        "&from=team/nothing".to_owned(),
        String::new(),
    ] {
        let started = registry.post(&format!("?mount={digest}{from}"), "").await;
        assert_eq!(started.status, 202, "{from}");
        assert_eq!(registry.get(started.header("location")).await.status, 204);
    }
    let started = registry
        .post(&format!("?mount={digest}&from=team/nothing"), "")
        .await;
    let location = with_digest(started.header("location"), &digest);
    let put = registry
        .send(Method::PUT, &location, &[], bytes.clone())
        .await;
    registry.is_pushed(&put, &digest, &bytes).await;
}
