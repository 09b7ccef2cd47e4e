//! What a client is told when things go wrong: the specification's shape, the right status, and no inner text.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    harness::{Answer, Client, FakeRegistry, Fault, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer},
};

async fn scene() -> (FakeRegistry, TestServer, Image) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(1000).build();
    hub.put_image("library/app", "1", &image);
    // Three tries take less than a second.
    let server = impatient(&hub).start().await;
    (hub, server, image)
}

fn impatient(hub: &FakeRegistry) -> Setup {
    let keys = "provider = \"docker-hub\"\nheader_timeout = \"700ms\"\nretry_for = \"1s\"\nidle_timeout = \"500ms\"";
    Setup::empty().remote("docker.io", hub.url(), keys).project(
        "docker.io",
        "docker.io",
        "default = true\nnegative_ttl = \"0s\"",
    )
}

/// Status and body with what differs from run to run taken out.
fn shown(answer: &Answer, hub: &FakeRegistry) -> String {
    assert_eq!(answer.header("content-type"), "application/json");
    let body: Value = answer.json();
    assert_eq!(body["errors"].as_array().map(Vec::len), Some(1));
    let text = serde_json::to_string_pretty(&body).expect("JSON");
    format!(
        "{} {}",
        answer.status,
        text.replace(&hub.host(), "[remote]")
    )
}

#[tokio::test]
async fn errors_have_the_shape_of_the_specification() {
    let (hub, server, _image) = scene().await;
    let ask = async |path: &str| shown(&get(&format!("{}/v2/{path}", server.url())).await, &hub);
    insta::assert_snapshot!("manifest_unknown", ask("library/app/manifests/none").await);
    insta::assert_snapshot!(
        "blob_unknown",
        ask(&format!("library/app/blobs/sha256:{}", "0".repeat(64))).await
    );
    insta::assert_snapshot!("name_unknown_in_tags", ask("library/none/tags/list").await);
    insta::assert_snapshot!("name_unknown_ns", ask("app/manifests/1?ns=quay.io").await);
    insta::assert_snapshot!("name_unknown_path", ask("quay.io/app/manifests/1").await);
    insta::assert_snapshot!("name_invalid", ask("Library/App/manifests/1").await);
    insta::assert_snapshot!("digest_invalid", ask("library/app/blobs/sha256:xyz").await);
    insta::assert_snapshot!("no_such_tag", ask("library/app/manifests/.hidden").await);
    insta::assert_snapshot!("bad_page_size", ask("library/app/tags/list?n=-1").await);
    insta::assert_snapshot!("no_such_endpoint", ask("library/app/nothing/1").await);
}

#[tokio::test]
async fn outages_have_the_shape_of_the_specification() {
    let (hub, server, image) = scene().await;
    for (name, fault) in [
        ("remote_says_500", Fault::status(500)),
        ("remote_says_503", Fault::status(503)),
        ("remote_limits", Fault::too_many("30")),
        ("remote_hangs", Fault::HangBeforeHeaders),
        ("remote_is_a_teapot", Fault::status(418)),
        ("remote_shows_a_web_page", Fault::HtmlPage),
        ("remote_cuts", Fault::DropBeforeAnswer),
        ("remote_gives_wrong_bytes", Fault::WrongBody("{}".into())),
    ] {
        // A remote's limit is remembered.
        let server = impatient(&hub).start().await;
        hub.fault_always(On::any(), fault);
        let answer = get(&server.manifest_url("library/app", "1")).await;
        assert!(
            matches!(answer.status, 502..=504),
            "{name}: {}",
            answer.status
        );
        insta::assert_snapshot!(name, shown(&answer, &hub));
        hub.clear_faults();
    }
    hub.stop().await;
    let url = server.manifest_url("library/app", "1");
    insta::assert_snapshot!("remote_is_gone", shown(&get(&url).await, &hub));
    let blob = server.blob_url("library/app", &image.layers()[0]);
    insta::assert_snapshot!("remote_is_gone_blob", shown(&get(&blob).await, &hub));
}

#[tokio::test]
async fn what_is_not_cached_while_the_remote_is_down_is_never_a_404() {
    let (hub, server, image) = scene().await;
    hub.stop().await;
    let base = format!("{}/v2/library/app", server.url());
    let digest = &image.root;
    let asked = Instant::now();
    let answers = [
        "manifests/1".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{}", image.layers()[0]),
        "tags/list".to_owned(),
        format!("referrers/{digest}"),
    ]
    .map(|path| {
        let url = format!("{base}/{path}");
        tokio::spawn(async move { (get(&url).await, head(&url).await, path) })
    });
    for answers in answers {
        let (got, had, path) = answers.await.expect("no panic");
        assert!(matches!(got.status, 502..=504), "{path}: {}", got.status);
        assert_eq!(got.error_code(), "UNAVAILABLE", "{path}");
        assert!(
            matches!(had.status, 502..=504),
            "HEAD {path}: {}",
            had.status
        );
    }
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn head_has_no_body_on_errors() {
    let (hub, server, _image) = scene().await;
    for path in [
        "library/app/manifests/none",
        "UPPER/manifests/1",
        "quay.io/x/manifests/1",
    ] {
        let url = format!("{}/v2/{path}", server.url());
        let (got, had) = (get(&url).await, head(&url).await);
        assert_eq!((had.status, had.body.len()), (got.status, 0), "{path}");
        assert_eq!(had.header("content-type"), "application/json");
    }
    hub.fault_always(On::any(), Fault::status(500));
    let answer = head(&server.manifest_url("library/app", "1")).await;
    assert_eq!((answer.status / 100, answer.body.len()), (5, 0));
}

#[tokio::test]
async fn two_failures_and_a_success_are_a_success() {
    for fault in [Fault::status(503), Fault::DropBeforeAnswer] {
        let hub = FakeRegistry::start().await;
        let image = ImageBuilder::new(2).layer(1000).build();
        hub.put_image("library/app", "1", &image);
        let server = Setup::hub(&hub).start().await;
        hub.fault_times(On::manifest(), 2, fault.clone());
        let answer = get(&server.manifest_url("library/app", "1")).await;
        assert_eq!(
            (answer.status, answer.body),
            (200, image.root_manifest().bytes.clone()),
            "{fault:?}"
        );
        hub.fault_times(On::blob(), 2, fault.clone());
        let layer = &image.layers()[0];
        let answer = get(&server.blob_url("library/app", layer)).await;
        assert_eq!(
            (answer.status, answer.body),
            (200, image.blob(layer)),
            "{fault:?}"
        );
        hub.fault_times(On::tags(), 2, fault.clone());
        let answer = get(&format!("{}/v2/library/app/tags/list", server.url())).await;
        assert_eq!(answer.status, 200, "{fault:?}");
        assert_eq!(hub.faults_left(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_remotes_limit_is_a_503_with_its_time_to_wait() {
    let (hub, server, image) = scene().await;
    hub.fault_always(On::any(), Fault::too_many("30"));
    let layer = &image.layers()[0];
    for url in [
        server.manifest_url("library/app", "1"),
        server.blob_url("library/app", layer),
    ] {
        let answer = get(&url).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (503, "UNAVAILABLE"),
            "{url}"
        );
        assert_eq!(answer.header("retry-after"), "30", "{url}");
        assert_eq!(head(&url).await.status, 503, "{url}");
    }
}

#[tokio::test]
async fn refusals_of_the_remote_become_404_and_never_401_or_403() {
    let (hub, server, image) = scene().await;
    let layer = image.layers()[0].clone();
    for status in [401, 403] {
        hub.fault_always(On::any(), Fault::status(status));
        for url in [
            server.manifest_url("library/app", "1"),
            server.manifest_url("library/app", &image.root),
            server.blob_url("library/app", &layer),
            format!("{}/v2/library/app/tags/list", server.url()),
        ] {
            let answer = get(&url).await;
            assert_eq!(answer.status, 404, "{status} {url}");
            let message = answer.json()["errors"][0]["message"].to_string();
            assert!(message.contains("refuses"), "{message}");
        }
        hub.clear_faults();
    }
    assert_eq!(
        get(&server.manifest_url("library/app", "1")).await.status,
        200,
        "not remembered"
    );
}

#[tokio::test]
async fn messages_tell_no_credentials_and_no_query_strings() {
    let cdn = FakeRegistry::start().await;
    let hub = FakeRegistry::builder()
        .redirect_blobs_to(&cdn)
        .basic("robot", "s3cret-pw")
        .start()
        .await;
    let image = ImageBuilder::new(3).layer(1000).build();
    hub.put_image("library/app", "1", &image);
    let keys = "username = \"robot\"\npassword = \"s3cret-pw\"\nheader_timeout = \"700ms\"\nretry_for = \"1s\"";
    let server = Setup::empty()
        .remote("r.io", hub.url(), keys)
        .project("r.io", "r.io", "visibility = \"public\"")
        .start()
        .await;
    let layer = &image.layers()[0];
    let url = server.blob_url("r.io/library/app", layer);
    for fault in [
        Fault::status(403),
        Fault::status(500),
        Fault::HangBeforeHeaders,
        Fault::DropBeforeAnswer,
    ] {
        cdn.fault_always(On::cdn(), fault);
        let answer = get(&url).await;
        assert!(matches!(answer.status, 502..=504), "{}", answer.status);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in ["s3cret", "signature", "abc", "robot", "?"] {
            assert!(!text.contains(secret), "{text}");
        }
        cdn.clear_faults();
    }
    assert_eq!(get(&url).await.status, 200);
}

#[tokio::test]
async fn huge_and_endless_manifests_are_refused() {
    let (hub, server, _image) = scene().await;
    for fault in [Fault::HugeBody(64 << 20), Fault::EndlessBody] {
        hub.fault_always(On::manifest(), fault.clone());
        let answer = get(&server.manifest_url("library/app", "1")).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (502, "UNAVAILABLE"),
            "{fault:?}"
        );
        hub.clear_faults();
    }
    assert!(
        hub.bytes_sent(On::manifest()) < 40 << 20,
        "{}",
        hub.bytes_sent(On::manifest())
    );
}

#[tokio::test]
async fn a_captive_portal_is_an_outage_for_every_question() {
    let (hub, server, image) = scene().await;
    hub.fault_always(On::any(), Fault::HtmlPage);
    let (root, layer) = (&image.root, &image.layers()[0]);
    for path in [
        "manifests/1",
        "tags/list",
        &format!("manifests/{root}"),
        &format!("blobs/{layer}"),
        &format!("referrers/{root}"),
    ] {
        let url = format!("{}/v2/library/app/{path}", server.url());
        assert_eq!(head(&url).await.status, 502, "HEAD {path}");
        if !path.starts_with("blobs/") {
            assert_eq!(get(&url).await.error_code(), "UNAVAILABLE", "{path}");
        }
    }
    // The page ends before its digest is known to be wrong: nothing of it is a complete answer.
    let url = server.blob_url("library/app", layer);
    let answer = Client::new().try_send(http::Method::GET, &url, &[]).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status >= 500 || !answer.complete));
    hub.clear_faults();
    assert_eq!(
        get(&server.blob_url("library/app", layer)).await.body,
        image.blob(layer)
    );
    assert_eq!(
        get(&server.manifest_url("library/app", "1")).await.body,
        image.root_manifest().bytes
    );
}

#[tokio::test]
async fn a_remote_that_names_no_digest_and_sends_no_json_is_not_believed() {
    let (hub, server, _image) = scene().await;
    hub.fault_always(On::manifest(), Fault::NoDigestHeader);
    hub.fault_always(
        On::manifest(),
        Fault::WrongBody("Service is down for maintenance".into()),
    );
    let answer = get(&server.manifest_url("library/app", "1")).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
}

#[tokio::test]
async fn offline_nothing_is_dialed_and_what_is_missing_is_a_503() {
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub)
        .section("[mirror]\noffline = true")
        .start()
        .await;
    for path in [
        "manifests/1",
        "tags/list",
        &format!("blobs/sha256:{}", "0".repeat(64)),
    ] {
        let answer = get(&format!("{}/v2/library/app/{path}", server.url())).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (503, "UNAVAILABLE"),
            "{path}"
        );
    }
    assert_eq!(hub.connections(), 0);
}
