//! What a fake registry holds: repositories with manifests, blobs and tags; shared with its CDN.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};

use super::digest::sha256;
use super::image::{Image, Manifest};
use super::media_type as mt;

#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    pub(super) manifests: BTreeMap<String, Manifest>,
    pub(super) blobs: HashMap<String, Bytes>,
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    repositories: Mutex<BTreeMap<String, Repository>>,
}

// === impl Content ===

impl Content {
    /// Reads a repository that exists.
    pub(super) fn look<T>(&self, name: &str, read: impl FnOnce(&Repository) -> T) -> Option<T> {
        self.lock(|repositories| repositories.get(name).map(read))
    }

    /// Changes a repository, which comes into being by this.
    pub(super) fn change<T>(&self, name: &str, write: impl FnOnce(&mut Repository) -> T) -> T {
        self.lock(|repositories| write(repositories.entry(name.to_owned()).or_default()))
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock(|repositories| repositories.remove(name));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.lock(|repositories| repositories.contains_key(name))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock(|repositories| repositories.keys().cloned().collect())
    }

    fn lock<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Repository>) -> T) -> T {
        work(
            &mut self
                .repositories
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

// === impl Repository ===

impl Repository {
    pub(super) fn put_image(&mut self, image: &Image) {
        for manifest in &image.manifests {
            self.manifests
                .insert(manifest.digest.clone(), manifest.clone());
        }
        self.blobs.extend(image.blobs.clone());
    }

    /// By tag, or by digest.
    pub(super) fn manifest(&self, reference: &str) -> Option<&Manifest> {
        self.manifests
            .get(self.tags.get(reference).map_or(reference, String::as_str))
    }

    /// The manifest behind a tag; where referrers are kept by tag, their index too.
    pub(super) fn manifest_or_referrers(&self, reference: &str) -> Option<Manifest> {
        if let Some(manifest) = self.manifest(reference) {
            return Some(manifest.clone());
        }
        let (algorithm, hex) = reference.split_once('-')?;
        let referrers = self.referrers(&format!("{algorithm}:{hex}"), None);
        if referrers.is_empty() {
            return None;
        }
        let bytes = Bytes::from(index_of(&referrers).to_string());
        let media_type = mt::OCI_INDEX.to_owned();
        Some(Manifest {
            digest: sha256(&bytes),
            media_type,
            bytes,
        })
    }

    /// Descriptors of the manifests whose subject has this digest.
    pub(super) fn referrers(&self, subject: &str, artifact_type: Option<&str>) -> Vec<Value> {
        self.manifests
            .values()
            .filter_map(|manifest| referrer(manifest, subject))
            .filter(|found| artifact_type.is_none_or(|wanted| found["artifactType"] == wanted))
            .collect()
    }
}

/// An OCI index of the descriptors, as the referrers API answers.
pub(super) fn index_of(descriptors: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": mt::OCI_INDEX, "manifests": descriptors})
}

fn referrer(manifest: &Manifest, subject: &str) -> Option<Value> {
    let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    if document["subject"]["digest"] != subject {
        return None;
    }
    let mut descriptor = manifest.descriptor();
    let own_type = Some(&document["artifactType"]).filter(|found| found.is_string());
    descriptor["artifactType"] = own_type.unwrap_or(&document["config"]["mediaType"]).clone();
    if document["annotations"].is_object() {
        descriptor["annotations"] = document["annotations"].clone();
    }
    Some(descriptor)
}
