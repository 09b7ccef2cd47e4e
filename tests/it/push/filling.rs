//! A push of what is being filled for a mirror at the same time.

use std::time::Duration;

use tokio::time::timeout;

use super::{Pusher, setup};
use crate::{
    fill::{KIB, MIB},
    harness::{FakeRegistry, On, SlowReader, drain_sha256, get, random_bytes},
    server::on_both,
};

on_both!(a_push_does_not_wait_for_a_fill_of_the_same_blob);

async fn a_push_does_not_wait_for_a_fill_of_the_same_blob() {
    let remote = FakeRegistry::start().await;
    let bytes = random_bytes(7, 2 * MIB);
    let digest = remote.put_blob("app", bytes.clone());
    let hold = remote.hold_after(On::blob().get(), MIB as u64);
    let server = setup("").mirror("r", &remote, "").start().await;
    let mirrored = server.blob_url("r/app", &digest);
    let mut reader = SlowReader::open(&mirrored, &[]).await;
    assert!(reader.read(100 * KIB).await == bytes[..100 * KIB]);
    hold.reached(1).await;

    let pusher = Pusher::of(&server);
    let pushed = timeout(Duration::from_secs(10), pusher.blob("team/app", &bytes));
    assert_eq!(pushed.await.expect("it does not wait"), digest);
    // With object storage it comes by the fill that runs, as everybody's.
    if server.bucket.is_none() {
        let pulled = get(&server.blob_url("team/app", &digest)).await;
        assert!(pulled.status == 200 && pulled.body == bytes);
    }

    hold.release();
    assert!(reader.read_to_end().await == bytes[100 * KIB..]);
    assert!(reader.is_complete());
    server.settled().await;
    for url in [mirrored, server.blob_url("team/app", &digest)] {
        let drained = drain_sha256(&url).await;
        assert!(drained.complete && drained.digest == digest, "{drained:?}");
    }
    let spool = server.folder.path().join("data/spool");
    assert_eq!(spool.read_dir().expect("a folder").count(), 0);
}
