//! What is acknowledged survives the process; what is not can go on.

use super::{Pusher, configuration};
use crate::{
    harness::{ImageBuilder, random_bytes, sha256},
    process::{Process, command},
};

fn text() -> String {
    format!(
        "builtin = false\n[server]\nlisten = \"127.0.0.1:0\"\n[storage]\npath = \"data\"\n{}",
        configuration("")
    )
}

async fn killed_and_started_again(process: Process) -> (Process, Pusher) {
    let folder = process.kill().await;
    let serve = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let process = Process::start(folder, serve).await;
    let pusher = Pusher::at(&process.url);
    (process, pusher)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_the_process_was_killed() {
    let mut process = Process::serve(&text(), &[]).await;
    let mut pusher = Pusher::at(&process.url);
    let bytes = random_bytes(1, 3_000_000);
    let session = pusher.session("team/app").await;
    for (begin, end) in [(0, 1_000_000), (1_000_000, 2_500_000)] {
        let range = format!("{begin}-{}", end - 1);
        let patch = pusher.patch(&session, Some(&range), bytes.slice(begin..end));
        assert_eq!(patch.await.status, 202);
        (process, pusher) = killed_and_started_again(process).await;
        let status = pusher.get(&session).await;
        let so_far = format!("0-{}", end - 1);
        assert_eq!(
            (status.status, status.header("range")),
            (204, so_far.as_str())
        );
    }
    let digest = sha256(&bytes);
    let finished = pusher.finish(&session, &digest, bytes.slice(2_500_000..));
    assert_eq!(finished.await.status, 201);
    let (_process, pusher) = killed_and_started_again(process).await;
    let pulled = pusher.get(&format!("/v2/team/app/blobs/{digest}")).await;
    assert_eq!((pulled.status, pulled.body), (200, bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_is_there_after_the_process_was_killed() {
    let process = Process::serve(&text(), &[]).await;
    let pusher = Pusher::at(&process.url);
    let image = ImageBuilder::new(7).layer(50_000).build();
    pusher.image("team/app", "1", &image).await;
    let (_process, pusher) = killed_and_started_again(process).await;
    let pulled = pusher.get("/v2/team/app/manifests/1").await;
    assert_eq!(
        (pulled.status, &pulled.body),
        (200, &image.root_manifest().bytes)
    );
    for (digest, bytes) in &image.blobs {
        let pulled = pusher.get(&format!("/v2/team/app/blobs/{digest}")).await;
        assert_eq!((pulled.status, &pulled.body), (200, bytes));
    }
}
