//! Members talk to members only.

use super::{Shared, mirror};
use crate::{
    fill::{KIB, MIB},
    harness::{Client, FakeRegistry, On, SlowReader, drain_sha256, random_bytes},
};

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_secret_is_told_nothing() {
    let remote = FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, 64 * KIB));
    let shared = Shared::new().await;
    let replica = shared.replica(mirror(&remote)).await;
    assert!(
        drain_sha256(&replica.server.blob_url("r/app", &digest))
            .await
            .complete
    );
    let unknown = digest.replace(char::is_numeric, "0");
    for path in [
        format!("/peer/m/fills/{digest}?from=0"),
        format!("/peer/m/blobs/{digest}?from=0"),
        format!("/peer/m/blobs/{unknown}?from=0"),
        "/peer/m/other/x".to_owned(),
    ] {
        for proof in ["", "Entrepot-Peer 1 00", "Basic dTpw"] {
            let url = format!("{}{path}", replica.server.url());
            let answer = Client::new()
                .send(reqwest::Method::GET, &url, &[("authorization", proof)])
                .await;
            assert_eq!(
                (answer.status, answer.body.len()),
                (403, 0),
                "{path} {proof}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_another_secret_gets_its_bytes_from_the_remote() {
    let remote = FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, MIB));
    let shared = Shared::new().await;
    let leader = shared.replica(mirror(&remote)).await;
    let stranger = shared
        .replica_with(mirror(&remote), "0123456789abcdefghijkl")
        .await;
    let hold = remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut first = SlowReader::open(&leader.server.blob_url("r/app", &digest), &[]).await;
    first.read(256 * KIB).await;
    let url = stranger.server.blob_url("r/app", &digest);
    let other = tokio::spawn(async move { drain_sha256(&url).await });
    hold.reached(2).await;
    hold.release();
    assert_eq!(other.await.expect("no panic").digest, digest);
    first.read_to_end().await;
    assert_eq!(remote.count(On::blob().get()), 2);
}
