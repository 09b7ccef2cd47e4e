//! A source in memory, whose blobs may break off.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use serde_json::{Value, json};

use super::*;
use crate::client::ErrorKind;

#[derive(Clone, Default)]
pub(super) struct MemorySource(Arc<Content>);

#[derive(Default)]
struct Content {
    manifests: Mutex<HashMap<String, SourceManifest>>,
    blobs: Mutex<HashMap<Digest, Bytes>>,
    referrers: Mutex<HashMap<String, Vec<Value>>>,
    reads: AtomicUsize,
    tells_no_referrers: AtomicBool,
    /// Each break is for one read: after so many bytes.
    breaks: Mutex<Vec<usize>>,
}

impl MemorySource {
    pub(super) fn add_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let bytes = Bytes::copy_from_slice(bytes);
        self.0.blobs.lock().unwrap().insert(digest.clone(), bytes);
        digest
    }

    /// Adds a manifest; gives its descriptor.
    pub(super) fn add_manifest(&self, media_type: &str, manifest: &Value) -> Value {
        let bytes = Bytes::from(manifest.to_string());
        let manifest = SourceManifest {
            digest: Digest::sha256(&bytes),
            media_type: media_type.to_owned(),
            bytes,
        };
        let (digest, size) = (manifest.digest.to_string(), manifest.bytes.len());
        let mut manifests = self.0.manifests.lock().unwrap();
        manifests.insert(digest.clone(), manifest);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    pub(super) fn tag(&self, tag: &str, descriptor: &Value) {
        let mut manifests = self.0.manifests.lock().unwrap();
        let manifest = manifests[descriptor["digest"].as_str().unwrap()].clone();
        manifests.insert(tag.to_owned(), manifest);
    }

    pub(super) fn refers(&self, subject: &Value, referrer: &Value) {
        let subject = subject["digest"].as_str().unwrap().to_owned();
        let mut referrers = self.0.referrers.lock().unwrap();
        referrers.entry(subject).or_default().push(referrer.clone());
    }

    /// The next reads of blobs break after so many bytes.
    pub(super) fn breaks_after(&self, bytes: &[usize]) {
        *self.0.breaks.lock().unwrap() = bytes.to_vec();
    }

    /// Nobody can be asked what refers to anything.
    pub(super) fn tells_no_referrers(&self) {
        self.0.tells_no_referrers.store(true, SeqCst);
    }

    /// How many manifests were read.
    pub(super) fn reads(&self) -> usize {
        self.0.reads.load(SeqCst)
    }

    fn find(&self, reference: &Reference) -> Result<SourceManifest, SourceError> {
        let manifests = self.0.manifests.lock().unwrap();
        let found = manifests.get(&reference.to_string()).cloned();
        found.ok_or_else(|| error(ErrorKind::NotFound))
    }
}

fn error(kind: ErrorKind) -> SourceError {
    SourceError::Remote(ClientError {
        kind,
        remote: "memory".into(),
        message: "scripted".to_owned(),
        status: None,
        retry_after: None,
        tag_state: None,
    })
}

impl Source for MemorySource {
    fn digest<'a>(
        &'a self,
        _name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Digest, SourceError>> {
        ready(self.find(reference).map(|manifest| manifest.digest)).boxed()
    }

    fn manifest<'a>(
        &'a self,
        _name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<SourceManifest, SourceError>> {
        self.0.reads.fetch_add(1, SeqCst);
        ready(self.find(reference)).boxed()
    }

    fn blob(
        &self,
        _name: &Name,
        digest: &Digest,
        offset: u64,
    ) -> BoxFuture<'static, Result<SourceBlob, SourceError>> {
        let blobs = self.0.blobs.lock().unwrap();
        let Some(bytes) = blobs.get(digest).cloned() else {
            return ready(Err(error(ErrorKind::NotFound))).boxed();
        };
        let total_bytes = Some(bytes.len() as u64);
        let rest = bytes.slice(usize::try_from(offset).unwrap()..);
        let chunks = |bytes: Bytes| {
            let chunks = bytes
                .chunks(64 * 1024)
                .map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
            chunks.collect::<Vec<_>>()
        };
        let mut breaks = self.0.breaks.lock().unwrap();
        let body = if breaks.is_empty() {
            chunks(rest)
        } else {
            let end = breaks.remove(0).min(rest.len());
            let mut chunks = chunks(rest.slice(..end));
            chunks.push(Err(error(ErrorKind::Unreachable)));
            chunks
        };
        ready(Ok(SourceBlob {
            offset,
            total_bytes,
            body: stream::iter(body).boxed(),
        }))
        .boxed()
    }

    fn referrers<'a>(
        &'a self,
        _name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>, SourceError>> {
        if self.0.tells_no_referrers.load(SeqCst) {
            return ready(Err(error(ErrorKind::Unreachable))).boxed();
        }
        let referrers = self.0.referrers.lock().unwrap();
        let found = referrers.get(&digest.to_string()).cloned();
        let found = found.unwrap_or_default().into_iter();
        let found = found.map(|value| serde_json::from_value(value).unwrap());
        ready(Ok(found.collect())).boxed()
    }
}
