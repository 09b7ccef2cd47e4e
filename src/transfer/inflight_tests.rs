use std::sync::Weak;

use futures_util::FutureExt;

use super::*;
use crate::{
    client::RegistryClient,
    config,
    transfer::{Limits, Reconciled, RemoteBlob, window::Window},
};

/// Of a remote where nobody listens.
fn client(folder: &std::path::Path) -> RegistryClient {
    let file = folder.join("entrepot.toml");
    let text = "builtin = false\n[[remote]]\nname = \"r\"\nurls = [\"http://127.0.0.1:1\"]";
    std::fs::write(&file, text).expect("a file");
    let mut config = config::load(Some(&file), []).expect("a valid file");
    RegistryClient::new(config.remotes.remove(0), Metrics::default()).expect("no files to read")
}

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    fills: Fills,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let meta = Meta::open(&config::Database::Sqlite(folder.path().join("entrepot.db")))
            .await
            .expect("a database");
        let fills = Fills::new(Parts {
            space: Space::new(store.clone(), Limits::default()),
            store: store.clone(),
            meta,
            metrics: Metrics::default(),
            tier: None,
            cluster: None,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        Self {
            folder,
            store,
            fills,
        }
    }

    fn request(&self, digest: &Digest) -> FillRequest {
        FillRequest {
            digest: digest.clone(),
            repository: "r/app".parse().expect("a name"),
            origin: Origin::new(
                None,
                Some(RemoteBlob {
                    client: client(self.folder.path()),
                    name: "app".parse().expect("a name"),
                }),
            )
            .expect("a remote"),
            size_bytes: Some(7),
            is_linked: false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_came_into_the_store_meanwhile_is_not_fetched_again() {
    let scene = Scene::new().await;
    let (store, fills) = (&scene.store, &scene.fills);
    let bytes = bytes::Bytes::from_static(b"content");
    let digest = Digest::sha256(&bytes);
    let placed = store.put(&digest, bytes).await.expect("room");
    placed.settle().await;
    let request = scene.request(&digest);
    for has_right in [false, true] {
        let joined = fills.join(&request, has_right).await;
        assert!(matches!(joined, Ok(Joined::Stored)), "{joined:?}");
        assert!(!fills.is_filling_for(&digest, &request.repository));
    }
}

#[tokio::test]
async fn a_fill_that_does_not_get_its_turn_says_so_and_is_seen_while_it_waits() {
    let scene = Scene::new().await;
    tokio::time::pause();
    let mut turns = Vec::new();
    for _ in 0..MAX_FILLS {
        turns.push(scene.fills.fill_turn().await.expect("a turn"));
    }
    let digest = Digest::sha256(b"content");
    let request = scene.request(&digest);
    let fills = scene.fills.clone();
    let waiting = tokio::spawn(async move { fills.join(&request, true).await });
    while scene.fills.running().is_empty() {
        tokio::task::yield_now().await;
    }
    let running = scene.fills.running().remove(0);
    assert_eq!((running.digest, running.remote.as_str()), (digest, "r"));
    assert_eq!((running.bytes, running.total_bytes), (0, None));
    assert!(running.waiters >= 1 && running.repository.as_str() == "r/app");
    let joined = waiting.await.expect("no panic");
    assert!(matches!(joined, Err(FillError::Busy)), "{joined:?}");
    while !scene.fills.running().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_files_are_made_to_agree() {
    let Scene {
        folder: _folder,
        store,
        fills,
    } = Scene::new().await;
    let meta = fills.inner.meta.clone();
    let name: Name = "r/app".parse().expect("a name");
    let bytes = bytes::Bytes::from_static(b"content");
    let digest = Digest::sha256(&bytes);
    let reconcile = async || fills.reconcile(&digest).await.expect("an end");
    let link = async || {
        meta.blob_link(std::slice::from_ref(&name), &digest, 7)
            .await
    };

    let placed = store.put(&digest, bytes.clone()).await.expect("room");
    assert_eq!(reconcile().await, Reconciled::Busy);
    drop(placed);
    assert_eq!(reconcile().await, Reconciled::FileDeleted);
    assert!(store.get(&digest).await.expect("an answer").is_none());
    assert_eq!(store.unsettled().await.expect("a list"), []);

    link().await.expect("a row");
    assert_eq!(reconcile().await, Reconciled::RowsDeleted);
    assert!(!meta.blob_linked(&name, &digest).await.expect("an answer"));
    assert_eq!(reconcile().await, Reconciled::Agreed);

    let placed = store.put(&digest, bytes).await.expect("room");
    link().await.expect("a row");
    placed.settle().await;
    assert_eq!(reconcile().await, Reconciled::Agreed);
    assert!(store.get(&digest).await.expect("an answer").is_some());
}

#[test]
fn who_waits_for_first_bytes_does_not_lock_up_with_the_end_of_the_fill() {
    let end = watch::Sender::new(End::Running);
    let tail = Tail {
        file: Arc::new(tempfile::tempfile().expect("a file")),
        window: Arc::new(Window::new(0, Budget::default())),
        end: end.subscribe(),
        total: None,
        clients: Weak::new(),
    };
    let (_phase, phase) = watch::channel(Phase::Streaming(tail));
    let (ended, all_ended) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        for _ in 0..50_000 {
            let first = first_bytes(phase.clone()).now_or_never();
            assert!(matches!(first, Some(Ok(First::Bytes(_)))));
        }
        let _ = ended.send(());
    });
    std::thread::spawn(move || {
        while !waiting.is_finished() {
            end.send_replace(End::Verified { len: 0 });
        }
    });
    let in_time = all_ended.recv_timeout(Duration::from_secs(30));
    in_time.expect("nobody waits for ever");
}
