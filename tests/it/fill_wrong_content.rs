//! Bytes that are not what the digest says are never a complete answer, and nothing of them is kept.

use futures_util::future::join_all;

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{Authority, Client, FakeRegistry, Fault, On, SlowReader, get, random_bytes},
    server::{Setup, on_both},
};

on_both! {
    wrong_content_is_never_complete_whatever_its_size,
    a_client_that_reads_on_is_cut_before_the_last_16_kib,
    wrong_content_of_a_small_blob_is_told_by_a_status,
    wrong_content_without_a_length_is_never_complete,
    all_who_joined_are_cut_and_the_next_request_starts_at_zero,
    a_blob_said_to_be_empty_is_no_answer,
    a_blob_that_the_remote_does_not_have_leaves_no_file,
    a_range_with_the_last_byte_of_wrong_content_is_never_complete,
    a_web_page_in_the_place_of_a_blob_is_never_complete,
    a_client_that_speaks_http_2_sees_a_reset,
    after_wrong_content_the_next_url_is_asked,
}

async fn wrong_content_is_never_complete_whatever_its_size() {
    for size in [1, 10, 16 * KIB, 16 * KIB + 1, MIB] {
        for scene in [Scene::unknown(size).await, Scene::named(size).await] {
            let last = size as u64 - 1;
            scene
                .remote
                .fault(On::blob().get(), Fault::FlipByteAt(last));
            scene.assert_cut("").await;
            assert_nothing_kept(&scene);
            scene.assert_whole(&scene.client().await.expect("a client ends"));
            assert_eq!(scene.ranges(), ["", ""]);
        }
    }
}

async fn a_client_that_reads_on_is_cut_before_the_last_16_kib() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::FlipByteAt(0));
    let hold = scene.remote.hold_after(On::blob().get(), MIB as u64 - 1);
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    assert_eq!(reader.status, 200);
    let before = reader.read(MIB - 16 * KIB).await;
    assert!(before[1..] == scene.bytes[1..MIB - 16 * KIB]);
    hold.release();
    assert!(reader.read_to_end().await.is_empty());
    assert!(!reader.is_complete());
}

async fn wrong_content_of_a_small_blob_is_told_by_a_status() {
    // All of it waits for the digest, so the headers can wait, too: clients then ask elsewhere.
    for scene in [Scene::unknown(16 * KIB).await, Scene::named(10).await] {
        scene.remote.fault(On::blob().get(), Fault::FlipByteAt(0));
        let answer = get(&scene.url()).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (502, "UNAVAILABLE")
        );
    }
}

async fn wrong_content_without_a_length_is_never_complete() {
    for size in [10, MIB] {
        let scene = Scene::unknown(size).await;
        scene
            .remote
            .configure(|options| options.length_header = false);
        scene.remote.fault(On::blob().get(), Fault::FlipByteAt(0));
        scene.assert_cut("").await;
        assert_nothing_kept(&scene);
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

async fn all_who_joined_are_cut_and_the_next_request_starts_at_zero() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::FlipByteAt(5));
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let clients: Vec<_> = (0..5).map(|_| scene.client()).collect();
    hold.reached(1).await;
    scene.until_connected(5).await;
    hold.release();
    for client in join_all(clients).await {
        let drained = client.expect("a client ends");
        // One that came too late for the wrong fill leads the next one.
        if drained.status == 200 && drained.complete {
            scene.assert_whole(&drained);
        }
    }
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert!(scene.ranges().iter().all(String::is_empty));
}

async fn a_blob_said_to_be_empty_is_no_answer() {
    let scene = Scene::unknown(64 * KIB).await;
    scene.remote.fault(On::blob().get(), Fault::EmptyBody);
    let answer = get(&scene.url()).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
    assert_nothing_kept(&scene);
    scene.assert_whole(&scene.client().await.expect("a client ends"));
}

async fn a_blob_that_the_remote_does_not_have_leaves_no_file() {
    let scene = Scene::unknown(KIB).await;
    scene.remote.fault(On::blob().get(), Fault::status(404));
    assert_eq!(get(&scene.url()).await.status, 404);
    scene.server.settled().await;
    assert_nothing_kept(&scene);
}

async fn a_range_with_the_last_byte_of_wrong_content_is_never_complete() {
    for range in ["-1", "0-", "1000-", "0-9,-10"] {
        let scene = Scene::unknown(64 * KIB).await;
        scene.remote.fault(On::blob().get(), Fault::FlipByteAt(0));
        scene.assert_cut(range).await;
        assert_nothing_kept(&scene);
    }
}

async fn a_web_page_in_the_place_of_a_blob_is_never_complete() {
    for scene in [Scene::unknown(64 * KIB).await, Scene::named(64 * KIB).await] {
        scene.remote.fault(On::blob().get(), Fault::HtmlPage);
        scene.assert_cut("").await;
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

async fn a_client_that_speaks_http_2_sees_a_reset() {
    let remote = crate::harness::FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, MIB));
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let identity = authority.server(&["127.0.0.1"]);
    let (cert, key) = (
        folder.path().join("server.crt"),
        folder.path().join("server.key"),
    );
    std::fs::write(&cert, identity.certificate).expect("a file");
    std::fs::write(&key, identity.key).expect("a file");
    let (cert, key) = (cert.display(), key.display());
    let tls = format!("[server.tls]\ncert = \"{cert}\"\nkey = \"{key}\"");
    let server = Setup::empty()
        .section(&tls)
        .mirror("r", &remote, "")
        .start()
        .await;
    let client = Client::trusting(&authority.pem());
    remote.fault(On::blob().get(), Fault::FlipByteAt(0));
    let url = server.blob_url("r/app", &digest);
    let wrong = client.get(&url).await;
    assert_eq!((wrong.status, wrong.version), (200, http::Version::HTTP_2));
    assert!(!wrong.complete);
    // The connection lives on.
    let right = client.drain_sha256(&url).await;
    assert!(right.complete);
    assert_eq!(right.digest, digest);
}

fn assert_nothing_kept(scene: &Scene) {
    assert!(!scene.spool().exists());
    assert!(!scene.file().exists());
}

async fn after_wrong_content_the_next_url_is_asked() {
    let (wrong, right) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let bytes = random_bytes(5, 10 * KIB);
    let digest = right.put_blob("app", bytes.clone());
    wrong.put_blob("app", bytes.clone());
    wrong.fault_always(On::blob().get(), Fault::FlipByteAt(0));
    let urls = format!("{}\", \"{}", wrong.url(), right.url());
    let server = Setup::empty()
        .remote("r", &urls, "")
        .project("r", "r", "")
        .start()
        .await;
    let url = server.blob_url("r/app", &digest);
    assert_eq!(get(&url).await.status, 502);
    let answer = get(&url).await;
    assert_eq!((answer.status, answer.body), (200, bytes));
    assert_eq!(wrong.count(On::blob().get()), 1);
}
