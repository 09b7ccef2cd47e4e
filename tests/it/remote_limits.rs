//! Time, rate and several URLs: how a remote is waited for, asked again, and spared.

use std::time::{Duration, Instant};

use crate::{
    harness::{Client, FakeRegistry, Fault, Image, ImageBuilder, On, drain_sha256, get},
    server::{Setup, TestServer},
};

async fn remote_with(image: &Image) -> FakeRegistry {
    let remote = FakeRegistry::start().await;
    remote.put_image("app", "1", image);
    remote
}

fn small() -> Image {
    ImageBuilder::new(1).layer(5000).build()
}

async fn server_for(remote: &FakeRegistry, keys: &str) -> TestServer {
    Setup::empty()
        .mirror_with("r.io", remote, keys)
        .start()
        .await
}

#[tokio::test]
async fn a_remote_that_accepts_and_never_answers_is_a_504_within_its_time() {
    let (image, keys) = (small(), "header_timeout = \"600ms\"");
    let remote = remote_with(&image).await;
    remote.stop_answering().await;
    let server = server_for(&remote, keys).await;
    let asked = Instant::now();
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (504, "UNAVAILABLE")
    );
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
    let answer = get(&server.blob_url("r.io/app", &image.layers()[0])).await;
    assert_eq!(answer.status, 504);
}

#[tokio::test]
async fn a_hang_before_the_headers_is_a_504() {
    let image = small();
    let remote = remote_with(&image).await;
    remote.fault_always(On::any(), Fault::HangBeforeHeaders);
    let server = server_for(&remote, "header_timeout = \"600ms\"").await;
    assert_eq!(get(&server.manifest_url("r.io/app", "1")).await.status, 504);
}

#[tokio::test]
async fn the_time_that_a_remote_asks_for_is_waited() {
    let image = small();
    let remote = remote_with(&image).await;
    for on in [On::manifest(), On::blob()] {
        remote.fault(on, Fault::Status(503, Some("1")));
    }
    let server = server_for(&remote, "").await;
    for url in [
        server.manifest_url("r.io/app", "1"),
        server.blob_url("r.io/app", &image.layers()[0]),
    ] {
        let asked = Instant::now();
        assert_eq!(get(&url).await.status, 200);
        assert!(
            asked.elapsed() >= Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
    }
    assert_eq!(remote.requests().len(), 4);
}

#[tokio::test]
async fn trouble_on_the_wire_never_becomes_wrong_content() {
    let image = small();
    let layer = image.layers()[0].clone();
    for fault in [
        Fault::GarbageHttp,
        Fault::ResetBeforeAnswer,
        Fault::CutInHeaders,
        Fault::CutAfter(10),
        Fault::ResetAfter(10),
        Fault::WrongContentLength(7),
        Fault::WrongContentLength(-7),
        Fault::FlipByteAt(20),
        Fault::EmptyBody,
        Fault::GarbageJson,
        Fault::NoLength,
        Fault::CloseAfterAnswer,
    ] {
        let remote = remote_with(&image).await;
        let server = server_for(&remote, "retry_for = \"2s\"").await;
        for (on, url, bytes) in [
            (
                On::manifest(),
                server.manifest_url("r.io/app", "1"),
                image.root_manifest().bytes.clone(),
            ),
            (
                On::blob(),
                server.blob_url("r.io/app", &layer),
                image.blob(&layer),
            ),
        ] {
            remote.fault(on, fault.clone());
            let answer = Client::new().try_send(http::Method::GET, &url, &[]).await;
            if let Ok(answer) = answer
                && answer.complete
            {
                assert!(
                    answer.status >= 500 || answer.body == bytes,
                    "{fault:?}: {answer:?}"
                );
            }
            let next = get(&url).await;
            assert_eq!((next.status, next.body), (200, bytes), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_manifest_that_was_bent_on_its_way_is_asked_for_again() {
    let image = small();
    for fault in [
        Fault::FlipByteAt(20),
        Fault::EmptyBody,
        Fault::GarbageJson,
        Fault::WrongBody("{}".into()),
    ] {
        let remote = remote_with(&image).await;
        for reference in ["1", &image.root] {
            let server = server_for(&remote, "").await;
            remote.fault_times(On::manifest().get(), 2, fault.clone());
            let answer = get(&server.manifest_url("r.io/app", reference)).await;
            assert_eq!(answer.status, 200, "{fault:?}");
            assert_eq!(answer.body, image.root_manifest().bytes, "{fault:?}");
            remote.clear_faults();
        }
        let server = server_for(&remote, "").await;
        remote.fault_always(On::manifest().get(), fault);
        let asked = Instant::now();
        let answer = get(&server.manifest_url("r.io/app", "1")).await;
        assert_eq!(answer.status, 502);
        assert!(asked.elapsed() < Duration::from_secs(8));
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_remote_closed_is_no_failure() {
    let image = ImageBuilder::new(9)
        .layer(100)
        .layer(200)
        .layer(300)
        .build();
    let remote = remote_with(&image).await;
    remote.fault_always(On::any(), Fault::CloseAfterAnswer);
    let server = server_for(&remote, "").await;
    assert_eq!(get(&server.manifest_url("r.io/app", "1")).await.status, 200);
    for digest in image.blobs.keys() {
        assert_eq!(get(&server.blob_url("r.io/app", digest)).await.status, 200);
    }
}

#[tokio::test]
async fn a_longer_wait_than_the_client_has_is_told_instead() {
    let image = small();
    let remote = remote_with(&image).await;
    remote.fault_always(On::any(), Fault::too_many("120"));
    let server = server_for(&remote, "").await;
    let asked = Instant::now();
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "120"));
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(remote.requests().len(), 1);
}

#[tokio::test]
async fn the_bandwidth_of_a_remote_is_kept() {
    let image = ImageBuilder::new(2)
        .layer(3_000_000)
        .layer(3_000_000)
        .build();
    let remote = remote_with(&image).await;
    // Together, not each: six megabytes at four a second.
    let server = server_for(&remote, "bandwidth = \"4MB/s\"").await;
    let asked = Instant::now();
    let [one, two] = [0, 1].map(|i| {
        let url = server.blob_url("r.io/app", &image.layers()[i]);
        tokio::spawn(async move { drain_sha256(&url).await })
    });
    for (drained, layer) in [(one, 0), (two, 1)] {
        let drained = drained.await.expect("no panic");
        assert_eq!(
            (drained.complete, drained.digest),
            (true, image.layers()[layer].clone())
        );
    }
    let took = asked.elapsed();
    assert!(
        took > Duration::from_millis(700) && took < Duration::from_secs(6),
        "{took:?}"
    );
}

#[tokio::test]
async fn the_second_url_answers_when_the_first_is_down_or_lacks_it() {
    let image = small();
    let good = remote_with(&image).await;
    let down = FakeRegistry::start().await;
    down.stop().await;
    let empty = FakeRegistry::start().await;
    let broken = FakeRegistry::start().await;
    broken.fault_always(On::any(), Fault::status(500));
    for first in [&down, &empty, &broken] {
        let urls = format!("{}\", \"{}", first.url(), good.url());
        let server = Setup::empty()
            .remote("r.io", &urls, "header_timeout = \"900ms\"")
            .project("r.io", "r.io", "")
            .start()
            .await;
        let answer = get(&server.manifest_url("r.io/app", "1")).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let layer = &image.layers()[0];
        assert_eq!(
            get(&server.blob_url("r.io/app", layer)).await.body,
            image.blob(layer)
        );
        let missing = get(&server.manifest_url("r.io/app", "2")).await.status;
        // Only who answered can say that it is not there.
        let expected: &[u16] = if std::ptr::eq(first, &raw const broken) {
            &[502, 503, 504]
        } else {
            &[404]
        };
        assert!(expected.contains(&missing), "{missing}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_at_the_second_url() {
    let image = ImageBuilder::new(3).layer(400_000).build();
    let first = remote_with(&image).await;
    let second = FakeRegistry::builder().content_of(&first).start().await;
    let urls = format!("{}\", \"{}", first.url(), second.url());
    let server = Setup::empty()
        .remote("r.io", &urls, "")
        .project("r.io", "r.io", "")
        .start()
        .await;
    first.fault(On::blob().get(), Fault::CutAfter(100_000));
    first.fault_always(On::blob().ranged(), Fault::status(503));
    let layer = &image.layers()[0];
    let answer = get(&server.blob_url("r.io/app", layer)).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.body, image.blob(layer));
    assert_eq!(second.count(On::blob().ranged()), 1);
    assert_eq!(second.count(On::blob().unranged()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_begins_and_never_goes_on_leaves_the_rest_to_the_second() {
    let image = ImageBuilder::new(1).layer(300_000).build();
    let (first, second) = (remote_with(&image).await, remote_with(&image).await);
    first.fault_always(On::blob().get(), Fault::HangAfter(0));
    let urls = format!("{}\", \"{}", first.url(), second.url());
    let keys = "idle_timeout = \"200ms\"\nretry_for = \"5s\"";
    let setup = Setup::empty().remote("r.io", &urls, keys);
    let server = setup.project("r.io", "r.io", "").start().await;
    let layer = &image.layers()[0];
    let drained = drain_sha256(&server.blob_url("r.io/app", layer)).await;
    assert!(drained.complete && drained.digest == *layer);
}

/// Their places are taken by our own downloads: that is no silence of the remote.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_connection_longer_than_for_an_answer_gets_it_in_the_end() {
    let image = ImageBuilder::new(1).layer(1000).layer(1100).build();
    let remote = remote_with(&image).await;
    let keys = "max_connections = 1\nheader_timeout = \"500ms\"";
    let server = server_for(&remote, keys).await;
    let hold = remote.hold_after(On::blob().get(), 500);
    let pulls: Vec<_> = image
        .layers()
        .iter()
        .map(|layer| {
            let url = server.blob_url("r.io/app", layer);
            tokio::spawn(async move { get(&url).await.status })
        })
        .collect();
    hold.reached(1).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    hold.release();
    for pull in pulls {
        assert_eq!(pull.await.expect("no panic"), 200);
    }
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_used_at_once() {
    let image = ImageBuilder::new(4)
        .layer(1000)
        .layer(1100)
        .layer(1200)
        .layer(1300)
        .build();
    let remote = remote_with(&image).await;
    let server = server_for(&remote, "max_connections = 2").await;
    let hold = remote.hold(On::blob());
    let pulls: Vec<_> = image
        .layers()
        .iter()
        .map(|layer| {
            let url = server.blob_url("r.io/app", layer);
            tokio::spawn(async move { get(&url).await.status })
        })
        .collect();
    hold.reached(2).await;
    hold.release();
    for pull in pulls {
        assert_eq!(pull.await.expect("no panic"), 200);
    }
    assert!(remote.peak(On::blob()) <= 2, "{}", remote.peak(On::blob()));
}
