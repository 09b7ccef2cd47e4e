//! What the tests of fills begin with: a blob at a remote, and a server that has never seen it.

use std::path::PathBuf;

use bytes::Bytes;

use crate::{
    harness::{
        Answer, Client, Drained, FakeRegistry, ImageBuilder, On, drain_sha256, get, random_bytes,
        sha256,
    },
    server::{Setup, TestServer},
};

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// One blob, the remote that has it, and the mirror in between.
pub(crate) struct Scene {
    pub(crate) remote: FakeRegistry,
    pub(crate) server: TestServer,
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
}

impl Scene {
    /// Nobody but the remote knows the blob's length.
    pub(crate) async fn unknown(size: usize) -> Self {
        Self::unknown_with(size, "").await
    }

    /// With these keys of the remote.
    pub(crate) async fn unknown_with(size: usize, keys: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let bytes = random_bytes(7, size);
        remote.put_blob("team/app", bytes.clone());
        let server = serve(&remote, keys).await;
        Self {
            remote,
            server,
            digest: sha256(&bytes),
            bytes,
        }
    }

    /// The blob is a layer of a manifest that was pulled: its length is known.
    pub(crate) async fn named(size: usize) -> Self {
        Self::named_with(size, "").await
    }

    pub(crate) async fn named_with(size: usize, keys: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(7).layer(size).build();
        remote.put_image("team/app", "latest", &image);
        let server = serve(&remote, keys).await;
        let manifest = get(&server.manifest_url("r/team/app", "latest")).await;
        assert_eq!(manifest.status, 200);
        let digest = image.layers().remove(0);
        Self {
            remote,
            server,
            bytes: image.blob(&digest),
            digest,
        }
    }

    /// Of the blob, at the mirror.
    pub(crate) fn url(&self) -> String {
        self.server.blob_url("r/team/app", &self.digest)
    }

    /// Downloads that the remote was asked for.
    pub(crate) fn downloads(&self) -> usize {
        self.remote.count(On::blob().get())
    }

    /// The `Range` of each download so far; empty for a whole one.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let downloads = self.remote.requests_on(&On::blob().get());
        let range = |entry: &crate::harness::Recorded| entry.request.header("range").to_owned();
        downloads.iter().map(range).collect()
    }

    /// A client that asks now and reads as fast as it can.
    pub(crate) fn client(&self) -> tokio::task::JoinHandle<Drained> {
        let url = self.url();
        tokio::spawn(async move { drain_sha256(&url).await })
    }

    /// The whole blob came, and it is right.
    pub(crate) fn assert_whole(&self, drained: &Drained) {
        assert_eq!(drained.status, 200);
        assert!(drained.complete, "cut after {} bytes", drained.bytes);
        assert_eq!(drained.digest, self.digest);
    }

    /// The answer (to this range) is none, an error, or is cut.
    pub(crate) async fn assert_cut(&self, range: &str) {
        let range = format!("bytes={range}");
        let headers = [("range", range.as_str())];
        let headers = if range == "bytes=" { &[] } else { &headers[..] };
        let (client, url) = (Client::new(), self.url());
        let sent = client.try_send(http::Method::GET, &url, headers).await;
        // A body that fails at once may take the headers with it.
        if let Ok(answer) = sent {
            assert!(answer.status == 502 || !answer.complete, "{range}");
        }
    }

    /// Asks until the blob comes from the store; it must be right and cost the remote nothing.
    pub(crate) async fn assert_stored(&self) {
        let before = self.downloads();
        let answer = until_hit(&self.url()).await;
        assert!(answer.complete && answer.body == self.bytes);
        assert_eq!(self.downloads(), before);
    }

    /// Waits until this many clients are connected.
    pub(crate) async fn until_connected(&self, clients: usize) {
        until_connected(&self.server, clients).await;
    }

    /// The growing file of a fill.
    pub(crate) fn spool(&self) -> PathBuf {
        let name = self.digest.replacen(':', "-", 1);
        self.server.folder.path().join("data/spool").join(name)
    }

    /// The file of a blob that is complete.
    pub(crate) fn file(&self) -> PathBuf {
        let (algorithm, hex) = self.digest.split_once(':').expect("a digest");
        let folder = self.server.folder.path().join("data/blobs").join(algorithm);
        folder.join(&hex[..2]).join(hex)
    }
}

async fn serve(remote: &FakeRegistry, keys: &str) -> TestServer {
    let setup = Setup::empty().remote("r", remote.url(), keys);
    setup.project("r", "r", "").start().await
}

/// A fill's clients are done a moment before its rows are: asks again until the answer is a hit.
pub(crate) async fn until_hit(url: &str) -> Answer {
    let hit = async {
        loop {
            let answer = get(url).await;
            assert_eq!(answer.status, 200);
            if answer.header("x-cache") == "hit" {
                return answer;
            }
        }
    };
    // Syncs of files and rows wait for a disk that others use, too.
    let in_time = tokio::time::timeout(std::time::Duration::from_mins(1), hit).await;
    in_time.expect("the blob is stored soon after its fill")
}

/// Waits until the server has noticed that clients came or left; who asks for the metrics is one more.
pub(crate) async fn until_connected(server: &TestServer, clients: usize) {
    let expected = format!("entrepot_connections {}\n", clients + 1);
    let waiting = async {
        while !server.metrics().await.contains(&expected) {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    in_time.unwrap_or_else(|_| panic!("waited 10 s for {expected}"));
}
