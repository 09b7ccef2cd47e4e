use super::{
    super::{ErrorKind, Patience},
    server::{FakeServer, Reply},
    *,
};
use crate::oci::media_type;

const MANIFEST: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

async fn get(reply: fn() -> Reply, reference: &Reference) -> Result<(Digest, String), ClientError> {
    let server = FakeServer::start(move |_| reply()).await;
    let client = client(remote(server.url()));
    let manifest = client
        .manifest_get(&name(), reference, Patience::Full)
        .await?;
    Ok((manifest.digest, manifest.media_type))
}

#[tokio::test]
async fn every_manifest_request_asks_the_same_question() {
    let server = FakeServer::start(|_| Reply::new(200, MANIFEST)).await;
    let client = client(remote(server.url()));
    client
        .manifest_get(&name(), &tag(), Patience::Full)
        .await
        .unwrap();
    client
        .manifest_head(&name(), &tag(), Patience::Short)
        .await
        .unwrap();
    for seen in server.seen() {
        assert_eq!(seen.header("accept"), media_type::ACCEPT_MANIFEST);
        assert_eq!(seen.header("accept-encoding"), "identity");
    }
}

#[tokio::test]
async fn a_remote_without_digest_header_or_content_type_is_understood() {
    let (digest, media_type) = get(|| Reply::new(200, MANIFEST), &tag()).await.unwrap();
    assert_eq!(digest, Digest::sha256(MANIFEST.as_bytes()));
    assert_eq!(media_type, media_type::OCI_INDEX);
}

#[tokio::test]
async fn a_wrong_digest_is_invalid_whether_asked_for_or_announced() {
    let asked = Reference::Digest(Digest::sha256(b"other"));
    let error = get(|| Reply::new(200, MANIFEST), &asked).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let announced = || {
        let digest = Digest::sha256(b"other").to_string();
        Reply::new(200, MANIFEST).with("docker-content-digest", digest)
    };
    let error = get(announced, &tag()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    // What has the digest asked for is right, whatever is announced.
    let asked = Reference::Digest(Digest::sha256(MANIFEST.as_bytes()));
    get(announced, &asked).await.unwrap();
    let nonsense = || Reply::new(200, MANIFEST).with("docker-content-digest", "nonsense");
    get(nonsense, &tag()).await.unwrap();
}

#[tokio::test]
async fn a_manifest_that_is_too_large_is_invalid() {
    let large = || Reply::new(200, vec![b' '; 4 * 1024 * 1024 + 1]);
    let error = get(large, &tag()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_part_or_nothing_is_no_manifest() {
    for reply in [|| Reply::new(206, "{"), || Reply::new(204, "")] {
        assert_eq!(
            get(reply, &tag()).await.unwrap_err().kind,
            ErrorKind::Invalid
        );
    }
}

#[tokio::test]
async fn a_head_tells_what_the_remote_says_and_no_more() {
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let announced = digest.to_string();
    let server = FakeServer::start(move |seen| {
        if seen.target.ends_with("bare") {
            return Reply::new(200, "");
        }
        Reply::new(200, "")
            .with("content-length", "34")
            .with(
                "content-type",
                "application/vnd.oci.image.index.v1+json; charset=utf-8",
            )
            .with("docker-content-digest", announced.clone())
    })
    .await;
    let client = client(remote(server.url()));
    let head = client
        .manifest_head(&name(), &tag(), Patience::Full)
        .await
        .unwrap();
    assert_eq!(head.digest, Some(digest));
    assert_eq!(head.media_type.as_deref(), Some(media_type::OCI_INDEX));
    assert_eq!(head.size_bytes, Some(34));
    let bare = "bare".parse().unwrap();
    let head = client
        .manifest_head(&name(), &bare, Patience::Full)
        .await
        .unwrap();
    assert_eq!((head.digest, head.size_bytes), (None, None));
}
