//! `GET` and `HEAD` of manifests and of `/v2/`: exact headers, conditional requests, methods.

use http::Method;

use crate::{
    harness::{Answer, Client, FakeRegistry, Image, ImageBuilder, Manifest, On, get, head},
    server::{Setup, TestServer, on_both},
};

on_both! {
    the_base_answers_without_asking_the_remote,
    a_manifest_by_tag_has_exact_headers_cold_and_cached,
    a_manifest_by_digest_has_exact_headers_cold_and_cached,
    a_cold_head_costs_one_head_at_the_remote,
    a_child_of_a_cached_index_answers_head_without_asking,
    what_a_client_has_already_is_not_sent_again,
    a_blob_that_a_client_has_already_is_not_downloaded,
    a_tag_that_the_remote_does_not_have_is_a_404,
    methods_that_no_endpoint_takes_are_405,
    a_mirror_project_takes_no_writes,
    writes_are_not_completed_by_the_default_project,
}

async fn server_with(image: &Image) -> (FakeRegistry, TestServer) {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/app", "1", image);
    let server = Setup::hub(&hub).start().await;
    (hub, server)
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(4096).build()
}

fn assert_manifest(answer: &Answer, manifest: &Manifest, outcome: &str) {
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(answer.header("content-type"), manifest.media_type);
    assert_eq!(
        answer.header("content-length"),
        manifest.bytes.len().to_string()
    );
    assert_eq!(answer.header("docker-content-digest"), manifest.digest);
    assert_eq!(answer.header("etag"), format!("\"{}\"", manifest.digest));
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    assert_eq!(answer.header("x-cache"), outcome);
    assert_eq!(answer.headers.contains_key("age"), outcome == "hit");
}

async fn the_base_answers_without_asking_the_remote() {
    let (hub, server) = server_with(&image(1)).await;
    for path in ["/v2/", "/v2"] {
        let answer = get(&format!("{}{path}", server.url())).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (200, &b"{}"[..]),
            "{path}"
        );
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            "registry/2.0"
        );
        let answer = head(&format!("{}{path}", server.url())).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
    assert_eq!(hub.connections(), 0);
}

async fn a_manifest_by_tag_has_exact_headers_cold_and_cached() {
    let image = image(2);
    let (hub, server) = server_with(&image).await;
    let url = server.manifest_url("library/app", "1");
    let cold = get(&url).await;
    assert_manifest(&cold, image.root_manifest(), "miss");
    assert_eq!(cold.body, image.root_manifest().bytes);
    let cached = get(&url).await;
    assert_manifest(&cached, image.root_manifest(), "hit");
    assert_eq!(cached.body, image.root_manifest().bytes);
    let cached = head(&url).await;
    assert_manifest(&cached, image.root_manifest(), "hit");
    assert!(cached.body.is_empty());
    assert_eq!(hub.count(On::any()), 1);
}

async fn a_manifest_by_digest_has_exact_headers_cold_and_cached() {
    let image = image(3);
    let (hub, server) = server_with(&image).await;
    let url = server.manifest_url("library/app", &image.root);
    for outcome in ["miss", "hit"] {
        let answer = get(&url).await;
        assert_manifest(&answer, image.root_manifest(), outcome);
        assert_eq!(answer.body, image.root_manifest().bytes);
    }
    assert_manifest(&head(&url).await, image.root_manifest(), "hit");
    assert_eq!(hub.count(On::any()), 1);
}

async fn a_cold_head_costs_one_head_at_the_remote() {
    let image = image(4);
    let (hub, server) = server_with(&image).await;
    let answer = head(&server.manifest_url("library/app", "1")).await;
    assert_manifest(&answer, image.root_manifest(), "miss");
    assert_eq!(
        (hub.count(On::any()), hub.count(On::manifest().head())),
        (1, 1)
    );
    let answer = head(&server.manifest_url("library/app", &image.root)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(hub.count(On::manifest().get()), 0);
}

async fn a_child_of_a_cached_index_answers_head_without_asking() {
    let index = ImageBuilder::new(5)
        .layer(512)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    let (hub, server) = server_with(&index).await;
    get(&server.manifest_url("library/app", "1")).await;
    for child in index.children() {
        let answer = head(&server.manifest_url("library/app", &child)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("docker-content-digest"), child);
        assert_eq!(
            answer.header("content-type"),
            index.manifest(&child).media_type
        );
        let length = index.manifest(&child).bytes.len().to_string();
        assert_eq!(answer.header("content-length"), length);
    }
    assert_eq!(hub.count(On::any()), 1);
}

async fn what_a_client_has_already_is_not_sent_again() {
    let image = image(6);
    let (_hub, server) = server_with(&image).await;
    let digest = &image.root;
    for reference in ["1", digest] {
        let url = server.manifest_url("library/app", reference);
        for (tag, status) in [
            (format!("\"{digest}\""), 304),
            (format!("W/\"{digest}\""), 304),
            (format!("\"sha256:0\", \"{digest}\""), 304),
            ("*".to_owned(), 304),
            ("\"sha256:0\"".to_owned(), 200),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let asked = [("if-none-match", tag.as_str())];
                let answer = Client::new().send(method.clone(), &url, &asked).await;
                assert_eq!(answer.status, status, "{method} {tag}");
                assert_eq!(answer.header("etag"), format!("\"{digest}\""));
                assert_eq!(answer.header("docker-content-digest"), digest);
                assert!(status == 200 || answer.body.is_empty());
            }
        }
    }
}

async fn a_blob_that_a_client_has_already_is_not_downloaded() {
    let image = image(7);
    let (hub, server) = server_with(&image).await;
    let layer = &image.layers()[0];
    let asked = [("if-none-match", format!("\"{layer}\""))];
    let asked = asked
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let answer = Client::new()
        .send(Method::GET, &server.blob_url("library/app", layer), &asked)
        .await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    assert_eq!(hub.count(On::blob().get()), 0);
}

async fn a_tag_that_the_remote_does_not_have_is_a_404() {
    let image = image(8);
    let (hub, server) = server_with(&image).await;
    for (name, reference) in [
        ("library/app", "2"),
        ("library/none", "1"),
        ("library/app", &format!("sha256:{}", "0".repeat(64))),
    ] {
        let url = server.manifest_url(name, reference);
        let answer = get(&url).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "MANIFEST_UNKNOWN")
        );
        let answer = head(&url).await;
        assert_eq!((answer.status, answer.body.len()), (404, 0));
    }
    assert!(hub.count(On::manifest()) > 0);
}

async fn methods_that_no_endpoint_takes_are_405() {
    let image = image(9);
    let (hub, server) = server_with(&image).await;
    let layer = &image.layers()[0];
    let client = Client::new();
    for (method, path) in [
        (Method::POST, String::new()),
        (Method::DELETE, "_catalog".to_owned()),
        (Method::POST, "library/app/manifests/1".to_owned()),
        (Method::PATCH, "library/app/manifests/1".to_owned()),
        (Method::OPTIONS, "library/app/manifests/1".to_owned()),
        (Method::PUT, format!("library/app/blobs/{layer}")),
        (Method::PUT, "library/app/tags/list".to_owned()),
        (
            Method::POST,
            format!("library/app/referrers/{}", image.root),
        ),
        (
            Method::GET,
            "docker.io/library/app/blobs/uploads/".to_owned(),
        ),
    ] {
        let url = format!("{}/v2/{path}", server.url());
        let answer = client.send(method.clone(), &url, &[]).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (405, "UNSUPPORTED"),
            "{method} {path}"
        );
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    assert_eq!(hub.connections(), 0);
}

async fn a_mirror_project_takes_no_writes() {
    let image = image(10);
    let (hub, server) = server_with(&image).await;
    let layer = &image.layers()[0];
    let client = Client::new();
    for (method, path, status, code) in [
        (Method::PUT, "manifests/1".to_owned(), 403, "DENIED"),
        (Method::POST, "blobs/uploads/".to_owned(), 403, "DENIED"),
        (
            Method::POST,
            format!("blobs/uploads/?mount={layer}&from=docker.io/library/x"),
            403,
            "DENIED",
        ),
        (
            Method::PATCH,
            "blobs/uploads/019aa5e0-7c1e-7000-8000-000000000000".to_owned(),
            403,
            "DENIED",
        ),
        (Method::DELETE, "manifests/1".to_owned(), 405, "UNSUPPORTED"),
        (Method::DELETE, format!("blobs/{layer}"), 405, "UNSUPPORTED"),
    ] {
        let url = format!("{}/v2/docker.io/library/app/{path}", server.url());
        let answer = client.send(method.clone(), &url, &[]).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{method} {path}"
        );
    }
    assert_eq!(hub.connections(), 0);
}

async fn writes_are_not_completed_by_the_default_project() {
    let (hub, server) = server_with(&image(11)).await;
    let client = Client::new();
    for (method, path) in [
        (Method::PUT, "manifests/1"),
        (Method::POST, "blobs/uploads/"),
        (Method::DELETE, "manifests/1"),
    ] {
        let url = format!("{}/v2/library/app/{path}", server.url());
        let answer = client.send(method.clone(), &url, &[]).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "NAME_UNKNOWN"),
            "{method} {path}"
        );
    }
    assert_eq!(hub.connections(), 0);
}
