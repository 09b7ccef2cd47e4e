//! One download for all replicas.

use tokio::task::JoinSet;

use super::{Shared, mirror, until};
use crate::{
    fill::{KIB, MIB},
    harness::{
        FakeRegistry, ImageBuilder, On, SlowReader, drain_sha256, get, random_bytes, sha256,
    },
    server::Setup,
};

/// A remote with one blob, and its digest.
async fn remote_with_blob(bytes: usize) -> (FakeRegistry, String) {
    let remote = FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, bytes));
    (remote, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clients_of_three_replicas_cost_the_remote_one_download() {
    let (remote, digest) = remote_with_blob(4 * MIB).await;
    let shared = Shared::new().await;
    let replicas = shared.replicas(3, &remote).await;
    let hold = remote.hold_after(On::blob().get(), MIB as u64);
    let mut clients = JoinSet::new();
    for client in 0..30 {
        let url = replicas[client % 3].server.blob_url("r/app", &digest);
        clients.spawn(async move { drain_sha256(&url).await });
    }
    hold.reached(1).await;
    let followers = || {
        replicas
            .iter()
            .filter(|replica| replica.line.bytes() > 0)
            .count()
    };
    until("the others follow the first", async || {
        replicas
            .iter()
            .map(|replica| replica.line.bytes())
            .sum::<u64>()
            > MIB as u64
    })
    .await;
    assert_eq!(
        followers(),
        1,
        "one replica has the bytes, and gives them to the others"
    );
    hold.release();
    while let Some(drained) = clients.join_next().await {
        let drained = drained.expect("no panic");
        assert!(drained.complete);
        assert_eq!(drained.digest, digest);
    }
    assert_eq!(remote.count(On::blob().get()), 1);
    assert_eq!(remote.bytes_sent(On::blob()), 4 * MIB as u64);
    // Each has kept what it served.
    for replica in &replicas {
        replica.server.settled().await;
        let answer = get(&replica.server.blob_url("r/app", &digest)).await;
        assert_eq!(answer.header("x-cache"), "hit");
        assert_eq!(sha256(&answer.body), digest);
    }
    assert_eq!(remote.count(On::blob().get()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_in_mid_fill_is_replaced_and_the_clients_of_others_notice_nothing()
{
    let (remote, digest) = remote_with_blob(4 * MIB).await;
    let shared = Shared::new().await;
    let (leader, _line) = shared.process(&mirror(&remote)).await;
    let hold = remote.hold_after(On::blob().get().unranged(), 2 * MIB as u64);
    let url = format!("{}/v2/r/app/blobs/{digest}", leader.url);
    let mut first = SlowReader::open(&url, &[]).await;
    first.read(MIB).await;
    let others = shared.replicas(2, &remote).await;
    let mut clients = Vec::new();
    for other in &others {
        let mut client = SlowReader::open(&other.server.blob_url("r/app", &digest), &[]).await;
        client.read(MIB).await;
        clients.push(client);
    }
    // Drops the process with its connections, as kill -9 does.
    drop(leader);
    for mut client in clients {
        let rest = client.read_to_end().await;
        assert!(client.is_complete());
        assert_eq!(rest.len(), 3 * MIB);
    }
    drop(hold);
    let again = On::blob().get().ranged();
    assert_eq!(
        remote.count(again),
        1,
        "one of the others goes on from where it was"
    );
    assert_eq!(remote.count(On::blob().get()), 2);
    for other in &others {
        let drained = drain_sha256(&other.server.blob_url("r/app", &digest)).await;
        assert_eq!((drained.complete, drained.digest), (true, digest.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_in_mid_fill_hands_over_at_once() {
    let (remote, digest) = remote_with_blob(4 * MIB).await;
    let shared = Shared::new().await;
    let mut replicas = shared.replicas(2, &remote).await;
    let hold = remote.hold_after(On::blob().get().unranged(), 2 * MIB as u64);
    let mut first = SlowReader::open(&replicas[0].server.blob_url("r/app", &digest), &[]).await;
    first.read(MIB).await;
    let mut client = SlowReader::open(&replicas[1].server.blob_url("r/app", &digest), &[]).await;
    client.read(MIB).await;
    drop(first);
    replicas[0].server.stop().await;
    assert_eq!(client.read_to_end().await.len(), 3 * MIB);
    assert!(client.is_complete());
    drop(hold);
    assert_eq!(remote.count(On::blob().get().ranged()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_in_parts_from_different_replicas() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(3).layer(256 * KIB).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let shared = Shared::new().await;
    let [one, other] = &shared.replicas(2, &remote).await[..] else {
        unreachable!("two were wanted");
    };
    // Nothing gets into the bucket: what one has the other can have from it alone.
    shared.line.set(crate::harness::Trouble::Refused);
    let pulled = get(&one.server.manifest_url("r/app", "latest")).await;
    assert_eq!(sha256(&pulled.body), image.root);
    let pulled = get(&other.server.manifest_url("r/app", "latest")).await;
    assert_eq!(sha256(&pulled.body), image.root);
    for digest in image.blobs.keys() {
        for replica in [other, one] {
            let drained = drain_sha256(&replica.server.blob_url("r/app", digest)).await;
            assert_eq!((drained.complete, &drained.digest), (true, digest));
        }
    }
    assert_eq!(remote.count(On::manifest().get()), 1);
    assert_eq!(remote.count(On::blob().get()), image.blobs.len());
    assert_eq!(remote.count(On::blob().head()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_has_is_served_by_the_others_while_remote_and_bucket_are_away() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(3).layer(256 * KIB).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let shared = Shared::new().await;
    let mut replicas = shared.replicas(2, &remote).await;
    shared.line.set(crate::harness::Trouble::Refused);
    let urls = |replica: usize, replicas: &[super::Replica]| {
        let server = &replicas[replica].server;
        let blobs = image
            .blobs
            .keys()
            .map(|digest| server.blob_url("r/app", digest));
        blobs
            .chain([server.manifest_url("r/app", "latest")])
            .collect::<Vec<_>>()
    };
    for url in urls(0, &replicas) {
        assert_eq!(get(&url).await.status, 200);
    }
    replicas[0].server.settled().await;
    remote.stop().await;
    for url in urls(1, &replicas) {
        let answer = get(&url).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    // It has no lease any more for what it holds, and is asked all the same.
    replicas[0].server.stop().await;
    replicas[0].server.start_again().await;
    let address = super::address(replicas[0].server.url());
    replicas[0].line.lead_to(address);
    let third = shared.replica(mirror(&remote)).await;
    replicas.push(third);
    for url in urls(2, &replicas) {
        let answer = get(&url).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_opens_nothing_that_another_replica_fills_for_a_private_project() {
    let (closed, digest) = remote_with_blob(4 * MIB).await;
    let open = FakeRegistry::start().await;
    let shared = Shared::new().await;
    let setup = || {
        Setup::empty()
            .mirror("closed", &closed, "visibility = \"public\"")
            .mirror("open", &open, "visibility = \"public\"")
    };
    let (one, other) = (shared.replica(setup()).await, shared.replica(setup()).await);
    let hold = closed.hold_after(On::blob().get(), MIB as u64);
    let mut first = SlowReader::open(&one.server.blob_url("closed/app", &digest), &[]).await;
    first.read(512 * KIB).await;
    // In mid-fill, and when it is there as a whole.
    let stranger = other.server.blob_url("open/app", &digest);
    assert_eq!(get(&stranger).await.status, 404);
    assert_eq!(
        open.count(On::blob().head()),
        1,
        "its own remote is asked for its right"
    );
    hold.release();
    first.read_to_end().await;
    one.server.settled().await;
    assert_eq!(get(&stranger).await.status, 404);
    let drained = drain_sha256(&other.server.blob_url("closed/app", &digest)).await;
    assert_eq!(drained.digest, digest);
    assert_eq!(closed.count(On::blob().get()), 1);
}
