//! Pushes to hosted projects, over real HTTP.

mod blobs;
mod filling;
mod full_disk;
mod manifests;
mod mount;
mod restart;
mod sessions;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::{
    api::PASSWORD,
    harness::{Image, basic, sha256},
    server::{Setup, TestServer},
};

/// A server with the hosted project `team`, which is public, and nothing else.
pub(crate) fn setup(keys: &str) -> Setup {
    Setup::empty().section(&configuration(keys))
}

fn configuration(keys: &str) -> String {
    format!(
        "[access]\nadmin_password = \"{PASSWORD}\"\n\
         [[project]]\nname = \"team\"\nkind = \"hosted\"\nvisibility = \"public\"\n{keys}\n"
    )
}

/// An answer to a push.
pub(crate) struct Pushed {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Pushed {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The codes and messages of an error body.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("an error body");
        let errors = body["errors"].as_array().expect("a list of errors");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        errors
            .iter()
            .map(|error| (text(&error["code"]), text(&error["message"])))
            .collect()
    }

    pub(crate) fn error_code(&self) -> String {
        self.errors()[0].0.clone()
    }
}

/// A client that is logged in as the admin.
pub(crate) struct Pusher {
    http: reqwest::Client,
    url: String,
}

impl Pusher {
    pub(crate) fn of(server: &TestServer) -> Self {
        Self::at(server.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        crate::harness::install_crypto();
        let http = reqwest::Client::builder().no_proxy().build();
        Self {
            http: http.expect("a client"),
            url: url.to_owned(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http
            .request(method, url)
            .header("authorization", basic("admin", PASSWORD))
    }

    pub(crate) async fn send(request: reqwest::RequestBuilder) -> Pushed {
        let response = request.send().await.expect("the server answers");
        Pushed {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a whole answer"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Pushed {
        Self::send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn head(&self, path: &str) -> Pushed {
        Self::send(self.request(Method::HEAD, path)).await
    }

    pub(crate) async fn post(&self, repository: &str, query: &str) -> Pushed {
        let path = format!("/v2/{repository}/blobs/uploads/{query}");
        Self::send(self.request(Method::POST, &path)).await
    }

    /// A new session: the path where it goes on.
    pub(crate) async fn session(&self, repository: &str) -> String {
        let started = self.post(repository, "").await;
        assert_eq!(started.status, 202);
        let location = started.header("location");
        // Some tell the whole URL.
        location
            .strip_prefix(&self.url)
            .unwrap_or(location)
            .to_owned()
    }

    pub(crate) async fn patch(&self, session: &str, range: Option<&str>, body: Bytes) -> Pushed {
        let mut request = self.request(Method::PATCH, session).body(body);
        if let Some(range) = range {
            request = request.header("content-range", range);
        }
        Self::send(request).await
    }

    pub(crate) async fn finish(&self, session: &str, digest: &str, body: Bytes) -> Pushed {
        let mark = if session.contains('?') { '&' } else { '?' };
        let path = format!("{session}{mark}digest={digest}");
        Self::send(self.request(Method::PUT, &path).body(body)).await
    }

    /// Pushes a blob as most clients do: POST, then PUT.
    pub(crate) async fn blob(&self, repository: &str, bytes: &Bytes) -> String {
        let digest = sha256(bytes);
        let session = self.session(repository).await;
        let finished = self.finish(&session, &digest, bytes.clone()).await;
        assert_eq!(finished.status, 201, "{:?}", finished.body);
        digest
    }

    pub(crate) async fn manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Pushed {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let request = self.request(Method::PUT, &path);
        Self::send(request.header("content-type", media_type).body(bytes)).await
    }

    /// Pushes all blobs, then all manifests by digest, children first, and the root by its tag.
    pub(crate) async fn image(&self, repository: &str, tag: &str, image: &Image) {
        for bytes in image.blobs.values() {
            self.blob(repository, bytes).await;
        }
        let root = image.root_manifest();
        for manifest in &image.manifests {
            let (media_type, bytes) = (&manifest.media_type, manifest.bytes.clone());
            let reference = if manifest.digest == root.digest {
                tag
            } else {
                &manifest.digest
            };
            let pushed = self
                .manifest(repository, reference, media_type, bytes)
                .await;
            assert_eq!(pushed.status, 201, "{:?}", pushed.body);
        }
    }
}
