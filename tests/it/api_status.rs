//! The management API's view of the server: status, running fills, upkeep.

use serde_json::json;

use crate::{
    api::{PASSWORD, call, hub, pull, setup},
    harness::{Fault, On, SlowReader, get},
    server::{Setup, on_both},
};

on_both! {
    what_came_wrong_and_what_is_resumed_is_not_counted_twice,
    a_scrub_finds_content_that_was_changed_behind_our_back,
    an_eviction_with_room_to_spare_takes_nothing,
}

#[tokio::test]
async fn the_status_shows_version_store_database_and_totals() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    get(&server.manifest_url("library/app", "1")).await;
    get(&server.manifest_url("library/none", "1")).await;
    let answer = call(&server, "GET", "/status").await;
    assert_eq!(answer.status, 200);
    let status = answer.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_ms"].is_u64());
    assert_eq!(status["store"]["kind"], "local");
    let data = server.folder.path().join("data");
    assert_eq!(status["store"]["path"], data.display().to_string());
    assert!(
        status["store"]["used_bytes"].as_u64() >= Some(300_000),
        "{status}"
    );
    assert_eq!(status["database"], json!({"kind": "sqlite", "ready": true}));
    let replica = &status["replicas"][0];
    assert_eq!(replica["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&replica["url"], &replica["answers"]),
        (&json!(null), &json!(true))
    );
    let url = format!("{}/", hub.url());
    let healthy = json!({"url": url, "healthy": true, "since": null, "message": null});
    let remote = json!({"name": "docker.io", "urls": [healthy], "rate_limit": "plenty"});
    assert_eq!(status["remotes"], json!([remote]));
    let totals = &status["totals"];
    let blobs = image.blobs.len() as u64;
    assert_eq!(
        (&totals["hits"], &totals["misses"]),
        (&json!(1), &json!(blobs + 1))
    );
    assert_eq!(
        (&totals["absent"], &totals["errors"]),
        (&json!(1), &json!(0))
    );
    assert!(
        totals["bytes_from_remotes"].as_u64() >= Some(image.blob_bytes()),
        "{totals}"
    );
    assert!(
        totals["bytes_to_clients"].as_u64() >= Some(image.blob_bytes()),
        "{totals}"
    );
}

#[tokio::test]
async fn the_status_shows_a_remote_that_does_not_answer() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    hub.stop().await;
    get(&server.manifest_url("library/app", "1")).await;
    let status = call(&server, "GET", "/status").await.json();
    let url = &status["remotes"][0]["urls"][0];
    assert_eq!(url["healthy"], false, "{status}");
    assert!(
        url["since"].is_string() && url["message"].is_string(),
        "{url}"
    );
}

#[tokio::test]
async fn running_fills_are_listed_with_their_progress_and_waiters() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    let layer = image.layers()[0].clone();
    get(&server.manifest_url("library/app", "1")).await;
    let hold = hub.hold_after(On::blob(), 100_000);
    let blob = server.blob_url("library/app", &layer);
    let mut first = SlowReader::open(&blob, &[]).await;
    let mut second = SlowReader::open(&blob, &[]).await;
    hold.reached(1).await;
    assert_eq!(first.read(50_000).await.len(), 50_000);
    let answer = call(&server, "GET", "/fills").await;
    assert_eq!(answer.header("x-total-count"), "1");
    let fill = &answer.json()["items"][0];
    assert_eq!(
        (&fill["digest"], &fill["remote"]),
        (&json!(layer), &json!("docker.io"))
    );
    assert_eq!(fill["repository"], "docker.io/library/app");
    assert_eq!(
        (&fill["total_bytes"], &fill["waiters"]),
        (&json!(300_000), &json!(2))
    );
    let bytes = fill["bytes"].as_u64().expect("a number");
    assert!((50_000..=100_000).contains(&bytes), "{bytes}");
    assert!(
        fill["started_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{fill}"
    );
    hold.release();
    first.read_to_end().await;
    second.read_to_end().await;
    server.settled().await;
    assert_eq!(
        call(&server, "GET", "/fills").await.json(),
        json!({"items": []})
    );
}

async fn what_came_wrong_and_what_is_resumed_is_not_counted_twice() {
    const LAYER: u64 = 300_000;
    let (hub, image) = hub().await;
    let impatient = "provider = \"docker-hub\"\nretry_for = \"1s\"";
    let server = Setup::empty()
        .remote("docker.io", hub.url(), impatient)
        .project("docker.io", "docker.io", "default = true")
        .section(&format!("[access]\nadmin_password = \"{PASSWORD}\""))
        .start()
        .await;
    let used = async || {
        let status = call(&server, "GET", "/status").await.json();
        status["store"]["used_bytes"].as_u64().expect("a number")
    };
    get(&server.manifest_url("library/app", "1")).await;
    // What comes while the start's sum is made may count twice until the next one.
    call(&server, "POST", "/upkeep/evict").await;
    let before = used().await;
    let url = server.blob_url("library/app", &image.layers()[0]);
    for _ in 0..3 {
        hub.fault(On::blob().get(), Fault::FlipByteAt(0));
        assert!(!get(&url).await.complete);
    }
    server.settled().await;
    assert_eq!(used().await, before);
    // The remote loses it in the middle, again and again: what came stays, to be resumed.
    for _ in 0..3 {
        hub.fault(On::blob().get(), Fault::CutAfter(LAYER / 4));
        hub.fault_times(On::blob().ranged(), 100, Fault::status(404));
        assert!(!get(&url).await.complete);
        hub.clear_faults();
        server.settled().await;
        assert!(used().await <= before + LAYER);
    }
    assert!(used().await >= before + LAYER / 4 * 3);
    pull(&server, "library/app", "1", &image).await;
    let whole = before + image.blob_bytes();
    assert_eq!(used().await, whole);
}

async fn a_scrub_finds_content_that_was_changed_behind_our_back() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let clean = call(&server, "POST", "/upkeep/scrub").await;
    assert_eq!(clean.status, 200, "{clean:?}");
    assert_eq!(clean.json()["damaged"], json!([]));
    assert!(clean.json()["bytes"].as_u64() >= Some(image.blob_bytes()));
    let layer = image.layers()[0].clone();
    let hex = layer.strip_prefix("sha256:").expect("sha256");
    let file = server
        .folder
        .path()
        .join("data/blobs/sha256")
        .join(&hex[..2])
        .join(hex);
    let mut bytes = std::fs::read(&file).expect("the blob is in place");
    bytes[1000] ^= 1;
    std::fs::write(&file, bytes).expect("it can be written");
    let answer = call(&server, "POST", "/upkeep/scrub").await;
    assert_eq!(answer.json()["damaged"], json!([layer]));
    pull(&server, "library/app", "1", &image).await;
    let answer = get(&server.blob_url("library/app", &layer)).await;
    assert!(answer.complete && answer.body == image.blob(&layer));
    let clean = call(&server, "POST", "/upkeep/scrub").await;
    assert_eq!(clean.json()["damaged"], json!([]));
    assert!(clean.json()["bytes"].as_u64() >= Some(image.blob_bytes()));
}

async fn an_eviction_with_room_to_spare_takes_nothing() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let answer = call(&server, "POST", "/upkeep/evict").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"images": 0, "blobs": 0, "bytes": 0, "in_vain": false})
    );
}
