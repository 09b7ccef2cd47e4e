//! "Pushing a blob in chunks", "Cancel a blob upload".

use bytes::Bytes;
use http::Method;

use super::{BOTH, Registry, absent, blob_path, with_digest};
use crate::{
    harness::{Algorithm, digest_of, random_bytes, sha256},
    push::Pushed,
    server::on_both,
};

on_both!(
    chunks_the_post_takes_digest_algorithm,
    chunks_each_patch_is_202_with_location_and_range,
    chunks_begin_with_zero_and_their_range_has_one_form,
    chunks_out_of_order_are_416,
    chunks_may_end_with_the_put_or_before_it,
    chunks_the_put_needs_the_digest_of_the_whole_blob,
    chunks_the_put_out_of_order_is_416,
    chunks_the_status_is_204_with_location_and_range,
    chunks_of_no_known_length_are_taken_without_a_range,
    cancelling_is_204_and_the_session_is_gone,
);

impl Registry {
    async fn patch(&self, location: &str, range: &str, bytes: Bytes) -> Pushed {
        let headers = [
            ("content-type", "application/octet-stream"),
            ("content-range", range),
        ];
        self.send(Method::PATCH, location, &headers, bytes).await
    }

    /// A session that has these bytes.
    async fn session_with(&self, bytes: &Bytes) -> String {
        let range = format!("0-{}", bytes.len() - 1);
        let patched = self
            .patch(&self.session().await, &range, bytes.clone())
            .await;
        assert_eq!(patched.status, 202);
        patched.header("location").to_owned()
    }

    async fn finish(&self, location: &str, digest: &str) -> Pushed {
        self.send(Method::PUT, &with_digest(location, digest), &[], "")
            .await
    }
}

async fn chunks_the_post_takes_digest_algorithm() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 5000);
    for (query, algorithm) in [
        ("?digest-algorithm=sha256", BOTH[0]),
        ("?digest-algorithm=sha512", BOTH[1]),
    ] {
        let started = registry.send_post(query).await;
        let patched = registry
            .patch(started.header("location"), "0-4999", bytes.clone())
            .await;
        assert_eq!(patched.status, 202);
        let digest = digest_of(algorithm, &bytes);
        let done = registry.finish(patched.header("location"), &digest).await;
        assert_eq!(
            (done.status, done.header("docker-content-digest")),
            (201, digest.as_str())
        );
        assert_eq!(registry.get(&blob_path(&digest)).await.body, bytes);
    }
}

impl Registry {
    /// `Content-Length: 0`, as the clause has it. A chunk of any size is taken; with object storage large ones cost less,
    /// and a client is told so.
    async fn send_post(&self, query: &str) -> Pushed {
        let started = self.post(query, "").await;
        assert_eq!(started.status, 202);
        let least = started.header("oci-chunk-min-length");
        assert!(["", "5242880"].contains(&least), "{least}");
        started
    }
}

async fn chunks_each_patch_is_202_with_location_and_range() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 300_000);
    let mut location = registry.session().await;
    for (first, last) in [(0, 0), (1, 99_999), (100_000, 299_999)] {
        let patched = registry
            .patch(
                &location,
                &format!("{first}-{last}"),
                bytes.slice(first..=last),
            )
            .await;
        assert_eq!(
            (patched.status, patched.header("range")),
            (202, format!("0-{last}").as_str())
        );
        patched.header("location").clone_into(&mut location);
    }
    let digest = sha256(&bytes);
    assert_eq!(registry.finish(&location, &digest).await.status, 201);
    assert_eq!(registry.get(&blob_path(&digest)).await.body, bytes);
}

async fn chunks_begin_with_zero_and_their_range_has_one_form() {
    let registry = Registry::start().await;
    let session = registry.session().await;
    assert_eq!(
        registry
            .patch(&session, "1-4", Bytes::from("late"))
            .await
            .status,
        416
    );
    for range in ["", "0", "0-", "-3", "a-b", "0-3,4-7"] {
        let refused = registry.patch(&session, range, Bytes::from("form")).await;
        assert!(
            matches!(refused.status, 400 | 416),
            "{range}: {}",
            refused.status
        );
    }
    // Longer or shorter than it says.
    for range in ["0-2", "0-9"] {
        let refused = registry.patch(&session, range, Bytes::from("four")).await;
        assert!(
            matches!(refused.status, 400 | 416),
            "{range}: {}",
            refused.status
        );
    }
    assert_eq!(
        registry
            .patch(&session, "0-3", Bytes::from("four"))
            .await
            .status,
        202
    );
}

async fn chunks_out_of_order_are_416() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 300);
    let location = registry.session_with(&bytes.slice(..100)).await;
    for (first, last) in [(200, 299), (101, 299), (0, 99), (99, 199)] {
        let refused = registry
            .patch(
                &location,
                &format!("{first}-{last}"),
                bytes.slice(first..=last),
            )
            .await;
        assert_eq!(refused.status, 416, "{first}-{last}");
    }
    // It goes on from where it was.
    let status = registry.get(&location).await;
    assert_eq!((status.status, status.header("range")), (204, "0-99"));
    let rest = registry
        .patch(status.header("location"), "100-299", bytes.slice(100..))
        .await;
    assert_eq!(rest.status, 202);
    assert_eq!(
        registry.finish(&location, &sha256(&bytes)).await.status,
        201
    );
}

async fn chunks_may_end_with_the_put_or_before_it() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 300);
    let digest = sha256(&bytes);
    for (first, headers) in [
        (300, vec![]),
        (100, vec![("content-range", "100-299")]),
        (100, vec![]),
    ] {
        let location = registry.session_with(&bytes.slice(..first)).await;
        let location = with_digest(&location, &digest);
        let done = registry
            .send(Method::PUT, &location, &headers, bytes.slice(first..))
            .await;
        assert_eq!(done.status, 201, "{headers:?}");
        assert_eq!(registry.get(done.header("location")).await.body, bytes);
    }
}

async fn chunks_the_put_needs_the_digest_of_the_whole_blob() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 300);
    let location = registry.session_with(&bytes.slice(..200)).await;
    let closed = registry.send(Method::PUT, &location, &[], "").await;
    assert_eq!(closed.status, 400);
    let of_the_chunk = with_digest(&location, &sha256(&bytes[200..]));
    let headers = [("content-range", "200-299")];
    let closed = registry
        .send(Method::PUT, &of_the_chunk, &headers, bytes.slice(200..))
        .await;
    assert_eq!(
        (closed.status, closed.error_code().as_str()),
        (400, "DIGEST_INVALID")
    );
    for digest in [sha256(&bytes), sha256(&bytes[200..])] {
        assert_eq!(registry.head(&blob_path(&digest)).await.status, 404);
    }
}

async fn chunks_the_put_out_of_order_is_416() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 300);
    let location = registry.session_with(&bytes.slice(..100)).await;
    let location = with_digest(&location, &sha256(&bytes));
    for (range, body) in [
        ("200-299", bytes.slice(200..)),
        ("0-99", bytes.slice(..100)),
    ] {
        let put = registry
            .send(Method::PUT, &location, &[("content-range", range)], body)
            .await;
        assert_eq!(put.status, 416, "{range}");
    }
    let put = registry
        .send(
            Method::PUT,
            &location,
            &[("content-range", "100-299")],
            bytes.slice(100..),
        )
        .await;
    assert_eq!(put.status, 201);
}

async fn chunks_the_status_is_204_with_location_and_range() {
    let registry = Registry::start().await;
    let location = registry.session_with(&random_bytes(1, 100)).await;
    let status = registry.get(&location).await;
    assert_eq!((status.status, status.header("range")), (204, "0-99"));
    let next = registry
        .patch(status.header("location"), "100-199", random_bytes(2, 100))
        .await;
    assert_eq!(next.header("range"), "0-199");
}

async fn chunks_of_no_known_length_are_taken_without_a_range() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 200_000);
    let pieces = [bytes.slice(..70_000), bytes.slice(70_000..)].map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let location = registry.session().await;
    let patch = registry.pusher.request(Method::PATCH, &location).body(body);
    let patched = crate::push::Pusher::send(patch).await;
    assert_eq!((patched.status, patched.header("range")), (202, "0-199999"));
    let digest = digest_of(Algorithm::Sha512, &bytes);
    assert_eq!(
        registry
            .finish(patched.header("location"), &digest)
            .await
            .status,
        201
    );
}

async fn cancelling_is_204_and_the_session_is_gone() {
    let registry = Registry::start().await;
    let bytes = random_bytes(1, 100);
    let location = registry.session_with(&bytes).await;
    let cancel = async || {
        registry
            .send(Method::DELETE, &location, &[], "")
            .await
            .status
    };
    assert_eq!(cancel().await, 204);
    assert_eq!(cancel().await, 404);
    assert_eq!(registry.get(&location).await.status, 404);
    assert_eq!(
        registry
            .patch(&location, "100-199", bytes.clone())
            .await
            .status,
        404
    );
    let finished = registry.finish(&location, &sha256(&bytes)).await;
    assert_eq!(
        (finished.status, finished.error_code().as_str()),
        (404, "BLOB_UPLOAD_UNKNOWN")
    );
    for digest in absent() {
        assert_eq!(registry.finish(&location, &digest).await.status, 404);
    }
}
