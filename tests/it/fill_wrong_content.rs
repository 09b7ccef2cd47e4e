//! Bytes that are not what the digest says are never a complete answer, and nothing of them is kept.

use futures_util::future::join_all;

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{Authority, Client, Fault, On, get, get_range, random_bytes},
    server::Setup,
};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_is_never_complete_whatever_its_size() {
    for size in [1, 10, 16 * KIB, 16 * KIB + 1, MIB] {
        for scene in [Scene::unknown(size).await, Scene::named(size).await] {
            let last = size as u64 - 1;
            scene
                .remote
                .fault(On::blob().get(), Fault::FlipByteAt(last));
            let drained = scene.client().await.expect("a client ends");
            assert!(!drained.complete, "{drained:?}");
            assert!(drained.bytes < size as u64, "{drained:?}");
            assert_nothing_kept(&scene);
            scene.assert_whole(&scene.client().await.expect("a client ends"));
            assert_eq!(scene.ranges(), ["", ""]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_without_a_length_is_never_complete() {
    for size in [10, MIB] {
        let scene = Scene::unknown(size).await;
        scene
            .remote
            .configure(|options| options.length_header = false);
        scene.remote.fault(On::blob().get(), Fault::FlipByteAt(0));
        assert!(!scene.client().await.expect("a client ends").complete);
        assert_nothing_kept(&scene);
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_joined_are_cut_and_the_next_request_starts_at_zero() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::FlipByteAt(5));
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let clients: Vec<_> = (0..5).map(|_| scene.client()).collect();
    hold.reached(1).await;
    scene.until_connected(5).await;
    hold.release();
    let drained = join_all(clients).await;
    let complete = drained
        .iter()
        .filter(|client| client.as_ref().expect("it ends").complete);
    // One that came too late for the wrong fill leads the next one.
    for late in complete {
        scene.assert_whole(late.as_ref().expect("it ends"));
    }
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert!(scene.ranges().iter().all(String::is_empty));
}

#[tokio::test(flavor = "multi_thread")]
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

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_the_remote_does_not_have_leaves_no_file() {
    let scene = Scene::unknown(KIB).await;
    scene.remote.fault(On::blob().get(), Fault::status(404));
    assert_eq!(get(&scene.url()).await.status, 404);
    scene.server.settled().await;
    assert_nothing_kept(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_with_the_last_byte_of_wrong_content_is_never_complete() {
    for range in ["-1", "0-", "1000-", "0-9,-10"] {
        let scene = Scene::unknown(64 * KIB).await;
        scene.remote.fault(On::blob().get(), Fault::FlipByteAt(0));
        let answer = get_range(&scene.url(), range).await;
        assert!(!answer.complete, "{range}");
        assert_nothing_kept(&scene);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_in_the_place_of_a_blob_is_never_complete() {
    for scene in [Scene::unknown(64 * KIB).await, Scene::named(64 * KIB).await] {
        scene.remote.fault(On::blob().get(), Fault::HtmlPage);
        let drained = scene.client().await.expect("a client ends");
        assert!(
            !drained.complete || drained.digest == scene.digest,
            "{drained:?}"
        );
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

#[tokio::test(flavor = "multi_thread")]
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
    let tls = format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}");
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
