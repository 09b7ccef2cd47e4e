//! What belongs to an image without being part of it: manifests that name it as their subject, and the tags by which cosign
//! keeps signatures (`.sig`), attestations (`.att`) and bills of materials (`.sbom`) beside it.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::json;

use super::{Job, SendError, SourceError};
use crate::{
    client::{ClientError, ErrorKind, Patience, referrers_tag},
    oci::{Descriptor, Digest, Manifest, Reference, Tag, TagState, media_type},
};

/// Referrers of referrers, and so on.
const MAX_DEPTH: usize = 8;
const SIGNATURE_TAGS: [&str; 3] = ["sig", "att", "sbom"];

impl Job<'_> {
    /// Sends all that belongs to these manifests, which are there; how many that were.
    pub(super) async fn send_referrers(&self, subjects: Vec<Digest>) -> Result<usize, SendError> {
        let mut seen: HashSet<Digest> = subjects.iter().cloned().collect();
        let (mut subjects, mut sent) = (subjects, 0);
        for _ in 0..MAX_DEPTH {
            let mut found = Vec::new();
            for subject in &subjects {
                sent += self.send_signature_tags(subject).await?;
                for referrer in self.source.referrers(&self.order.from, subject).await? {
                    sent += usize::from(self.send_referrer(&referrer, subject).await?);
                    if seen.insert(referrer.digest.clone()) {
                        found.push(referrer.digest);
                    }
                }
            }
            subjects = found;
        }
        Ok(sent)
    }

    async fn send_referrer(
        &self,
        referrer: &Descriptor,
        subject: &Digest,
    ) -> Result<bool, SendError> {
        let reference = Reference::Digest(referrer.digest.clone());
        if self.there(&reference).await?.is_some() {
            return Ok(false);
        }
        let manifest = self.source.manifest(&self.order.from, &reference).await?;
        let parsed = Manifest::parse(&manifest.bytes);
        self.send_content(&parsed, &parsed.manifests, 0).await?;
        let taken = self.put(&manifest, &parsed, &reference, None).await?;
        if !taken.lists_referrers {
            let descriptor = Descriptor {
                media_type: manifest.media_type.clone(),
                digest: manifest.digest.clone(),
                size: Some(manifest.bytes.len() as u64),
                artifact_type: parsed.artifact_type.clone(),
                annotations: parsed.annotations.clone(),
                other: serde_json::Map::new(),
            };
            self.list_referrer(descriptor, subject).await?;
        }
        Ok(true)
    }

    /// Adds a referrer to the list that the destination does not keep itself.
    // spec: Referrers Tag Schema, "Pushing Manifests with Subject"
    async fn list_referrer(&self, referrer: Descriptor, subject: &Digest) -> Result<(), SendError> {
        let Some(client) = self.destination.client() else {
            return Ok(());
        };
        let to = &self.order.to;
        let tag = Reference::Tag(referrers_tag(subject));
        let mut list = match client.manifest_get(to, &tag, Patience::Full).await {
            Ok(list) => Manifest::parse(&list.bytes).manifests,
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if list.iter().any(|listed| listed.digest == referrer.digest) {
            return Ok(());
        }
        list.push(referrer);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": list,
        });
        let bytes = Bytes::from(index.to_string());
        client
            .manifest_put(to, &tag, (media_type::OCI_INDEX, bytes), None)
            .await?;
        Ok(())
    }

    async fn send_signature_tags(&self, subject: &Digest) -> Result<usize, SendError> {
        let mut sent = 0;
        for tag in signature_tags(subject) {
            let reference = Reference::Tag(tag.clone());
            let digest = match self.source.digest(&self.order.from, &reference).await {
                Ok(digest) => digest,
                Err(
                    SourceError::Missing(_)
                    | SourceError::Remote(ClientError {
                        kind: ErrorKind::NotFound,
                        ..
                    }),
                ) => continue,
                Err(error) => return Err(error.into()),
            };
            let there = self.destination.tag(&self.order.to, &tag).await?;
            let state = match &there.state {
                Some(_) => self.source.tag_state(&self.order.from, &tag).await?,
                None => None,
            };
            let is_newer = |here: &TagState| {
                there
                    .state
                    .as_ref()
                    .is_some_and(|there| there.version >= here.version)
            };
            if there.digest.as_ref() == Some(&digest) || state.as_ref().is_some_and(is_newer) {
                continue;
            }
            let by_digest = Reference::Digest(digest);
            let manifest = self.source.manifest(&self.order.from, &by_digest).await?;
            let parsed = Manifest::parse(&manifest.bytes);
            self.send_content(&parsed, &parsed.manifests, 0).await?;
            self.put(&manifest, &parsed, &reference, state.as_ref())
                .await?;
            sent += 1;
        }
        Ok(sent)
    }
}

/// The tags by which cosign keeps what is about a manifest.
pub fn signature_tags(subject: &Digest) -> impl Iterator<Item = Tag> {
    let stem = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
    // What is too long for a tag (of sha512) is no tag anywhere.
    let tag = move |kind| format!("{stem}.{kind}").parse().ok();
    SIGNATURE_TAGS.into_iter().filter_map(tag)
}
