//! Tags that go by themselves.

use std::time::Duration;

use http::Method;

use crate::{
    harness::ImageBuilder,
    push::{Pusher, setup},
    server::on_both,
};

on_both!(the_newest_tags_stay_and_a_dry_run_tells_which_go);

const RULES: &str = "immutable_tags = [\"v*\"]\n\
    [[project.retention]]\ntags = \"nightly-*\"\nnewest = 2\n\
    [[project.retention]]\ntags = \"keep-*\"\nmax_age = \"30d\"\n\
    [[project.retention]]\nnewest = 1\nmax_age = \"1ms\"";

async fn the_newest_tags_stay_and_a_dry_run_tells_which_go() {
    let server = setup(RULES).start().await;
    let pusher = Pusher::of(&server);
    let tags = [
        "nightly-0",
        "nightly-1",
        "nightly-2",
        "nightly-3",
        "keep-1",
        "v1",
        "other-1",
        "other-2",
    ];
    let mut images = Vec::new();
    for (seed, tag) in (1..).zip(tags) {
        let image = ImageBuilder::new(seed).layer(500).build();
        pusher.image("team/app", tag, &image).await;
        images.push(image);
        // Times are whole milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another tag keeps what the first night made.
    pusher.image("team/app", "keep-night", &images[1]).await;
    let pin = "/api/v1/cache/entry/pin?name=team/app&reference=nightly-0";
    let pinned = Pusher::send(pusher.request(Method::PUT, pin)).await;
    assert_eq!(pinned.status, 204);
    let due = pusher.upkeep("retention?dry_run=true").await;
    let names: Vec<_> = due["due"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|due| due["tag"].as_str().expect("a tag"))
        .collect();
    assert_eq!(names, ["nightly-1", "other-1"]);
    for tag in tags {
        assert!(pusher.has_manifest("team/app", tag).await, "{tag}");
    }
    let retired = pusher.upkeep("retention").await;
    assert_eq!(retired, due);
    for tag in [
        "nightly-0",
        "nightly-2",
        "nightly-3",
        "keep-1",
        "keep-night",
        "v1",
        "other-2",
    ] {
        assert!(pusher.has_manifest("team/app", tag).await, "{tag}");
    }
    for tag in ["nightly-1", "other-1"] {
        assert!(!pusher.has_manifest("team/app", tag).await, "{tag}");
    }
    assert!(pusher.has_manifest("team/app", &images[1].root).await);
    assert!(!pusher.has_manifest("team/app", &images[6].root).await);
    assert_eq!(pusher.upkeep("retention").await["tags"], 0);
}
