//! The same server with its rows in PostgreSQL.

use tempfile::TempDir;

use crate::{
    harness::{FakeRegistry, ImageBuilder, get},
    postgres_server::fresh_database,
    process::command,
    server::Setup,
};

const URL: &str = "ENTREPOT__DATABASE__URL";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_is_served_after_a_restart_while_the_remote_is_down() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(7).layer(64 * 1024).build();
    hub.put_image("library/app", "latest", &image);
    let setup = Setup::hub(&hub).variable(URL, &fresh_database().await);
    let mut server = setup.start().await;
    let urls = |server: &crate::server::TestServer| {
        let blobs = image.blobs.keys();
        let blobs = blobs.map(|digest| server.blob_url("library/app", digest));
        let manifest = server.manifest_url("library/app", "latest");
        [manifest].into_iter().chain(blobs).collect::<Vec<_>>()
    };
    let mut pulled = Vec::new();
    for url in urls(&server) {
        pulled.push(get(&url).await.body);
    }
    server.settled().await;
    server.stop().await;
    hub.stop().await;
    server.start_again().await;
    for (url, expected) in urls(&server).iter().zip(&pulled) {
        let answer = get(url).await;
        assert_eq!((answer.status, &answer.body), (200, expected));
    }
    assert!(!server.folder.path().join("data/entrepot.db").exists());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_and_the_password_is_not() {
    let folder = TempDir::new().expect("a folder");
    let mut url = url::Url::parse(&fresh_database().await).expect("a URL");
    url.set_path("/nowhere");
    url.query_pairs_mut().append_pair("password", "hunter2");
    let mut serve = command(folder.path(), &["serve"]);
    serve
        .env(URL, url.as_str())
        .env("ENTREPOT__SECRETS__KEY", "a key for tests alone")
        .env("ENTREPOT__SERVER__LISTEN", "127.0.0.1:0");
    let output = tokio::task::spawn_blocking(move || serve.output())
        .await
        .expect("no panic")
        .expect("the binary runs");
    assert!(!output.status.success());
    let text = format!("{output:?}");
    assert!(text.contains("postgres:///nowhere"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
