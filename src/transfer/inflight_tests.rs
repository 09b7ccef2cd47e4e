use super::*;
use crate::{
    client::RegistryClient,
    config,
    transfer::{Limits, RemoteBlob},
};

/// Of a remote where nobody listens.
fn client(folder: &std::path::Path) -> RegistryClient {
    let file = folder.join("entrepot.toml");
    let text = "builtin = false\n[[remote]]\nname = \"r\"\nurls = [\"http://127.0.0.1:1\"]";
    std::fs::write(&file, text).expect("a file");
    let mut config = config::load(Some(&file), []).expect("a valid file");
    RegistryClient::new(config.remotes.remove(0), Metrics::default()).expect("no files to read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_came_into_the_store_meanwhile_is_not_fetched_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let meta = Meta::open(&config::Database::Sqlite(folder.path().join("entrepot.db")))
        .await
        .expect("a database");
    let bytes = bytes::Bytes::from_static(b"content");
    let digest = Digest::sha256(&bytes);
    store
        .put(&digest, bytes)
        .await
        .expect("room")
        .settle()
        .await;
    let request = FillRequest {
        digest: digest.clone(),
        repository: "r/app".parse().expect("a name"),
        origin: Origin::new(
            None,
            Some(RemoteBlob {
                client: client(folder.path()),
                name: "app".parse().expect("a name"),
            }),
        )
        .expect("a remote"),
        size_bytes: None,
    };
    let fills = Fills::new(Parts {
        space: Space::new(store.clone(), Limits::default()),
        store,
        meta,
        metrics: Metrics::default(),
        tier: None,
        shutdown: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    for has_right in [false, true] {
        let joined = fills.join(&request, has_right).await;
        assert!(matches!(joined, Ok(Joined::Stored)), "{joined:?}");
        assert!(!fills.is_filling_for(&digest, &request.repository));
    }
}
