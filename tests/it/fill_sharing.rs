//! One fill for all who wait: at once, late, slow, or gone.

use futures_util::future::join_all;

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{Client, On, SlowReader},
    server::on_both,
};

on_both! {
    fifty_clients_of_a_cold_blob_cost_one_download_and_all_get_it_whole,
    all_clients_stream_from_the_first_bytes_while_the_remote_still_sends,
    a_slow_client_does_not_slow_the_fill,
    a_fill_lives_on_when_its_only_client_leaves,
    a_fill_lives_on_when_its_only_client_leaves_before_the_first_byte,
    a_late_client_joins_and_gets_all_from_the_first_byte,
    a_head_in_mid_fill_costs_one_head_at_most_and_no_download,
}

async fn fifty_clients_of_a_cold_blob_cost_one_download_and_all_get_it_whole() {
    let scene = Scene::unknown(2 * MIB).await;
    let hold = scene.remote.hold(On::blob().get());
    let clients: Vec<_> = (0..50).map(|_| scene.client()).collect();
    hold.reached(1).await;
    hold.release();
    for client in clients {
        scene.assert_whole(&client.await.expect("a client ends"));
    }
    assert_eq!(scene.downloads(), 1);
    assert_eq!(scene.remote.bytes_sent(On::blob()), 2 * MIB as u64);
}

async fn all_clients_stream_from_the_first_bytes_while_the_remote_still_sends() {
    let scene = Scene::unknown(MIB).await;
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let url = scene.url();
    let mut readers = join_all((0..50).map(|_| SlowReader::open(&url, &[]))).await;
    for reader in &mut readers {
        assert_eq!(reader.status, 200);
        assert_eq!(reader.headers["content-length"], MIB.to_string());
        assert!(reader.read(512 * KIB).await == scene.bytes[..512 * KIB]);
    }
    let said = |what: &str| {
        readers
            .iter()
            .filter(|reader| reader.headers["x-cache"] == what)
            .count()
    };
    assert_eq!((said("miss"), said("joined")), (1, 49));
    assert_eq!(scene.remote.running(On::blob()), 1);
    hold.release();
    let rests = join_all(readers.iter_mut().map(SlowReader::read_to_end)).await;
    assert!(rests.iter().all(|rest| *rest == scene.bytes[512 * KIB..]));
    assert_eq!(scene.downloads(), 1);
}

async fn a_slow_client_does_not_slow_the_fill() {
    // More than the buffers of any socket.
    let scene = Scene::unknown(16 * MIB).await;
    let mut slow = SlowReader::open(&scene.url(), &[]).await;
    let first = slow.read(KIB).await;
    scene.remote.wait_for_ends(On::blob().get(), 1).await;
    scene.assert_stored().await;
    assert!(first == scene.bytes[..KIB]);
    assert!(slow.read_to_end().await == scene.bytes[KIB..]);
    assert!(slow.is_complete());
    assert_eq!(scene.downloads(), 1);
}

async fn a_fill_lives_on_when_its_only_client_leaves() {
    let scene = Scene::unknown(MIB).await;
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    reader.read(KIB).await;
    drop(reader);
    scene.until_connected(0).await;
    assert_eq!(scene.remote.running(On::blob().get()), 1);
    hold.release();
    scene.remote.wait_for_ends(On::blob().get(), 1).await;
    scene.assert_stored().await;
    assert_eq!(scene.downloads(), 1);
    assert_eq!(scene.remote.bytes_sent(On::blob()), MIB as u64);
}

async fn a_fill_lives_on_when_its_only_client_leaves_before_the_first_byte() {
    let scene = Scene::unknown(64 * KIB).await;
    let hold = scene.remote.hold(On::blob().get());
    let client = scene.client();
    hold.reached(1).await;
    client.abort();
    scene.until_connected(0).await;
    hold.release();
    scene.remote.wait_for_ends(On::blob().get(), 1).await;
    scene.assert_stored().await;
    assert_eq!(scene.downloads(), 1);
}

async fn a_late_client_joins_and_gets_all_from_the_first_byte() {
    let scene = Scene::unknown(MIB).await;
    let hold = scene.remote.hold_after(On::blob().get(), 768 * KIB as u64);
    let mut first = SlowReader::open(&scene.url(), &[]).await;
    assert_eq!(first.read(768 * KIB).await.len(), 768 * KIB);
    let mut late = SlowReader::open(&scene.url(), &[]).await;
    assert_eq!(late.headers["x-cache"], "joined");
    assert!(late.read(768 * KIB).await == scene.bytes[..768 * KIB]);
    hold.release();
    assert!(late.read_to_end().await == scene.bytes[768 * KIB..]);
    assert!(first.read_to_end().await == scene.bytes[768 * KIB..]);
    assert_eq!(scene.downloads(), 1);
}

async fn a_head_in_mid_fill_costs_one_head_at_most_and_no_download() {
    let scene = Scene::unknown(MIB).await;
    let hold = scene.remote.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    reader.read(KIB).await;
    let head = Client::new().head(&scene.url()).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), MIB.to_string());
    assert_eq!(scene.downloads(), 1);
    assert!(scene.remote.count(On::blob().head()) <= 1);
    hold.release();
}
