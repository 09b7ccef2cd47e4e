//! Ranges and HEADs of a blob that is not here yet.

use futures_util::future::join_all;

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{Fault, On, SlowReader, get_range, head, sha256},
    server::on_both,
};

on_both! {
    parallel_open_ended_chunks_that_close_early_cost_one_download,
    the_last_bytes_of_a_cold_blob_can_be_asked_for,
    several_ranges_of_a_cold_blob_come_in_one_answer,
    a_range_in_the_middle_is_given_while_the_rest_is_still_on_its_way,
    a_range_beyond_the_end_of_a_cold_blob_is_416,
    a_range_of_a_blob_without_a_length_is_answered_whole,
    a_head_of_a_cold_blob_says_its_length_for_one_head,
    a_head_of_a_blob_that_a_manifest_names_asks_nobody,
    a_remote_whose_heads_say_no_length_is_asked_for_one_byte,
    concurrent_heads_of_a_cold_blob_share_one_head,
}

async fn parallel_open_ended_chunks_that_close_early_cost_one_download() {
    // As containerd fetches a layer in chunks: each asks to the end, reads its part and hangs up.
    const CHUNK: usize = 256 * KIB;
    let scene = Scene::unknown(8 * CHUNK).await;
    let hold = scene.remote.hold_after(On::blob().get(), KIB as u64);
    let url = scene.url();
    let chunks = join_all((0..8).map(|k| {
        let (url, range) = (url.clone(), format!("bytes={}-", k * CHUNK));
        async move { SlowReader::open(&url, &[("range", &range)]).await }
    }))
    .await;
    hold.release();
    let read = chunks.into_iter().enumerate().map(async |(k, mut chunk)| {
        let (from, len) = (k * CHUNK, 8 * CHUNK);
        assert_eq!(chunk.status, 206);
        assert_eq!(
            chunk.headers["content-range"],
            format!("bytes {from}-{}/{len}", len - 1)
        );
        assert!(chunk.read(CHUNK).await == scene.bytes[from..from + CHUNK]);
    });
    join_all(read).await;
    scene.assert_stored().await;
    assert_eq!(scene.ranges(), [""]);
}

async fn the_last_bytes_of_a_cold_blob_can_be_asked_for() {
    for scene in [Scene::unknown(MIB).await, Scene::named(MIB).await] {
        let answer = get_range(&scene.url(), "-100").await;
        assert_eq!((answer.status, answer.complete), (206, true));
        let expected = format!("bytes {}-{}/{MIB}", MIB - 100, MIB - 1);
        assert_eq!(answer.header("content-range"), expected);
        assert!(answer.body == scene.bytes[MIB - 100..]);
        assert_eq!(scene.downloads(), 1);
    }
}

async fn several_ranges_of_a_cold_blob_come_in_one_answer() {
    let scene = Scene::unknown(MIB).await;
    let answer = get_range(&scene.url(), "0-9,-10").await;
    assert_eq!((answer.status, answer.complete), (206, true));
    assert!(
        answer
            .header("content-type")
            .starts_with("multipart/byteranges; boundary=")
    );
    for part in [&scene.bytes[..10], &scene.bytes[MIB - 10..]] {
        assert!(answer.body.windows(10).any(|ten| ten == part));
    }
    assert_eq!(scene.downloads(), 1);
}

async fn a_range_in_the_middle_is_given_while_the_rest_is_still_on_its_way() {
    let scene = Scene::unknown(MIB).await;
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let answer = get_range(&scene.url(), "1000-1999").await;
    assert_eq!((answer.status, answer.complete), (206, true));
    assert!(answer.body == scene.bytes[1000..2000]);
    hold.release();
    scene.assert_stored().await;
}

async fn a_range_beyond_the_end_of_a_cold_blob_is_416() {
    let scene = Scene::named(64 * KIB).await;
    let answer = get_range(&scene.url(), "65536-").await;
    assert_eq!(answer.status, 416);
    assert_eq!(answer.header("content-range"), "bytes */65536");
}

async fn a_range_of_a_blob_without_a_length_is_answered_whole() {
    let scene = Scene::unknown(64 * KIB).await;
    scene.remote.fault(On::blob().get(), Fault::NoLength);
    let answer = get_range(&scene.url(), "0-9").await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(sha256(&answer.body), scene.digest);
}

async fn a_head_of_a_cold_blob_says_its_length_for_one_head() {
    let scene = Scene::unknown(64 * KIB).await;
    let answer = head(&scene.url()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), "65536");
    assert_eq!(answer.header("docker-content-digest"), scene.digest);
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(
        (scene.remote.count(On::blob().head()), scene.downloads()),
        (1, 0)
    );
}

async fn a_head_of_a_blob_that_a_manifest_names_asks_nobody() {
    let scene = Scene::named(64 * KIB).await;
    let answer = head(&scene.url()).await;
    assert_eq!(answer.header("content-length"), "65536");
    assert_eq!(scene.remote.count(On::blob()), 0);
}

async fn a_remote_whose_heads_say_no_length_is_asked_for_one_byte() {
    let scene = Scene::unknown(64 * KIB).await;
    scene.remote.fault(On::blob().head(), Fault::NoLength);
    let answer = head(&scene.url()).await;
    assert_eq!(answer.header("content-length"), "65536");
    assert_eq!(scene.ranges(), ["bytes=0-0"]);
}

async fn concurrent_heads_of_a_cold_blob_share_one_head() {
    let scene = Scene::unknown(64 * KIB).await;
    let hold = scene.remote.hold(On::blob().head());
    let url = scene.url();
    let heads = tokio::spawn(async move { join_all((0..20).map(|_| head(&url))).await });
    hold.reached(1).await;
    scene.until_connected(20).await;
    hold.release();
    let heads = heads.await.expect("all are answered");
    assert!(
        heads
            .iter()
            .all(|answer| answer.header("content-length") == "65536")
    );
    assert_eq!(scene.remote.peak(On::blob().head()), 1);
}
