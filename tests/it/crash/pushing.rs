//! Clients that push until there is nobody who answers.

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::RequestBuilder;
use serde_json::json;

use super::{PUSHERS, ledger::Ledger};
use crate::{
    fill::{KIB, MIB},
    harness::{media_type, random_bytes, sha256},
    push::{Pushed, Pusher},
};

const REPOSITORIES: u64 = 5;
/// Of each client; it moves them.
const TAGS: u64 = 3;
/// Layers that everybody has: several clients push the same one at the same time.
const COMMON: u64 = 10;
/// One client in so many has layers of several parts.
const LARGE: u64 = 25;

/// Fifty of them.
pub(super) async fn push_until_it_ends(url: &str, ledger: &Ledger, random: &mut StdRng) {
    let clients = (0..PUSHERS).map(|number| {
        let client = Client {
            pusher: Pusher::at(url),
            ledger,
            repository: format!("team/app-{}", number % REPOSITORIES),
            number,
        };
        let random = StdRng::from_rng(&mut *random);
        client.push(random)
    });
    join_all(clients.collect::<Vec<_>>()).await;
}

struct Client<'l> {
    pusher: Pusher,
    ledger: &'l Ledger,
    repository: String,
    number: u64,
}

impl Client<'_> {
    async fn push(self, mut random: StdRng) {
        while self.push_image(&mut random).await.is_some() {}
    }

    /// Blobs, then the manifest by a tag. `None`: there is no answer any more.
    async fn push_image(&self, random: &mut StdRng) -> Option<()> {
        let length = if self.number.is_multiple_of(LARGE) {
            random.random_range(14 * MIB..20 * MIB)
        } else {
            random.random_range(500..60 * KIB)
        };
        let common = random_bytes(random.random_range(0..COMMON), 20 * KIB);
        let layers = [random_bytes(random.random(), length), common];
        let config = Bytes::from(json!({"made": random.random::<u64>()}).to_string());
        for bytes in layers.iter().chain([&config]) {
            self.push_blob(bytes, random).await?;
        }
        let manifest = manifest(&config, &layers);
        let tag = format!("tag-{}-{}", self.number, random.random_range(0..TAGS));
        let (repository, digest) = (&self.repository, sha256(&manifest));
        self.ledger.manifest_tried(repository, &tag, &digest);
        let path = format!("/v2/{repository}/manifests/{tag}");
        let put = self.pusher.request(Method::PUT, &path);
        let put = put
            .header("content-type", media_type::OCI_MANIFEST)
            .body(manifest.clone());
        let put = answer(put).await?;
        assert_eq!(put.status, 201, "{:?}", put.body);
        self.ledger.manifest(repository, &tag, &manifest);
        Some(())
    }

    async fn push_blob(&self, bytes: &Bytes, random: &mut StdRng) -> Option<()> {
        let (repository, digest) = (&self.repository, sha256(bytes));
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        if random.random_ratio(1, 3) {
            let path = format!("{uploads}?digest={digest}");
            let post = self.pusher.request(Method::POST, &path);
            let post = answer(post.body(bytes.clone())).await?;
            assert_eq!(post.status, 201, "{:?}", post.body);
        } else {
            let started = answer(self.pusher.request(Method::POST, &uploads)).await?;
            assert_eq!(started.status, 202, "{:?}", started.body);
            let session = started.header("location");
            self.ledger.session_begun(repository, session, bytes);
            let first = if random.random_bool(0.5) {
                0
            } else {
                random.random_range(2..bytes.len())
            };
            if first > 0 {
                let patch = self.pusher.request(Method::PATCH, session);
                let patch = answer(patch.body(bytes.slice(..first))).await?;
                assert_eq!(patch.status, 202, "{:?}", patch.body);
            }
            let path = format!("{session}?digest={digest}");
            let put = self.pusher.request(Method::PUT, &path);
            let put = answer(put.body(bytes.slice(first..))).await?;
            assert_eq!(put.status, 201, "{:?}", put.body);
            self.ledger.session_ended(session);
        }
        self.ledger.blob(repository, &digest);
        Some(())
    }
}

fn manifest(config: &Bytes, layers: &[Bytes]) -> Bytes {
    let descriptor = |media_type: &str, bytes: &Bytes| json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()});
    let layers = layers
        .iter()
        .map(|bytes| descriptor(media_type::OCI_LAYER, bytes));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, config),
        "layers": layers.collect::<Vec<_>>(),
    });
    Bytes::from(manifest.to_string())
}

/// `None`: the server has ended.
async fn answer(request: RequestBuilder) -> Option<Pushed> {
    let response = request.send().await.ok()?;
    Some(Pushed {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.ok()?,
    })
}
