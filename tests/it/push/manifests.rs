//! PUT of manifests, and what is pulled and listed of them.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{Pusher, setup};
use crate::{
    harness::{Algorithm, ImageBuilder, digest_of, get, head, media_type, sha256},
    server::on_both,
};

on_both!(
    an_image_is_pushed_and_pulled_byte_for_byte,
    several_tags_come_with_one_manifest,
    referrers_are_listed_whatever_comes_first,
);

fn bytes(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}

async fn an_image_is_pushed_and_pulled_byte_for_byte() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    for (tag, image) in [
        ("oci", ImageBuilder::new(1).layer(3000).build()),
        ("docker", ImageBuilder::new(2).layer(3000).docker().build()),
        (
            "index",
            ImageBuilder::new(3)
                .layer(3000)
                .platforms(&["linux/amd64", "linux/arm64"])
                .build(),
        ),
        (
            "chart",
            ImageBuilder::helm_chart(4, "chart", "1.0.0").build(),
        ),
    ] {
        pusher.image("team/app", tag, &image).await;
        let root = image.root_manifest();
        for reference in [tag, &root.digest] {
            let url = server.manifest_url("team/app", reference);
            let (pulled, asked) = (get(&url).await, head(&url).await);
            assert_eq!((pulled.status, &pulled.body), (200, &root.bytes), "{tag}");
            for answer in [&pulled, &asked] {
                assert_eq!(answer.status, 200);
                assert_eq!(answer.header("content-type"), root.media_type);
                assert_eq!(answer.header("docker-content-digest"), root.digest);
                let length = root.bytes.len().to_string();
                assert_eq!(answer.header("content-length"), length);
            }
        }
    }
    let tags = get(&format!("{}/v2/team/app/tags/list", server.url())).await;
    assert_eq!(
        tags.json(),
        json!({"name": "team/app", "tags": ["chart", "docker", "index", "oci"]})
    );
    let page = get(&format!(
        "{}/v2/team/app/tags/list?n=2&last=chart",
        server.url()
    ))
    .await;
    assert_eq!(page.json()["tags"], json!(["docker", "index"]));
    assert_eq!(
        page.header("link"),
        "</v2/team/app/tags/list?n=2&last=index>; rel=\"next\""
    );
    let none = get(&format!("{}/v2/team/app/tags/list?n=0", server.url())).await;
    assert_eq!(
        (none.json()["tags"].clone(), none.header("link")),
        (json!([]), "")
    );
    let catalog = get(&format!("{}/v2/_catalog", server.url())).await;
    assert_eq!(catalog.json(), json!({"repositories": ["team/app"]}));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = setup("").start().await;
    for path in [
        "manifests/1".to_owned(),
        format!("manifests/{}", sha256(b"x")),
        format!("blobs/{}", sha256(b"x")),
        "tags/list".to_owned(),
    ] {
        let answer = get(&format!("{}/v2/team/app/{path}", server.url())).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // distribution-spec, "Listing Referrers": never 404.
    let path = format!("/v2/team/app/referrers/{}", sha256(b"x"));
    let referrers = get(&format!("{}{path}", server.url())).await;
    assert_eq!(referrers.json()["manifests"], json!([]));
}

#[tokio::test]
async fn each_blob_that_a_manifest_names_in_vain_is_named() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1).layer(100).layer(200).build();
    let (config, layers) = (image.config(), image.layers());
    pusher.blob("team/app", &image.blob(&layers[0])).await;
    // In another repository it does not count.
    pusher.blob("team/other", &image.blob(&config)).await;
    let root = image.root_manifest();
    let put = async || {
        let bytes = root.bytes.clone();
        pusher
            .manifest("team/app", "1", &root.media_type, bytes)
            .await
    };
    let refused = put().await;
    assert_eq!(refused.status, 400);
    let errors = refused.errors();
    assert!(
        errors
            .iter()
            .all(|(code, _)| code == "MANIFEST_BLOB_UNKNOWN")
    );
    let named = |digest: &str| errors.iter().any(|(_, message)| message.contains(digest));
    assert!(named(&config) && named(&layers[1]) && errors.len() == 2);
    assert_eq!(get(&server.manifest_url("team/app", "1")).await.status, 404);
    pusher.blob("team/app", &image.blob(&config)).await;
    pusher.blob("team/app", &image.blob(&layers[1])).await;
    assert_eq!(put().await.status, 201);
}

#[tokio::test]
async fn foreign_layers_need_not_be_here() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(1)
        .layer(100)
        .foreign_layer("https://example.com/layer", 200)
        .build();
    let (config, layers) = (image.config(), image.layers());
    pusher.blob("team/app", &image.blob(&config)).await;
    pusher.blob("team/app", &image.blob(&layers[0])).await;
    let root = image.root_manifest();
    let pushed = pusher.manifest("team/app", "1", &root.media_type, root.bytes.clone());
    assert_eq!(pushed.await.status, 201);
}

#[tokio::test]
async fn an_index_may_be_sparse_unless_the_project_says_no() {
    for (keys, expected) in [("", 201), ("sparse_index = false", 400)] {
        let server = setup(keys).start().await;
        let pusher = Pusher::of(&server);
        let image = ImageBuilder::new(1)
            .layer(100)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        let root = image.root_manifest();
        let pushed = pusher.manifest("team/app", "1", &root.media_type, root.bytes.clone());
        let pushed = pushed.await;
        assert_eq!(pushed.status, expected);
        if expected == 400 {
            assert_eq!(pushed.errors().len(), image.children().len());
            pusher.image("team/app", "1", &image).await;
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_none_is_refused() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let empty = pusher.blob("team/app", &Bytes::from("{}")).await;
    let descriptor = json!({"mediaType": "a/b", "digest": empty, "size": 2});
    let image = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor, "layers": []});
    let with = |member: &str, value: Value| {
        let mut changed = image.clone();
        changed[member] = value;
        bytes(&changed)
    };
    for body in [
        Bytes::new(),
        Bytes::from("[]"),
        Bytes::from("{"),
        with("schemaVersion", json!(1)),
        with("mediaType", json!(media_type::DOCKER_MANIFEST)),
        with("layers", json!([{"digest": "sha256:00"}])),
        with("manifests", json!([])),
        with("subject", json!("x")),
    ] {
        let refused = pusher.manifest("team/app", "1", media_type::OCI_MANIFEST, body);
        let refused = refused.await;
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (400, "MANIFEST_INVALID")
        );
    }
    let other = sha256(b"other");
    let refused = pusher.manifest("team/app", &other, media_type::OCI_MANIFEST, bytes(&image));
    let refused = refused.await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (400, "DIGEST_INVALID")
    );
    for tag in ["-bad", "a..%2F"] {
        let refused = pusher.manifest("team/app", tag, media_type::OCI_MANIFEST, bytes(&image));
        assert!(matches!(refused.await.status, 400 | 404));
    }
    let spool = server.folder.path().join("data/spool");
    assert_eq!(spool.read_dir().expect("a folder").count(), 0);
}

#[tokio::test]
async fn any_media_type_is_kept_as_it_comes() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let body = Bytes::from("{ \"anything\":  [1] }\n");
    let media_type = "application/vnd.example.thing+json";
    let with_parameter = format!("{media_type}; charset=utf-8");
    let pushed = pusher
        .manifest("team/app", "1", &with_parameter, body.clone())
        .await;
    assert_eq!(pushed.status, 201);
    let pulled = get(&server.manifest_url("team/app", "1")).await;
    assert_eq!(pulled.header("content-type"), media_type);
    assert_eq!(pulled.body, body);
}

#[tokio::test]
async fn four_mebibytes_are_taken_and_more_is_too_large() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let media_type = "application/vnd.example.thing+json";
    for (length, expected) in [(4 << 20, 201), ((4 << 20) + 1, 413)] {
        let mut body = format!("{{\"padding\":\"{}", "x".repeat(length - 14));
        body.push_str("\"}");
        assert_eq!(body.len(), length);
        let body = Bytes::from(body);
        let pushed = pusher
            .manifest("team/app", "1", media_type, body.clone())
            .await;
        assert_eq!(pushed.status, expected);
        let path = "/v2/team/app/manifests/2";
        let unannounced = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let put = pusher
            .request(Method::PUT, path)
            .header("content-type", media_type);
        let put = put.body(reqwest::Body::wrap_stream(unannounced));
        assert_eq!(Pusher::send(put).await.status, expected);
    }
}

#[tokio::test]
async fn a_manifest_is_pushed_by_sha512() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let body = Bytes::from("{\"a\":1}");
    let digest = digest_of(Algorithm::Sha512, &body);
    let reference = format!("{digest}?tag=1");
    let pushed = pusher.manifest("team/app", &reference, "a/b", body.clone());
    let pushed = pushed.await;
    assert_eq!(
        (pushed.status, pushed.header("docker-content-digest")),
        (201, digest.as_str())
    );
    let pulled = get(&server.manifest_url("team/app", "1")).await;
    assert_eq!(pulled.header("docker-content-digest"), digest);
    assert_eq!(pulled.body, body);
}

async fn several_tags_come_with_one_manifest() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let body = Bytes::from("{\"a\":1}");
    let digest = sha256(&body);
    let tags = ["1.2.3", "1.2", "1", "latest"];
    let reference = format!("{digest}?tag={}", tags.join("&tag="));
    let pushed = pusher.manifest("team/app", &reference, "a/b", body.clone());
    let pushed = pushed.await;
    assert_eq!(pushed.status, 201);
    let accepted: Vec<_> = pushed.headers.get_all("oci-tag").iter().collect();
    assert_eq!(accepted, tags);
    for tag in tags {
        assert_eq!(get(&server.manifest_url("team/app", tag)).await.body, body);
    }
    // By tag there is one tag, the one of the path.
    let other = pusher.manifest("team/app", "2?tag=3", "a/b", Bytes::from("{}"));
    assert!(!other.await.headers.contains_key("oci-tag"));
    assert_eq!(get(&server.manifest_url("team/app", "3")).await.status, 404);
}

#[tokio::test]
async fn a_tag_moves_to_what_was_pushed_last() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    for body in ["{\"a\":1}", "{\"a\":2}", "{\"a\":1}"] {
        let pushed = pusher
            .manifest("team/app", "1", "a/b", Bytes::from(body))
            .await;
        assert_eq!(pushed.status, 201);
        assert_eq!(get(&server.manifest_url("team/app", "1")).await.body, body);
    }
    // Both are still here by their digests.
    let url = server.manifest_url("team/app", &sha256(b"{\"a\":2}"));
    assert_eq!(get(&url).await.status, 200);
}

#[tokio::test]
async fn an_immutable_tag_stays_where_it_was_pushed() {
    let server = setup("immutable_tags = [\"v*\", \"/^release/\"]")
        .start()
        .await;
    let pusher = Pusher::of(&server);
    let put = async |reference: &str, body: &'static str| {
        let pushed = pusher.manifest("team/app", reference, "a/b", Bytes::from(body));
        pushed.await
    };
    for tag in ["v1", "release-1", "latest"] {
        assert_eq!(put(tag, "{\"a\":1}").await.status, 201);
        assert_eq!(put(tag, "{\"a\":1}").await.status, 201);
    }
    assert_eq!(put("latest", "{\"a\":2}").await.status, 201);
    let by_digest = format!("{}?tag=v2&tag=v1", sha256(b"{\"a\":2}"));
    for (reference, pattern) in [
        ("v1", "`v*`"),
        ("release-1", "`/^release/`"),
        (by_digest.as_str(), "`v*`"),
    ] {
        let refused = put(reference, "{\"a\":2}").await;
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (409, "DENIED")
        );
        assert!(refused.errors()[0].1.contains(pattern));
    }
    assert_eq!(
        get(&server.manifest_url("team/app", "v1")).await.body,
        "{\"a\":1}"
    );
    assert_eq!(
        get(&server.manifest_url("team/app", "v2")).await.status,
        404
    );
}

async fn referrers_are_listed_whatever_comes_first() {
    let server = setup("").start().await;
    let pusher = Pusher::of(&server);
    let subject = ImageBuilder::new(1).layer(100).build();
    let sbom = ImageBuilder::artifact(2, "application/vnd.example.sbom", &subject)
        .annotation("org.example.format", "json")
        .build();
    let signature =
        ImageBuilder::artifact(3, "application/vnd.example.signature", &subject).build();
    for artifact in [&sbom, &signature] {
        for bytes in artifact.blobs.values() {
            pusher.blob("team/app", bytes).await;
        }
        let root = artifact.root_manifest();
        let pushed = pusher.manifest(
            "team/app",
            &root.digest,
            &root.media_type,
            root.bytes.clone(),
        );
        let pushed = pushed.await;
        assert_eq!(pushed.status, 201);
        assert_eq!(pushed.header("oci-subject"), subject.root);
        if artifact.root == sbom.root {
            pusher.image("team/app", "1", &subject).await;
        }
    }
    let path = format!("/v2/team/app/referrers/{}", subject.root);
    let all = get(&format!("{}{path}", server.url())).await;
    assert_eq!(all.header("content-type"), media_type::OCI_INDEX);
    assert_eq!(all.json()["manifests"].as_array().map(Vec::len), Some(2));
    let filter = "?artifactType=application%2Fvnd.example.sbom";
    let filtered = get(&format!("{}{path}{filter}", server.url())).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let found = &filtered.json()["manifests"];
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(found[0]["digest"], sbom.root);
    assert_eq!(found[0]["artifactType"], "application/vnd.example.sbom");
    assert_eq!(found[0]["annotations"]["org.example.format"], "json");
}
