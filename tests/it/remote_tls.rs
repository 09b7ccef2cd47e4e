//! TLS with remotes: authorities, client certificates, and none of either.

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;

use crate::{
    harness::{Authority, FakeRegistry, Image, ImageBuilder, On, get},
    server::{Setup, TestServer},
};

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// `key = "path"` for a file with this text.
    fn key(&self, key: &str, text: &str) -> String {
        format!("{key} = \"{}\"", self.put(key, text).display())
    }
}

async fn server_for(remote: &FakeRegistry, keys: &str) -> TestServer {
    Setup::empty()
        .mirror_with("r.io", remote, &format!("header_timeout = \"2s\"\n{keys}"))
        .start()
        .await
}

async fn assert_pulls(server: &TestServer, image: &Image) {
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
}

async fn assert_fails(server: &TestServer) {
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
    assert_eq!(answer.error_code(), "UNAVAILABLE");
}

async fn remote_of(authority: &Arc<Authority>) -> (FakeRegistry, Image) {
    let remote = FakeRegistry::builder().tls(authority).start().await;
    let image = ImageBuilder::new(1).layer(100_000).build();
    remote.put_image("app", "1", &image);
    (remote, image)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_when_it_is_named() {
    let (authority, files) = (Arc::new(Authority::new()), Files::new());
    let (remote, image) = remote_of(&authority).await;
    assert_fails(&server_for(&remote, "").await).await;
    let other = files.key("ca", &Authority::new().pem());
    assert_fails(&server_for(&remote, &other).await).await;
    assert_eq!(
        remote.requests().len(),
        0,
        "nothing was asked of a stranger"
    );
    let ours = files.key("ca", &authority.pem());
    assert_pulls(&server_for(&remote, &ours).await, &image).await;
}

#[tokio::test]
async fn unverified_tls_takes_any_certificate() {
    let (remote, image) = remote_of(&Arc::new(Authority::new())).await;
    assert_pulls(&server_for(&remote, "verify_tls = false").await, &image).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (authority, files) = (Arc::new(Authority::new()), Files::new());
    let remote = FakeRegistry::builder()
        .tls(&authority)
        .require_client_certificate()
        .start()
        .await;
    let image = ImageBuilder::new(2).layer(100).build();
    remote.put_image("app", "1", &image);
    let ca = files.key("ca", &authority.pem());
    assert_fails(&server_for(&remote, &ca).await).await;
    let identity = authority.client("entrepot");
    let cert = files.key("client_cert", &identity.certificate);
    let key = files.key("client_key", &identity.key);
    assert_pulls(
        &server_for(&remote, &format!("{ca}\n{cert}\n{key}")).await,
        &image,
    )
    .await;
    let shown = remote
        .requests()
        .iter()
        .all(|one| one.request.client_certificate);
    assert!(shown);
}

#[tokio::test]
async fn a_certificate_that_is_wrong_is_not_tried_again_and_again() {
    let (remote, _image) = remote_of(&Arc::new(Authority::new())).await;
    assert_fails(&server_for(&remote, "").await).await;
    assert_eq!(remote.connections(), 1);
}

#[tokio::test]
async fn a_remote_over_http1_only_is_no_trouble() {
    let (authority, files) = (Arc::new(Authority::new()), Files::new());
    let remote = FakeRegistry::builder()
        .tls(&authority)
        .http1_only()
        .start()
        .await;
    let image = ImageBuilder::new(3).layer(100).build();
    remote.put_image("app", "1", &image);
    let ca = files.key("ca", &authority.pem());
    assert_pulls(&server_for(&remote, &ca).await, &image).await;
    assert_eq!(remote.count(On::any().served()), 2);
}
