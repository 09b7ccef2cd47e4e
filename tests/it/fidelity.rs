//! Content passes byte for byte, whatever it is; the remote is always asked the same question.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::{
    harness::{
        Algorithm, Client, FakeRegistry, Fault, Image, ImageBuilder, On, digest_of, get, head,
        media_type, random_bytes, sha256,
    },
    server::{Setup, TestServer},
};

async fn scene() -> (FakeRegistry, TestServer) {
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub).start().await;
    (hub, server)
}

/// Pulls everything by tag and by digest, cold and cached, and compares every byte and type.
async fn assert_passes(what: &str, image: &Image) {
    let (hub, server) = scene().await;
    hub.put_image("library/app", "1", image);
    for _ in 0..2 {
        let root = get(&server.manifest_url("library/app", "1")).await;
        assert_eq!(root.body, image.root_manifest().bytes, "{what}");
        assert_eq!(root.header("docker-content-digest"), image.root, "{what}");
        for manifest in &image.manifests {
            let url = server.manifest_url("library/app", &manifest.digest);
            let answer = get(&url).await;
            assert_eq!(answer.status, 200, "{what}");
            assert_eq!(answer.body, manifest.bytes, "{what}");
            assert_eq!(answer.header("content-type"), manifest.media_type, "{what}");
            assert_eq!(
                answer.header("docker-content-digest"),
                manifest.digest,
                "{what}"
            );
            let answer = head(&url).await;
            assert_eq!(answer.header("content-type"), manifest.media_type, "{what}");
            assert_eq!(
                answer.header("content-length"),
                manifest.bytes.len().to_string(),
                "{what}"
            );
        }
        for (digest, bytes) in &image.blobs {
            let answer = get(&server.blob_url("library/app", digest)).await;
            assert_eq!((answer.status, answer.complete), (200, true), "{what}");
            assert_eq!(&answer.body, bytes, "{what}");
            assert_eq!(answer.header("docker-content-digest"), digest, "{what}");
            assert!(!answer.headers.contains_key("content-encoding"), "{what}");
        }
        server.settled().await;
    }
    let fetched = image.manifests.len() + image.blobs.len();
    assert_eq!(
        hub.count(On::any().get()),
        fetched,
        "{what}: each thing once"
    );
}

#[tokio::test]
async fn images_of_each_kind_pass_byte_for_byte() {
    let subject = ImageBuilder::new(1).layer(100).build();
    for (what, image) in [
        ("OCI", ImageBuilder::new(2).layer(5000).layer(100).build()),
        (
            "Docker schema 2",
            ImageBuilder::new(3).docker().layer(5000).build(),
        ),
        (
            "an OCI index",
            ImageBuilder::new(4)
                .layer(900)
                .platforms(&["linux/amd64", "linux/arm/v7"])
                .build(),
        ),
        (
            "a Docker list",
            ImageBuilder::new(5)
                .docker()
                .layer(900)
                .platforms(&["linux/amd64", "linux/arm64"])
                .build(),
        ),
        ("zstd", ImageBuilder::new(6).zstd_layer(5000).build()),
        (
            "an artifact",
            ImageBuilder::artifact(7, "application/vnd.example.sbom", &subject).build(),
        ),
        (
            "a Helm chart",
            ImageBuilder::helm_chart(8, "mychart", "1.2.3").build(),
        ),
        (
            "an encrypted layer",
            ImageBuilder::new(9)
                .layer_as(
                    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                    4000,
                )
                .build(),
        ),
        (
            "unknown media types",
            ImageBuilder::new(10)
                .layer_as("application/x.future+weird; v=1", 10)
                .build(),
        ),
        (
            "sha512",
            ImageBuilder::new(11)
                .algorithm(Algorithm::Sha512)
                .layer(5000)
                .build(),
        ),
        (
            "an empty layer",
            ImageBuilder::new(12)
                .layer_given(media_type::OCI_LAYER, Bytes::new())
                .build(),
        ),
    ] {
        assert_passes(what, &image).await;
    }
}

#[tokio::test]
async fn odd_manifests_keep_their_bytes_type_and_digest() {
    let (hub, server) = scene().await;
    let inner = sha256(b"inner");
    let pretty =
        serde_json::to_string_pretty(&json!({"schemaVersion": 2, "config": {"digest": inner}}));
    let odd: [(&str, Bytes); 7] = [
        (media_type::OCI_MANIFEST, pretty.expect("JSON").into()),
        (
            media_type::OCI_MANIFEST,
            "\n\t {\"schemaVersion\":2 , \"x\":\"\\u00e9 \u{e9}\", \"x\": 1.0e2}\r\n\n".into(),
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "{\"schemaVersion\": 1, \"signatures\": []}\n".into(),
        ),
        (
            "application/vnd.oci.artifact.manifest.v1+json",
            "{\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\"}".into(),
        ),
        (
            "application/vnd.future.manifest.v9+cbor",
            random_bytes(1, 700),
        ),
        ("application/json", "[]".into()),
        ("text/x.strange", "not JSON at all".into()),
    ];
    for (i, (kind, bytes)) in odd.iter().enumerate() {
        let digest = hub.put_manifest("library/odd", kind, bytes.clone());
        let tag = format!("t{i}");
        hub.tag("library/odd", &tag, &digest);
        for reference in [tag.as_str(), &digest, &tag] {
            let answer = get(&server.manifest_url("library/odd", reference)).await;
            assert_eq!((answer.status, &answer.body), (200, bytes), "{kind}");
            assert_eq!(answer.header("docker-content-digest"), digest, "{kind}");
            assert_eq!(answer.header("content-type"), *kind);
        }
    }
}

#[tokio::test]
async fn a_manifest_asked_for_by_another_algorithm_is_served_under_it() {
    let (hub, server) = scene().await;
    let image = ImageBuilder::new(20)
        .algorithm(Algorithm::Sha512)
        .layer(100)
        .build();
    hub.put_image("library/app", "1", &image);
    let bytes = &image.root_manifest().bytes;
    assert_eq!(image.root, digest_of(Algorithm::Sha512, bytes));
    let by_tag = get(&server.manifest_url("library/app", "1")).await;
    assert_eq!(by_tag.header("docker-content-digest"), image.root);
    let by_digest = get(&server.manifest_url("library/app", &image.root)).await;
    assert_eq!(
        (&by_digest.body, by_digest.header("x-cache")),
        (bytes, "hit")
    );
}

#[tokio::test]
async fn the_remote_is_asked_the_same_whatever_the_client_accepts() {
    let accepted = [
        vec![],
        vec![(
            "accept",
            "application/vnd.docker.distribution.manifest.v1+json",
        )],
        vec![
            ("accept", "text/html"),
            ("accept-encoding", "gzip, zstd, br"),
        ],
        vec![
            ("accept-encoding", "gzip;q=1.0, identity;q=0"),
            ("user-agent", "docker/29"),
        ],
    ];
    let mut questions = Vec::new();
    for headers in accepted {
        let (hub, server) = scene().await;
        let index = ImageBuilder::new(30)
            .layer(3000)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        hub.put_image("library/app", "1", &index);
        let client = Client::new();
        let layer = &index.layers()[0];
        for (method, url) in [
            (Method::HEAD, server.manifest_url("library/app", "1")),
            (Method::GET, server.manifest_url("library/app", "1")),
            (
                Method::GET,
                server.manifest_url("library/app", &index.children()[0]),
            ),
            (Method::GET, server.blob_url("library/app", layer)),
        ] {
            let answer = client.send(method, &url, &headers).await;
            assert_eq!(answer.status, 200);
            assert!(!answer.headers.contains_key("content-encoding"));
        }
        let manifest = get(&server.manifest_url("library/app", "1")).await;
        assert_eq!(manifest.header("content-type"), media_type::OCI_INDEX);
        let asked: Vec<_> = hub
            .requests()
            .iter()
            .map(|one| {
                let one = &one.request;
                let header = |name| one.header(name).to_owned();
                (
                    one.method.clone(),
                    one.path.clone(),
                    header("accept"),
                    header("accept-encoding"),
                    header("user-agent"),
                )
            })
            .collect();
        for (_, path, accept, encoding, _) in &asked {
            assert_eq!(encoding, "identity", "{path}");
            if path.contains("/manifests/") {
                for kind in [
                    media_type::OCI_INDEX,
                    media_type::OCI_MANIFEST,
                    media_type::DOCKER_LIST,
                    media_type::DOCKER_MANIFEST,
                    "*/*",
                ] {
                    assert!(accept.contains(kind), "{accept}");
                }
            }
        }
        questions.push(asked);
    }
    assert!(
        questions.windows(2).all(|pair| pair[0] == pair[1]),
        "{questions:#?}"
    );
}

#[tokio::test]
async fn bodies_are_never_compressed_for_a_client_that_would_take_it() {
    let (hub, server) = scene().await;
    let text = Bytes::from("all the same ".repeat(20_000));
    let image = ImageBuilder::new(40)
        .layer_given("text/plain", text.clone())
        .build();
    hub.put_image("library/app", "1", &image);
    let layer = &image.layers()[0];
    for path in [
        server.manifest_url("library/app", "1"),
        server.blob_url("library/app", layer),
        format!("{}/v2/library/app/tags/list", server.url()),
        format!("{}/v2/_catalog", server.url()),
    ] {
        let accept = [("accept-encoding", "gzip, deflate, br, zstd")];
        let answer = Client::new().send(Method::GET, &path, &accept).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.headers.contains_key("content-encoding"), "{path}");
        assert!(!answer.headers.contains_key("transfer-encoding"), "{path}");
    }
}

#[tokio::test]
async fn a_remote_that_encodes_a_body_is_not_decoded() {
    // The digest is of the bytes on the wire: what says it is gzip but verifies as it is passes as it is.
    let (hub, server) = scene().await;
    let image = ImageBuilder::new(41).layer(3000).build();
    hub.put_image("library/app", "1", &image);
    hub.fault_always(
        On::any(),
        Fault::Header("Content-Encoding", "gzip".to_owned()),
    );
    let layer = &image.layers()[0];
    let answer = get(&server.blob_url("library/app", layer)).await;
    assert_eq!(answer.body, image.blob(layer));
    let answer = get(&server.manifest_url("library/app", "1")).await;
    assert_eq!(answer.body, image.root_manifest().bytes);
}

#[tokio::test]
async fn get_and_head_agree_on_a_type_that_a_file_server_does_not_know() {
    let (hub, server) = scene().await;
    let index = ImageBuilder::new(60)
        .layer(10)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    hub.put_image("library/app", "1", &index);
    hub.put_image("library/app", "2", &index);
    hub.fault_always(On::manifest(), Fault::WrongMediaType("text/plain"));
    for url in [
        server.manifest_url("library/app", &index.root),
        server.manifest_url("library/app", "1"),
    ] {
        assert_eq!(
            head(&url).await.header("content-type"),
            media_type::OCI_INDEX
        );
        assert_eq!(
            get(&url).await.header("content-type"),
            media_type::OCI_INDEX
        );
    }
}

#[tokio::test]
async fn a_remote_without_digest_header_or_length_is_no_trouble() {
    for (digest_header, length_header, ranges) in [
        (false, true, true),
        (true, false, true),
        (false, false, true),
        (false, false, false),
    ] {
        let hub = FakeRegistry::builder()
            .options(|options| {
                options.digest_header = digest_header;
                options.length_header = length_header;
                options.ranges = ranges;
            })
            .start()
            .await;
        let image = ImageBuilder::new(50).layer(200_000).build();
        hub.put_image("library/app", "1", &image);
        let server = Setup::hub(&hub).start().await;
        let layer = &image.layers()[0];
        let what = format!("digest {digest_header}, length {length_header}, ranges {ranges}");
        let by_digest = head(&server.manifest_url("library/app", &image.root)).await;
        assert_eq!(
            (by_digest.status, by_digest.header("docker-content-digest")),
            (200, image.root.as_str())
        );
        let answer = head(&server.manifest_url("library/app", "1")).await;
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(answer.header("docker-content-digest"), image.root, "{what}");
        let length = image.root_manifest().bytes.len().to_string();
        assert_eq!(answer.header("content-length"), length, "{what}");
        if length_header || ranges {
            let answer = head(&server.blob_url("library/app", layer)).await;
            assert_eq!(
                (answer.status, answer.header("content-length")),
                (200, "200000"),
                "{what}"
            );
        }
        let answer = get(&server.blob_url("library/app", layer)).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{what}");
        assert_eq!(answer.body, image.blob(layer), "{what}");
        let answer = get(&server.manifest_url("library/app", "1")).await;
        assert_eq!(answer.body, image.root_manifest().bytes, "{what}");
    }
}
