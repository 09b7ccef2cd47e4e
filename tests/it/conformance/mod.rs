//! The OCI Distribution Specification, clause by clause, on both pairs of stores: what a registry MUST and SHOULD do.
//!
//! A test is named after its section and clause; docs/CONFORMANCE.md has the table. These look at hosted projects, which
//! have every endpoint; mirrors answer pulls by the same code.

mod blobs;
mod chunks;
mod discovery;
mod general;
mod management;
mod manifests;
mod pull;

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use http::Method;

use crate::{
    harness::{Algorithm, Image, ImageBuilder, digest_of},
    push::{Pushed, Pusher, setup},
    server::TestServer,
};

/// Where most tests push to.
const REPOSITORY: &str = "team/clauses/app";
const BOTH: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// A registry with an empty hosted project, and a client that may do everything there.
struct Registry {
    _server: TestServer,
    pusher: Pusher,
}

impl Registry {
    async fn start() -> Self {
        Self::of(setup("").start().await)
    }

    fn of(server: TestServer) -> Self {
        Self {
            pusher: Pusher::of(&server),
            _server: server,
        }
    }

    /// Sends this to a path or, as far as it is a `Location`, to a URL of this registry.
    async fn send(
        &self,
        method: Method,
        location: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Pushed {
        let path = location.find("/v2/").map_or(location, |at| &location[at..]);
        let mut request = self.pusher.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Pusher::send(request.body(body.into())).await
    }

    async fn get(&self, location: &str) -> Pushed {
        self.send(Method::GET, location, &[], "").await
    }

    async fn head(&self, location: &str) -> Pushed {
        self.send(Method::HEAD, location, &[], "").await
    }

    async fn post(&self, query: &str, body: impl Into<Bytes>) -> Pushed {
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/{query}");
        self.send(Method::POST, &path, &[], body).await
    }

    /// A new session's location.
    async fn session(&self) -> String {
        self.pusher.session(REPOSITORY).await
    }

    async fn blob(&self, bytes: &Bytes) -> String {
        self.pusher.blob(REPOSITORY, bytes).await
    }

    async fn put_manifest(&self, reference: &str, media_type: &str, body: &Bytes) -> Pushed {
        let body = body.clone();
        let put = self
            .pusher
            .manifest(REPOSITORY, reference, media_type, body);
        put.await
    }

    /// A small image with this tag.
    async fn image(&self, seed: u64, tag: &str) -> Image {
        let image = ImageBuilder::new(seed).layer(300).build();
        self.pusher.image(REPOSITORY, tag, &image).await;
        image
    }
}

fn manifest_path(reference: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

fn blob_path(digest: &str) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

/// A location with one parameter more.
fn with_digest(location: &str, digest: &str) -> String {
    let sign = if location.contains('?') { '&' } else { '?' };
    format!("{location}{sign}digest={digest}")
}

/// Digests of what nobody pushed.
fn absent() -> [String; 2] {
    BOTH.map(|algorithm| digest_of(algorithm, b"nobody pushed this"))
}

/// Each `file::test` of the table is a test here, and each test here is in the table.
#[test]
fn the_table_and_the_tests_name_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a text file");
    let table = read(&root.join("docs/CONFORMANCE.md"));
    let folder = root.join("tests/it/conformance");
    let mut tests = BTreeSet::new();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let file = path.file_stem().and_then(|stem| stem.to_str());
        let file = file.expect("a name of ASCII").to_owned();
        let source = read(&path);
        let list = source.split("\non_both!(").nth(1).unwrap_or_default();
        let list = list.split(");").next().unwrap_or_default();
        let names = list.split(',').map(str::trim);
        tests.extend(
            names
                .filter(|name| !name.is_empty())
                .map(|name| format!("{file}::{name}")),
        );
        files.insert(file);
    }
    let words = table.split('`').skip(1).step_by(2);
    let named = words.filter(|word| {
        word.split_once("::")
            .is_some_and(|(file, _)| files.contains(file))
    });
    assert_eq!(named.map(str::to_owned).collect::<BTreeSet<_>>(), tests);
}
