//! Three processes, each with a disk of its own, on one database and one bucket.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{Shared, mirror, until};
use crate::{
    api::call_with,
    fill::{KIB, MIB},
    harness::{
        FakeRegistry, ImageBuilder, Line, On, SlowReader, drain_sha256, get, random_bytes, sha256,
    },
    process::Process,
};

impl Shared {
    /// Three that mirror this remote as project `r`.
    async fn processes(&self, remote: &FakeRegistry) -> Vec<(Process, Line)> {
        let mut processes = Vec::new();
        for _ in 0..3 {
            processes.push(self.process(&mirror(remote)).await);
        }
        processes
    }
}

fn blob_url(process: &Process, digest: &str) -> String {
    format!("{}/v2/r/app/blobs/{digest}", process.url)
}

fn manifest_url(process: &Process, tag: &str) -> String {
    format!("{}/v2/r/app/manifests/{tag}", process.url)
}

async fn status(process: &Process) -> Value {
    call_with(&process.url, "GET", "/status", &[]).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_before_three_processes_costs_the_remote_one_download() {
    let remote = FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, 8 * MIB));
    let shared = Shared::new().await;
    let processes = shared.processes(&remote).await;
    let mut crowd = JoinSet::new();
    for client in 0..30 {
        let url = blob_url(&processes[client % 3].0, &digest);
        crowd.spawn(async move { drain_sha256(&url).await });
    }
    while let Some(drained) = crowd.join_next().await {
        let drained = drained.expect("no panic");
        assert_eq!((drained.complete, drained.digest), (true, digest.clone()));
    }
    assert_eq!(remote.count(On::blob()), 1);
    assert_eq!(remote.bytes_sent(On::blob()), 8 * MIB as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_lists_all_of_them_until_one_ends() {
    let remote = FakeRegistry::start().await;
    let shared = Shared::new().await;
    let mut processes = shared.processes(&remote).await;
    let urls: Vec<_> = processes
        .iter()
        .map(|(_, line)| format!("http://{}/", line.address()))
        .collect();
    for (place, (process, _)) in processes.iter().enumerate() {
        until("all are listed", async || {
            let status = status(process).await;
            let replicas = status["replicas"].as_array().expect("a list");
            let listed = replicas.iter().map(|replica| &replica["url"]);
            let answering = replicas.iter().find(|replica| replica["answers"] == true);
            listed.eq(urls.iter().map(|url| json!(url)).collect::<Vec<_>>().iter())
                && answering.is_some_and(|replica| replica["url"] == urls[place])
                && replicas[0]["version"] == env!("CARGO_PKG_VERSION")
        })
        .await;
    }
    let (mut ends, _line) = processes.remove(0);
    ends.terminate();
    assert!(ends.ended().await.success());
    for (process, _) in &processes {
        until("it is not listed any more", async || {
            status(process).await["replicas"]
                .as_array()
                .map_or(0, Vec::len)
                == 2
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_fills_is_killed_and_nobody_elses_client_notices() {
    let remote = FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, 8 * MIB));
    let shared = Shared::new().await;
    let mut processes = shared.processes(&remote).await;
    let hold = remote.hold_after(On::blob().get().unranged(), 4 * MIB as u64);
    let mut readers = Vec::new();
    for (process, _) in &processes {
        let mut reader = SlowReader::open(&blob_url(process, &digest), &[]).await;
        reader.read(MIB).await;
        readers.push(reader);
    }
    assert_eq!(remote.count(On::blob()), 1);
    let (leader, _line) = processes.remove(0);
    leader.kill().await;
    readers.remove(0);
    for reader in &mut readers {
        assert_eq!(reader.read_to_end().await.len(), 7 * MIB);
        assert!(reader.is_complete());
    }
    drop(hold);
    assert_eq!(
        (
            remote.count(On::blob().get().unranged()),
            remote.count(On::blob().get().ranged())
        ),
        (1, 1),
        "one of the others goes on from the byte where it was"
    );
    for (process, _) in &processes {
        let drained = drain_sha256(&blob_url(process, &digest)).await;
        assert_eq!((drained.complete, &drained.digest), (true, &digest));
    }
    assert_eq!(remote.count(On::blob()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_an_empty_disk_has_everything_from_the_bucket() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(3).layer(256 * KIB).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let shared = Shared::new().await;
    let (first, _line) = shared.process(&mirror(&remote)).await;
    let pulled = get(&manifest_url(&first, "latest")).await;
    assert_eq!(sha256(&pulled.body), image.root);
    for digest in image.blobs.keys() {
        assert!(drain_sha256(&blob_url(&first, digest)).await.complete);
    }
    let mut connection = PgConnection::connect(&shared.database)
        .await
        .expect("the server runs");
    let contents = image.blobs.len() + image.manifests.len();
    until("everything is in the bucket", async || {
        let stored: Vec<(String,)> =
            sqlx::query_as("SELECT digest FROM blob WHERE object IS NOT NULL")
                .fetch_all(&mut connection)
                .await
                .expect("there is such a table");
        stored.len() == contents
    })
    .await;
    first.kill().await;
    remote.stop().await;
    let (other, _line) = shared.process(&mirror(&remote)).await;
    let pulled = get(&manifest_url(&other, "latest")).await;
    assert_eq!(
        (pulled.status, sha256(&pulled.body)),
        (200, image.root.clone())
    );
    for digest in image.blobs.keys() {
        let drained = drain_sha256(&blob_url(&other, digest)).await;
        assert_eq!((drained.complete, &drained.digest), (true, digest));
    }
}
