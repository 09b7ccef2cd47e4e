//! SIGTERM: running downloads end within the grace time, the rest is cut.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::{
    harness::{FakeRegistry, Image, ImageBuilder, On, SlowReader, get},
    process::Process,
    server::Setup,
};

async fn hub() -> (FakeRegistry, Image) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(2_000_000).build();
    hub.put_image("library/app", "1", &image);
    (hub, image)
}

#[tokio::test]
async fn a_running_download_ends_whole_after_a_sigterm() {
    let (hub, image) = hub().await;
    let mut process = Process::serve(
        &Setup::hub(&hub).text(),
        &[("ENTREPOT__SERVER__SHUTDOWN_GRACE", "10s")],
    )
    .await;
    let layer = image.layers()[0].clone();
    let hold = hub.hold_after(On::blob(), 500_000);
    let mut reader = SlowReader::open(
        &format!("{}/v2/library/app/blobs/{layer}", process.url),
        &[],
    )
    .await;
    hold.reached(1).await;
    process.terminate();
    process
        .logged(|line| line["message"].to_string().contains("stopping"))
        .await;
    let address = process.url.trim_start_matches("http://").to_owned();
    // New connections are refused while the download goes on.
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    hold.release();
    assert_eq!(reader.read_to_end().await, image.blob(&layer));
    assert!(reader.is_complete());
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn what_is_left_after_the_grace_time_is_cut() {
    let (hub, image) = hub().await;
    let mut process = Process::serve(
        &Setup::hub(&hub).text(),
        &[("ENTREPOT__SERVER__SHUTDOWN_GRACE", "300ms")],
    )
    .await;
    let layer = image.layers()[0].clone();
    let hold = hub.hold_after(On::blob(), 500_000);
    let mut reader = SlowReader::open(
        &format!("{}/v2/library/app/blobs/{layer}", process.url),
        &[],
    )
    .await;
    hold.reached(1).await;
    let asked = Instant::now();
    process.terminate();
    assert!(process.ended().await.success());
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
    reader.read_to_end().await;
    assert!(!reader.is_complete());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let (hub, _image) = hub().await;
    let mut process = Process::serve(
        &Setup::hub(&hub).text(),
        &[("ENTREPOT__SERVER__SHUTDOWN_GRACE", "30s")],
    )
    .await;
    let address = process.url.trim_start_matches("http://").to_owned();
    let never_asked = TcpStream::connect(&address).await.expect("it listens");
    let kept_alive = crate::harness::Client::new();
    assert_eq!(
        kept_alive.get(&format!("{}/v2/", process.url)).await.status,
        200
    );
    let h2c = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    h2c.get(format!("{}/v2/", process.url))
        .send()
        .await
        .expect("an answer");
    let asked = Instant::now();
    process.terminate();
    assert!(process.ended().await.success());
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    drop((never_asked, kept_alive, h2c));
}

#[tokio::test]
async fn a_second_process_on_the_same_data_exits_with_a_message() {
    let (hub, _image) = hub().await;
    let mut process = Process::serve(&Setup::hub(&hub).text(), &[]).await;
    let second = crate::process::run(
        process.folder.path(),
        &["serve", "--config", "entrepot.toml"],
    );
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(
        message.contains("another process")
            || message.contains("locked")
            || message.contains("in use"),
        "{message}"
    );
    assert!(!String::from_utf8_lossy(&second.stdout).contains("listens"));
    assert_eq!(
        get(&format!("{}/v2/", process.url)).await.status,
        200,
        "the first one serves on"
    );
    process.terminate();
    assert!(process.ended().await.success());
}
