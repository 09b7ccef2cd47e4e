//! Upload sessions are nobody's own: each request may come to another replica.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use sqlx::{Connection as _, PgConnection};

use super::Shared;
use crate::{
    harness::{Algorithm, digest_of, get, random_bytes, sha256},
    push::{Pusher, setup},
};

const MIB: usize = 1 << 20;

async fn three() -> (Shared, Vec<super::Replica>, Vec<Pusher>) {
    let shared = Shared::new().await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(shared.replica(setup("")).await);
    }
    let pushers = replicas.iter().map(|replica| Pusher::of(&replica.server));
    let pushers = pushers.collect();
    (shared, replicas, pushers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_at_whatever_replica_it_comes_to() {
    let (shared, replicas, pushers) = three().await;
    // A whole part and a tail, then as much as makes a part of the tail, then the end.
    let large = (random_bytes(1, 24 * MIB), 17 * MIB, 23 * MIB);
    // Nothing but tails.
    let small = (random_bytes(2, 3000), 1000, 2000);
    for (bytes, first, second) in [large, small] {
        let session = pushers[0].session("team/app").await;
        let begin = pushers[0].patch(&session, None, bytes.slice(..first));
        assert_eq!(begin.await.status, 202);
        // Not what comes next.
        let range = format!("0-{}", bytes.len() - 1);
        let refused = pushers[2].patch(&session, Some(&range), bytes.clone());
        let refused = refused.await;
        let so_far = format!("0-{}", first - 1);
        assert_eq!(
            (refused.status, refused.header("range")),
            (416, so_far.as_str())
        );
        let range = format!("{first}-{}", second - 1);
        let next = pushers[1].patch(&session, Some(&range), bytes.slice(first..second));
        assert_eq!(next.await.status, 202);
        let status = pushers[0].get(&session).await;
        let so_far = format!("0-{}", second - 1);
        assert_eq!(
            (status.status, status.header("range")),
            (204, so_far.as_str())
        );
        let digest = sha256(&bytes);
        let finished = pushers[2].finish(&session, &digest, bytes.slice(second..));
        assert_eq!(finished.await.status, 201);
        for replica in &replicas {
            let pulled = get(&replica.server.blob_url("team/app", &digest)).await;
            assert_eq!((pulled.status, pulled.body), (200, bytes.clone()));
        }
        assert_eq!(pushers[0].get(&session).await.status, 404);
    }
    assert_eq!(shared.bucket.unfinished(), 0);
    assert_eq!(shared.bucket.files().len(), 2);
}

/// The client comes to another replica, and the first one has heard of no break.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stalls_at_one_replica_is_taken_over_at_another() {
    let (shared, replicas, pushers) = three().await;
    let bytes = random_bytes(4, 20 * MIB);
    let session = pushers[0].session("team/app").await;
    let begin = stream::iter([Ok::<_, std::io::Error>(bytes.slice(..17 * MIB))]);
    let stalls = pushers[0].request(Method::PATCH, &session);
    let stalls = stalls.body(reqwest::Body::wrap_stream(begin.chain(stream::pending())));
    let stalls = tokio::spawn(Pusher::send(stalls));
    // A part of it is on its way, and if this replica were killed now, others would know of it.
    let mut rows = PgConnection::connect(&shared.database)
        .await
        .expect("the server runs");
    let known = "SELECT object FROM upload WHERE multipart IS NOT NULL";
    super::until("something is sent", async || {
        let known: Vec<(String,)> = sqlx::query_as(known)
            .fetch_all(&mut rows)
            .await
            .expect("rows");
        known.len() == 1 && shared.bucket.unfinished() == 1
    })
    .await;
    // Nothing of a step counts before its end.
    let digest = sha256(&bytes);
    let finished = pushers[1].finish(&session, &digest, bytes.clone());
    assert_eq!(finished.await.status, 201);
    let pulled = get(&replicas[2].server.blob_url("team/app", &digest)).await;
    assert_eq!((pulled.status, pulled.body), (200, bytes));
    stalls.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_of_another_algorithm_is_compared_with_the_object() {
    let (_shared, replicas, pushers) = three().await;
    let bytes = random_bytes(3, 4000);
    let digest = digest_of(Algorithm::Sha512, &bytes);
    for query in ["", "?digest-algorithm=sha512"] {
        let wrong = digest_of(Algorithm::Sha512, b"something else");
        for (digest, expected) in [(&wrong, 400), (&digest, 201)] {
            let started = pushers[0].post("team/app", query).await;
            let session = started.header("location");
            let patch = pushers[1].patch(session, None, bytes.slice(..3000)).await;
            assert_eq!(patch.status, 202);
            let finished = pushers[2]
                .finish(session, digest, bytes.slice(3000..))
                .await;
            assert_eq!(finished.status, expected, "{query}");
            assert_eq!(pushers[0].get(session).await.status, 404);
        }
    }
    let url = replicas[0].server.blob_url("team/app", &digest);
    assert_eq!(get(&url).await.body, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_at_one_replica_is_pulled_at_another() {
    let (_shared, replicas, pushers) = three().await;
    for (tag, body) in [("1", "{\"a\":1}"), ("1", "{\"a\":2}")] {
        let pushed = pushers[0].manifest("team/app", tag, "a/b", Bytes::from(body));
        assert_eq!(pushed.await.status, 201);
        for replica in &replicas {
            let url = replica.server.manifest_url("team/app", tag);
            super::until("the tag is where it was pushed to", async || {
                get(&url).await.body == body
            })
            .await;
        }
    }
}
