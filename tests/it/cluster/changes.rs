//! What one replica changes, the others know.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::{Shared, mirror, until};
use crate::{
    api::call,
    fill::KIB,
    harness::{FakeRegistry, Image, ImageBuilder, On, get},
    server::Setup,
};

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(KIB).build()
}

/// A mirror that believes its rows for an hour.
fn believing(remote: &FakeRegistry) -> Setup {
    mirror(remote).freshness("mode = \"ttl\"\nttl = \"1h\"\ntags = \"**\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_through_one_replica_moves_at_the_other() {
    let remote = FakeRegistry::start().await;
    let (before, after) = (image(1), image(2));
    remote.put_image("app", "latest", &before);
    let shared = Shared::new().await;
    let always = mirror(&remote).freshness("mode = \"always\"\ntags = \"**\"");
    let asks = shared.replica(always).await;
    let believes = shared.replica(believing(&remote)).await;
    let url = believes.server.manifest_url("r/app", "latest");
    assert_eq!(get(&url).await.body, before.root_manifest().bytes);
    assert_eq!(get(&url).await.header("x-cache"), "hit");
    remote.put_image("app", "latest", &after);
    let moved = get(&asks.server.manifest_url("r/app", "latest")).await;
    assert_eq!(moved.body, after.root_manifest().bytes);
    remote.forget_requests();
    until("the other hears of it", async || {
        get(&url).await.body == after.root_manifest().bytes
    })
    .await;
    assert_eq!(remote.count(On::manifest()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_meet_a_new_tag_at_once_ask_the_remote_once() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    remote.put_image("app", "latest", &image);
    let shared = Shared::new().await;
    let replicas = shared.replicas(3, &remote).await;
    let hold = remote.hold(On::manifest());
    let asked: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let url = replica.server.manifest_url("r/app", "latest");
            tokio::spawn(async move { get(&url).await })
        })
        .collect();
    hold.reached(1).await;
    hold.release();
    for answer in asked {
        assert_eq!(
            answer.await.expect("no panic").body,
            image.root_manifest().bytes
        );
    }
    assert_eq!(remote.count(On::manifest()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_purged_at_one_replica_is_gone_at_the_other() {
    let remote = FakeRegistry::start().await;
    remote.put_image("app", "latest", &image(1));
    let shared = Shared::new().await;
    let one = shared.replica(believing(&remote)).await;
    let other = shared.replica(believing(&remote)).await;
    let url = other.server.manifest_url("r/app", "latest");
    for outcome in ["miss", "hit"] {
        assert_eq!(get(&url).await.header("x-cache"), outcome);
    }
    remote.stop().await;
    assert_eq!(get(&url).await.status, 200);
    let entry = "/cache/entry?name=r/app&reference=latest";
    let purged = call(&one.server, "DELETE", entry).await;
    assert!((200..300).contains(&purged.status), "{purged:?}");
    until("the other hears of it", async || {
        get(&url).await.status != 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_changes_are_asked_for_each_second() {
    let remote = FakeRegistry::start().await;
    remote.put_image("app", "latest", &image(1));
    let shared = Shared::new().await;
    let asks = shared.replica(believing(&remote)).await;
    let believes = shared.replica(believing(&remote)).await;
    let url = believes.server.manifest_url("r/app", "latest");
    assert_eq!(get(&url).await.status, 200);
    let mut connection = PgConnection::connect(&shared.database)
        .await
        .expect("the server runs");
    let mut cut = 0;
    until("both have listened, and were cut", async || {
        let ended: Vec<(bool,)> = sqlx::query_as(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE 'LISTEN %'",
        )
        .fetch_all(&mut connection)
        .await
        .expect("we may do that");
        cut += ended.len();
        cut >= 2
    })
    .await;
    // The first one may be seen because the cut itself makes memory untrusted.
    for seed in [2, 3] {
        let after = image(seed);
        remote.put_image("app", "latest", &after);
        let refresh = "/cache/entry/refresh?name=r/app&reference=latest";
        let refreshed = call(&asks.server, "POST", refresh).await;
        assert!((200..300).contains(&refreshed.status), "{refreshed:?}");
        let asked = Instant::now();
        until("the other asks", async || {
            get(&url).await.body == after.root_manifest().bytes
        })
        .await;
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
}
