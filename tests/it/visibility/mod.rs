//! Content is visible in a repository by a right of its own: nobody's bytes leak by their digest.

mod blobs;
mod manifests;

use bytes::Bytes;
use http::Method;

use crate::{
    fill::{MIB, until_hit},
    harness::{Answer, Client, FakeRegistry, basic, get, get_range, head, random_bytes},
    server::{Setup, TestServer},
};

/// Two teams with a remote each, behind one mirror. Team a has the blob.
struct Teams {
    a: FakeRegistry,
    b: FakeRegistry,
    server: TestServer,
    bytes: Bytes,
    digest: String,
}

impl Teams {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these keys of team a's project.
    async fn with(keys_a: &str) -> Self {
        let (a, b) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let bytes = random_bytes(7, MIB);
        let digest = a.put_blob("private", bytes.clone());
        b.put_blob("other", "something else");
        let setup = Setup::empty()
            .section("[access]\nadmin_password = \"pw\"\nchallenge = \"never\"")
            .mirror("team-a", &a, keys_a)
            .mirror("team-b", &b, "negative_ttl = \"0s\"");
        Self {
            server: setup.start().await,
            a,
            b,
            bytes,
            digest,
        }
    }

    /// Of team a's repository.
    async fn pull_as_admin(&self, what: &str) -> Answer {
        let url = format!("{}/v2/team-a/private/{what}", self.server.url());
        let login = basic("admin", "pw");
        let headers = [("authorization", login.as_str())];
        Client::new().send(Method::GET, &url, &headers).await
    }

    /// Makes a repository private.
    async fn hide(&self, repository: &str) {
        let path = format!("/api/v1/repository?name={repository}");
        let hidden = reqwest::Client::new()
            .put(format!("{}{path}", self.server.url()))
            .header("authorization", basic("admin", "pw"))
            .header("content-type", "application/json")
            .body("{\"visibility\": \"private\"}")
            .send()
            .await
            .expect("the server answers");
        assert_eq!(hidden.status(), 200);
    }

    fn url_a(&self) -> String {
        self.server.blob_url("team-a/private", &self.digest)
    }

    fn url_b(&self) -> String {
        self.server.blob_url("team-b/other", &self.digest)
    }

    /// Team a has pulled the blob; it is in the store.
    async fn hot(self) -> Self {
        assert!(until_hit(&self.url_a()).await.body == self.bytes);
        self
    }

    /// By every way to ask, team b is told 404 and gets nothing.
    async fn assert_hidden_from_b(&self) {
        let url = self.url_b();
        for answer in [
            get(&url).await,
            get_range(&url, "0-99").await,
            get_range(&url, "-10").await,
        ] {
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (404, "BLOB_UNKNOWN")
            );
            assert_no_trace(&answer, &self.bytes);
        }
        let answer = head(&url).await;
        assert_eq!(answer.status, 404);
        assert_no_trace(&answer, &self.bytes);
    }
}

fn assert_no_trace(answer: &Answer, bytes: &[u8]) {
    assert!(!answer.body.windows(10).any(|ten| ten == &bytes[..10]));
    assert_ne!(answer.header("content-length"), bytes.len().to_string());
    assert_eq!(answer.header("content-range"), "");
}
