//! `FakeRegistry`: the remote of a test, an in-process registry whose every answer can be counted, held and broken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::sync::Mutex;

use super::builder::Builder;
use super::digest::sha256;
use super::fault::{Fault, Scripted};
use super::gate::Hold;
use super::image::{Image, Manifest};
use super::listener::{Port, Running, Service};
use super::matcher::On;
use super::options::Options;
use super::recorder::{Progress, Recorded};
use super::server::Server;

/// Lives on a loopback port of its own; stops when dropped.
pub(crate) struct FakeRegistry {
    pub(super) server: Arc<Server>,
    pub(super) port: Port,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) running: Mutex<Option<Running>>,
}

// === impl FakeRegistry: life ===

impl FakeRegistry {
    /// An open registry over plain HTTP.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn host(&self) -> String {
        self.port.address.to_string()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    pub(crate) fn manifest_url(&self, repository: &str, reference: &str) -> String {
        format!("{}/v2/{repository}/manifests/{reference}", self.url())
    }

    pub(crate) fn blob_url(&self, repository: &str, digest: &str) -> String {
        format!("{}/v2/{repository}/blobs/{digest}", self.url())
    }

    /// An outage: running answers are cut, connections are refused. The port stays ours.
    pub(crate) async fn stop(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.stop().await;
        }
    }

    /// A worse outage: running answers are cut, connections are accepted and never answered.
    pub(crate) async fn stop_answering(&self) {
        self.restart(Service::Silent).await;
    }

    /// Answers again, at the same address with the same content.
    pub(crate) async fn start_again(&self) {
        let server = Arc::clone(&self.server);
        self.restart(Service::Answering {
            server,
            tls: self.tls.clone(),
        })
        .await;
    }

    async fn restart(&self, service: Service) {
        self.stop().await;
        // What is left of the old connections may hold the port for a moment.
        let mut tries = 50;
        let running = loop {
            match self.port.listen(service.clone()) {
                Ok(running) => break running,
                Err(_) if tries > 0 => tries -= 1,
                Err(error) => panic!("the port is reserved for us: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        *self.running.lock().await = Some(running);
    }

    /// Changes how the server behaves from the next request on.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.server.options());
    }
}

// === impl FakeRegistry: content ===

impl FakeRegistry {
    /// Stores all of the image and points the tag at its root.
    pub(crate) fn put_image(&self, repository: &str, tag: &str, image: &Image) {
        self.put_untagged(repository, image);
        self.tag(repository, tag, &image.root);
    }

    /// Stores all of the image without a tag, as artifacts with a subject are.
    pub(crate) fn put_untagged(&self, repository: &str, image: &Image) {
        self.server
            .content
            .change(repository, |found| found.put_image(image));
    }

    /// Any bytes as a manifest; gives its sha256 digest.
    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> String {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        let media_type = media_type.to_owned();
        let manifest = Manifest {
            digest: digest.clone(),
            media_type,
            bytes,
        };
        self.server.content.change(repository, |found| {
            found.manifests.insert(digest.clone(), manifest);
        });
        digest
    }

    /// Any bytes as a blob; gives its sha256 digest.
    pub(crate) fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        self.server.content.change(repository, |found| {
            found.blobs.insert(digest.clone(), bytes)
        });
        digest
    }

    pub(crate) fn tag(&self, repository: &str, tag: &str, digest: &str) {
        self.server.content.change(repository, |found| {
            found.tags.insert(tag.to_owned(), digest.to_owned());
        });
    }

    pub(crate) fn delete_tag(&self, repository: &str, tag: &str) {
        self.server
            .content
            .change(repository, |found| found.tags.remove(tag));
    }

    pub(crate) fn remove_manifest(&self, repository: &str, digest: &str) {
        self.server
            .content
            .change(repository, |found| found.manifests.remove(digest));
    }

    pub(crate) fn remove_blob(&self, repository: &str, digest: &str) {
        self.server
            .content
            .change(repository, |found| found.blobs.remove(digest));
    }

    pub(crate) fn remove_repository(&self, repository: &str) {
        self.server.content.remove(repository);
    }

    /// Makes every token that was issued so far worthless.
    pub(crate) fn revoke_tokens(&self) {
        self.server.issuer.revoke_all();
    }
}

// === impl FakeRegistry: faults and gates ===

impl FakeRegistry {
    /// The next matching request meets this fault. Of several counted faults the first scripted fires first.
    pub(crate) fn fault(&self, on: On, fault: Fault) {
        self.fault_times(on, 1, fault);
    }

    pub(crate) fn fault_times(&self, on: On, times: usize, fault: Fault) {
        self.server.faults().push(Scripted {
            on,
            fault,
            left: Some(times),
        });
    }

    /// Every matching request meets this fault, besides a counted one.
    pub(crate) fn fault_always(&self, on: On, fault: Fault) {
        self.server.faults().push(Scripted {
            on,
            fault,
            left: None,
        });
    }

    pub(crate) fn clear_faults(&self) {
        self.server.faults().clear();
    }

    /// How many counted faults have not met their request yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.server
            .faults()
            .iter()
            .filter_map(|scripted| scripted.left)
            .sum()
    }

    /// Matching requests wait before their headers. The answer is the one of the time of arrival.
    #[must_use = "the gate opens when the hold is dropped"]
    pub(crate) fn hold(&self, on: On) -> Hold {
        self.server.hold(on, None)
    }

    /// Matching requests wait after so many bytes of the body.
    #[must_use = "the gate opens when the hold is dropped"]
    pub(crate) fn hold_after(&self, on: On, bytes: u64) -> Hold {
        self.server.hold(on, Some(bytes))
    }
}

// === impl FakeRegistry: records ===

impl FakeRegistry {
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.server.recorder.all()
    }

    /// The matching requests, oldest first.
    pub(crate) fn requests_on(&self, on: &On) -> Vec<Recorded> {
        self.requests()
            .into_iter()
            .filter(|entry| on.matches_recorded(entry))
            .collect()
    }

    pub(crate) fn count(&self, on: On) -> usize {
        self.server.recorder.count(&on)
    }

    /// Bytes of bodies handed to the socket.
    pub(crate) fn bytes_sent(&self, on: On) -> u64 {
        self.server.recorder.sum(&on, |entry| entry.bytes_sent)
    }

    /// Matching requests that are being answered now.
    pub(crate) fn running(&self, on: On) -> usize {
        self.server.recorder.sum(&on, |entry| {
            usize::from(entry.progress == Progress::Running)
        })
    }

    /// The largest number of matching requests that ran at once.
    pub(crate) fn peak(&self, on: On) -> usize {
        self.server.recorder.peak(&on)
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.server.connections.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far, for tests in several acts.
    pub(crate) fn forget_requests(&self) {
        self.server.recorder.forget();
    }

    /// Waits until `count` matching requests have arrived; panics with the record after 10 s.
    pub(crate) async fn wait_for(&self, on: On, count: usize) {
        let what = format!("{count} requests {on:?}");
        self.server
            .recorder
            .wait_until(&what, |recorder| recorder.count(&on) >= count)
            .await;
    }

    /// Waits until `count` matching requests have ended, complete or cut.
    pub(crate) async fn wait_for_ends(&self, on: On, count: usize) {
        let ended = |entry: &Recorded| usize::from(entry.progress != Progress::Running);
        let what = format!("{count} ended requests {on:?}");
        let enough = |recorder: &super::recorder::Recorder| recorder.sum(&on, ended) >= count;
        self.server.recorder.wait_until(&what, enough).await;
    }

    /// Waits until so many bytes of matching answers were handed to the socket.
    pub(crate) async fn wait_for_bytes(&self, on: On, bytes: u64) {
        let what = format!("{bytes} bytes of {on:?}");
        let enough = |recorder: &super::recorder::Recorder| {
            recorder.sum(&on, |entry| entry.bytes_sent) >= bytes
        };
        self.server.recorder.wait_until(&what, enough).await;
    }
}
