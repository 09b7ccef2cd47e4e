//! Which repository a request means: `?ns=`, the first component of the path, the default project.

use http::Method;

use crate::{
    harness::{Client, FakeRegistry, Image, ImageBuilder, On, get, head},
    server::{Setup, TestServer},
};

async fn hub_with(repository: &str, image: &Image) -> FakeRegistry {
    let hub = FakeRegistry::start().await;
    hub.put_image(repository, "1", image);
    hub
}

fn small(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(4096).build()
}

/// Status and error code of a GET below `/v2/`.
async fn refused(server: &TestServer, path: &str) -> (u16, String) {
    let answer = get(&format!("{}/v2/{path}", server.url())).await;
    (answer.status, answer.error_code())
}

#[tokio::test]
async fn ns_prefix_and_default_reach_one_cached_repository() {
    let image = small(1);
    let hub = hub_with("library/nginx", &image).await;
    let server = Setup::hub(&hub).start().await;
    let layer = &image.layers()[0];
    for (name, query) in [
        ("nginx", ""),
        ("library/nginx", ""),
        ("docker.io/nginx", ""),
        ("docker.io/library/nginx", ""),
        ("nginx", "?ns=docker.io"),
        ("library/nginx", "?ns=docker.io"),
        ("library/nginx", "?ns=index.docker.io"),
        ("library/nginx", "?ns=registry-1.docker.io"),
        ("library/nginx", "?ns=Docker.IO"),
        ("docker.io/library/nginx", "?ns=docker.io"),
    ] {
        let manifest = get(&format!("{}{query}", server.manifest_url(name, "1"))).await;
        assert_eq!(manifest.status, 200, "{name}{query}");
        assert_eq!(manifest.body, image.root_manifest().bytes, "{name}{query}");
        let blob = get(&format!("{}{query}", server.blob_url(name, layer))).await;
        assert_eq!(blob.body, image.blob(layer), "{name}{query}");
    }
    assert_eq!(hub.count(On::manifest()), 1);
    assert_eq!(hub.count(On::blob()), 1);
    assert_eq!(hub.count(On::any().repository("library/nginx")), 2);
}

#[tokio::test]
async fn names_of_one_component_are_completed_for_docker_hub_only() {
    let image = small(2);
    let other = hub_with("nginx", &image).await;
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub)
        .mirror("other.io", &other, "")
        .start()
        .await;
    assert_eq!(
        get(&server.manifest_url("other.io/nginx", "1"))
            .await
            .status,
        200
    );
    assert_eq!(other.count(On::manifest().repository("nginx")), 1);
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn an_unknown_ns_is_a_404_that_names_the_projects_and_dials_nobody() {
    let image = small(3);
    let hub = hub_with("library/nginx", &image).await;
    let other = hub_with("library/nginx", &image).await;
    let server = Setup::hub(&hub)
        .mirror("other.io", &other, "")
        .start()
        .await;
    for ns in [
        "quay.io",
        "evil.example",
        &hub.host(),
        "127.0.0.1",
        "..",
        "a/b",
        "http://x",
    ] {
        let url = format!("{}?ns={ns}", server.manifest_url("library/nginx", "1"));
        let answer = get(&url).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "NAME_UNKNOWN"),
            "{ns}"
        );
        let text = answer.json()["errors"][0]["message"].to_string();
        assert!(
            text.contains("docker.io") && text.contains("other.io"),
            "{text}"
        );
        assert_eq!(head(&url).await.status, 404, "{ns}");
    }
    assert_eq!((hub.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn an_unknown_registry_in_the_path_is_a_404_that_dials_nobody() {
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub).start().await;
    for path in [
        "quay.io/a/b/manifests/1",
        "quay.io/a/b/tags/list",
        "127.0.0.1/a/manifests/1",
    ] {
        let answer = get(&format!("{}/v2/{path}", server.url())).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "NAME_UNKNOWN"),
            "{path}"
        );
        assert!(
            answer.json()["errors"][0]["message"]
                .to_string()
                .contains("docker.io")
        );
    }
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn without_a_default_project_a_name_needs_its_project() {
    let image = small(4);
    let remote = hub_with("a/b", &image).await;
    let server = Setup::empty().mirror("r.io", &remote, "").start().await;
    assert_eq!(
        refused(&server, "a/b/manifests/1").await,
        (404, "NAME_UNKNOWN".to_owned())
    );
    assert_eq!(
        refused(&server, "r.io/manifests/1").await,
        (404, "NAME_UNKNOWN".to_owned())
    );
    assert_eq!(remote.connections(), 0);
    assert_eq!(get(&server.manifest_url("r.io/a/b", "1")).await.status, 200);
}

#[tokio::test]
async fn the_namespace_is_echoed_on_answers_and_on_errors() {
    let image = small(5);
    let hub = hub_with("library/nginx", &image).await;
    let server = Setup::hub(&hub).start().await;
    let url = server.manifest_url("library/nginx", "1");
    let answer = get(&format!("{url}?ns=docker.io")).await;
    assert_eq!(answer.header("oci-namespace"), "docker.io");
    let answer = head(&format!("{url}?ns=index.docker.io")).await;
    assert_eq!(answer.header("oci-namespace"), "index.docker.io");
    let answer = get(&format!("{url}?ns=quay.io")).await;
    assert_eq!(
        (answer.status, answer.header("oci-namespace")),
        (404, "quay.io")
    );
    assert!(!get(&url).await.headers.contains_key("oci-namespace"));
}

#[tokio::test]
async fn a_ns_that_is_this_server_itself_counts_as_absent() {
    let image = small(6);
    let hub = hub_with("library/nginx", &image).await;
    let server = Setup::hub(&hub)
        .variable(
            "ENTREPOT__SERVER__PUBLIC_URL",
            "https://mirror.example:8443",
        )
        .start()
        .await;
    let own = server
        .url()
        .strip_prefix("http://")
        .expect("plain HTTP")
        .to_owned();
    for name in ["nginx", "docker.io/library/nginx"] {
        let url = server.manifest_url(name, "1");
        assert_eq!(get(&format!("{url}?ns={own}")).await.status, 200);
        assert_eq!(
            get(&format!("{url}?ns=mirror.example:8443")).await.status,
            200
        );
        let host = [("host", "mirror.local")];
        let url = format!("{url}?ns=mirror.local");
        let answer = Client::new().send(Method::GET, &url, &host).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        assert_eq!(get(&url).await.status, 404, "it is another host's name");
    }
}

#[tokio::test]
async fn names_have_any_depth_and_components_called_like_endpoints() {
    let image = small(7);
    let names = [
        "library/blobs/manifests/tags/list/uploads/referrers",
        "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t",
        "manifests/manifests",
        "v2/tags",
    ];
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub).start().await;
    let layer = &image.layers()[0];
    for name in names {
        hub.put_image(name, "list", &image);
        for asked in [name.to_owned(), format!("docker.io/{name}")] {
            let manifest = get(&server.manifest_url(&asked, "list")).await;
            assert_eq!(manifest.status, 200, "{asked}");
            assert_eq!(
                get(&server.blob_url(&asked, layer)).await.status,
                200,
                "{asked}"
            );
            let tags = get(&format!("{}/v2/{asked}/tags/list", server.url())).await;
            assert_eq!(tags.json()["tags"], serde_json::json!(["list"]), "{asked}");
            let referrers = format!("{}/v2/{asked}/referrers/{}", server.url(), image.root);
            assert_eq!(get(&referrers).await.status, 200, "{asked}");
        }
    }
}

#[tokio::test]
async fn bad_names_tags_and_digests_have_the_codes_of_the_specification() {
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub).start().await;
    let long = "a".repeat(300);
    let nearly_long = "a/".repeat(126) + "a";
    for (path, status, code) in [
        ("UPPER/x/manifests/1", 400, "NAME_INVALID"),
        ("a//b/manifests/1", 400, "NAME_INVALID"),
        ("library/../x/tags/list", 400, "NAME_INVALID"),
        (&format!("{long}/manifests/1"), 400, "NAME_INVALID"),
        (&format!("{nearly_long}/manifests/1"), 404, "NAME_UNKNOWN"),
        ("library/x/blobs/sha256:zz", 400, "DIGEST_INVALID"),
        ("library/x/blobs/latest", 400, "DIGEST_INVALID"),
        ("library/x/manifests/sha256:zz", 400, "DIGEST_INVALID"),
        ("library/x/referrers/sha256:0", 400, "DIGEST_INVALID"),
        ("library/x/manifests/-x", 404, "MANIFEST_UNKNOWN"),
        (
            &format!("library/x/manifests/{}", "t".repeat(129)),
            404,
            "MANIFEST_UNKNOWN",
        ),
        ("library/x/tags/list?n=many", 400, "UNSUPPORTED"),
        ("library/x/nothing/here", 404, "UNSUPPORTED"),
    ] {
        // Not by URL crates: they would take `..` out.
        let url = format!("{}/v2/{}", server.url(), path.replace("..", "%2e%2e%2fx"));
        let answer = get(&url).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{path}"
        );
    }
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn allow_and_deny_decide_before_anything_is_dialed() {
    let image = small(8);
    let remote = hub_with("open/app", &image).await;
    remote.put_image("open/secret", "1", &image);
    remote.put_image("closed/app", "1", &image);
    let keys = "allow = [\"open/**\"]\ndeny = [\"**/secret\"]";
    let server = Setup::empty().mirror("r.io", &remote, keys).start().await;
    for name in ["open/secret", "closed/app"] {
        let path = format!("r.io/{name}/manifests/1");
        assert_eq!(
            refused(&server, &path).await,
            (404, "NAME_UNKNOWN".to_owned()),
            "{name}"
        );
    }
    assert_eq!(remote.connections(), 0);
    assert_eq!(
        get(&server.manifest_url("r.io/open/app", "1")).await.status,
        200
    );
}

#[tokio::test]
async fn a_prefix_is_put_before_the_name_at_the_remote() {
    let image = small(9);
    let remote = hub_with("team-a/sub/app", &image).await;
    let server = Setup::empty()
        .mirror("corp", &remote, "prefix = \"team-a/sub\"")
        .start()
        .await;
    let layer = &image.layers()[0];
    assert_eq!(get(&server.manifest_url("corp/app", "1")).await.status, 200);
    assert_eq!(
        get(&server.blob_url("corp/app", layer)).await.body,
        image.blob(layer)
    );
    let tags = get(&format!("{}/v2/corp/app/tags/list", server.url()))
        .await
        .json();
    assert_eq!(tags, serde_json::json!({"name": "corp/app", "tags": ["1"]}));
    assert_eq!(
        remote.count(On::any()),
        remote.count(On::any().repository("team-a/sub/app"))
    );
}
