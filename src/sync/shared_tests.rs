use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

/// Gives each blob as its digest's text; counts how often.
#[derive(Default)]
struct Counting(Arc<AtomicUsize>);

impl Source for Counting {
    fn digest<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Reference,
    ) -> BoxFuture<'a, Result<Digest, SourceError>> {
        unreachable!("only blobs are asked for")
    }

    fn manifest<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Reference,
    ) -> BoxFuture<'a, Result<SourceManifest, SourceError>> {
        unreachable!("only blobs are asked for")
    }

    fn blob(
        &self,
        _: &Name,
        _: &Digest,
        offset: u64,
    ) -> BoxFuture<'static, Result<SourceBlob, SourceError>> {
        self.0.fetch_add(1, Relaxed);
        let bytes = Bytes::from_static(CONTENT).slice(usize::try_from(offset).unwrap()..);
        let blob = SourceBlob {
            offset,
            total_bytes: Some(CONTENT.len() as u64),
            body: stream::iter([Ok(bytes)]).boxed(),
        };
        async { Ok(blob) }.boxed()
    }

    fn referrers<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>, SourceError>> {
        unreachable!("only blobs are asked for")
    }
}

const CONTENT: &[u8] = b"layer";

fn shared(folder: &Path) -> (Arc<Shared>, Arc<AtomicUsize>) {
    let source = Counting::default();
    let count = Arc::clone(&source.0);
    let shared = Shared {
        source: Arc::new(source),
        readers: 2,
        folder: folder.to_owned(),
        blobs: Mutex::default(),
    };
    (Arc::new(shared), count)
}

async fn read(shared: &Arc<Shared>, digest: &Digest) -> Vec<u8> {
    let name = "a".parse().unwrap();
    let opened = Arc::clone(shared).open(name, digest.clone(), 0).await;
    let chunks: Vec<_> = opened.unwrap().body.collect().await;
    chunks.into_iter().flat_map(Result::unwrap).collect()
}

#[tokio::test]
async fn what_two_registries_want_is_read_once_and_forgotten_then() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, count) = shared(folder.path());
    let digest = Digest::sha256(CONTENT);
    for _ in 0..2 {
        assert_eq!(read(&shared, &digest).await, CONTENT);
    }
    assert_eq!(count.load(Relaxed), 1);
    assert!(locked(&shared.blobs).is_empty());
}

#[tokio::test]
async fn without_room_everybody_reads_at_the_source() {
    let (shared, count) = shared(Path::new("/nonexistent"));
    let digest = Digest::sha256(CONTENT);
    for _ in 0..2 {
        assert_eq!(read(&shared, &digest).await, CONTENT);
    }
    assert_eq!(count.load(Relaxed), 2);
}

#[tokio::test]
async fn files_that_nobody_reads_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = shared(folder.path());
    for number in 0..MAX_IDLE_FILES + 50 {
        let blob = Blob::new(folder.path(), &Digest::sha256(&number.to_le_bytes()));
        locked(&shared.blobs).push(Arc::new(blob));
    }
    shared.tidy();
    assert_eq!(locked(&shared.blobs).len(), MAX_IDLE_FILES);
}
