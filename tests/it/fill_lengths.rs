//! Remotes that do not tell the length of a blob, or tell a wrong one. A manifest's descriptor knows better.

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{Fault, On, SlowReader, get},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_without_a_length_is_streamed_without_one() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::NoLength);
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    assert!(!reader.headers.contains_key("content-length"));
    assert!(!reader.read(KIB).await.is_empty());
    let client = scene.client();
    hold.release();
    scene.assert_whole(&client.await.expect("a client ends"));
    scene.assert_stored().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_gives_the_length_that_the_remote_leaves_out() {
    let scene = Scene::named(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::NoLength);
    let answer = get(&scene.url()).await;
    assert_eq!(answer.header("content-length"), MIB.to_string());
    assert!(answer.complete && answer.body == scene.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_without_a_length_goes_on_from_its_byte() {
    let scene = Scene::unknown(MIB).await;
    scene
        .remote
        .configure(|options| options.length_header = false);
    scene
        .remote
        .fault(On::blob().get(), Fault::CutAfter(512 * KIB as u64));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.ranges(), ["", "bytes=524288-"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_wrong_never_makes_a_wrong_answer_complete() {
    for error in [100, -100] {
        let scene = Scene::unknown(MIB).await;
        scene
            .remote
            .fault(On::blob().get(), Fault::WrongContentLength(error));
        scene.assert_cut("").await;
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_beats_a_length_that_is_wrong() {
    for error in [100, -100] {
        let scene = Scene::named(MIB).await;
        scene
            .remote
            .fault(On::blob().get(), Fault::WrongContentLength(error));
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        scene.assert_stored().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_read_as_far_as_the_manifest_says() {
    let scene = Scene::named(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::EndlessBody);
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    scene.remote.wait_for_ends(On::blob().get(), 1).await;
    scene.assert_stored().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_blob_is_a_blob() {
    for scene in [Scene::unknown(0).await, Scene::named(0).await] {
        let answer = get(&scene.url()).await;
        assert_eq!((answer.status, answer.complete), (200, true));
        assert_eq!(answer.header("content-length"), "0");
        assert!(answer.body.is_empty());
        scene.assert_stored().await;
    }
}
