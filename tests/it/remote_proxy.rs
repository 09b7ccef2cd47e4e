//! Remotes behind a proxy: of the remote's own, or of the environment.

use std::sync::Arc;

use crate::{
    forward_proxy::ForwardProxy,
    harness::{Authority, FakeRegistry, Image, ImageBuilder, get},
    process::Process,
    server::{Setup, TestServer},
};

async fn remote() -> (FakeRegistry, Image) {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(50_000).build();
    remote.put_image("app", "1", &image);
    (remote, image)
}

async fn server_for(remote: &FakeRegistry, keys: &str) -> TestServer {
    Setup::empty()
        .mirror_with("r.io", remote, keys)
        .start()
        .await
}

async fn assert_pulls(url: &str, image: &Image) {
    let answer = get(&format!("{url}/v2/r.io/app/manifests/1")).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let layer = &image.layers()[0];
    let answer = get(&format!("{url}/v2/r.io/app/blobs/{layer}")).await;
    assert_eq!(answer.body, image.blob(layer));
}

#[tokio::test]
async fn a_plain_remote_is_asked_through_its_proxy() {
    let ((remote, image), proxy) = (remote().await, ForwardProxy::start().await);
    let server = server_for(&remote, &format!("proxy = \"{}\"", proxy.url())).await;
    assert_pulls(server.url(), &image).await;
    let asked = proxy.asked();
    assert!(asked.len() >= 2, "{asked:?}");
    let direct = format!("GET {}/v2/app/manifests/1 HTTP/1.1", remote.url());
    assert!(asked[0].starts_with(&direct), "{asked:?}");
}

#[tokio::test]
async fn a_tls_remote_is_reached_by_a_tunnel_and_verified_through_it() {
    let (authority, proxy) = (Arc::new(Authority::new()), ForwardProxy::start().await);
    let folder = tempfile::TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("a file");
    let remote = FakeRegistry::builder().tls(&authority).start().await;
    let image = ImageBuilder::new(2).layer(50_000).build();
    remote.put_image("app", "1", &image);
    let keys = format!("proxy = \"{}\"\nca = \"{}\"", proxy.url(), ca.display());
    assert_pulls(server_for(&remote, &keys).await.url(), &image).await;
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with(&format!("CONNECT {} HTTP/1.1", remote.host())),
        "{asked:?}"
    );
    let keys = format!("proxy = \"{}\"\nheader_timeout = \"1s\"", proxy.url());
    let answer = get(&server_for(&remote, &keys)
        .await
        .manifest_url("r.io/app", "1"))
    .await;
    assert!(
        matches!(answer.status, 502 | 503),
        "an unknown authority stays unknown"
    );
}

#[tokio::test]
async fn a_proxy_that_is_down_is_an_outage() {
    let (remote, _image) = remote().await;
    let keys = "proxy = \"http://127.0.0.1:1\"\nheader_timeout = \"700ms\"";
    let answer = get(&server_for(&remote, keys)
        .await
        .manifest_url("r.io/app", "1"))
    .await;
    assert!(matches!(answer.status, 502..=504), "{}", answer.status);
    assert_eq!(remote.connections(), 0);
}

#[tokio::test]
async fn the_environments_proxy_is_used_unless_no_proxy_names_the_host() {
    let proxy = ForwardProxy::start().await;
    for (host, no_proxy, used) in [
        ("127.0.0.1", "example.com", true),
        ("127.0.0.1", "127.0.0.1", false),
        ("127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", false),
        ("localhost", "example.com", true),
        ("localhost", "localhost", false),
        ("localhost", "*", false),
    ] {
        let (remote, image) = remote().await;
        let before = proxy.asked().len();
        let url = remote.url().replace("127.0.0.1", host);
        let setup = Setup::empty()
            .remote("r.io", &url, "")
            .project("r.io", "r.io", "");
        let process = Process::serve(
            &setup.text(),
            &[
                ("HTTP_PROXY", &proxy.url()),
                ("http_proxy", &proxy.url()),
                ("NO_PROXY", no_proxy),
                ("no_proxy", no_proxy),
            ],
        )
        .await;
        assert_pulls(&process.url, &image).await;
        assert_eq!(
            proxy.asked().len() > before,
            used,
            "{host}, NO_PROXY={no_proxy}"
        );
    }
}

#[tokio::test]
async fn the_environments_proxy_for_https_is_asked_for_tunnels() {
    let (authority, proxy) = (Arc::new(Authority::new()), ForwardProxy::start().await);
    let remote = FakeRegistry::builder().tls(&authority).start().await;
    let image = ImageBuilder::new(3).layer(50_000).build();
    remote.put_image("app", "1", &image);
    let setup = Setup::empty().mirror_with("r.io", &remote, "verify_tls = false");
    let process = Process::serve(&setup.text(), &[("HTTPS_PROXY", &proxy.url())]).await;
    assert_pulls(&process.url, &image).await;
    let tunnel = format!("CONNECT {} HTTP/1.1", remote.host());
    assert!(
        proxy.asked().iter().all(|head| head.starts_with(&tunnel)),
        "{:?}",
        proxy.asked()
    );
    assert!(!proxy.asked().is_empty());
}
