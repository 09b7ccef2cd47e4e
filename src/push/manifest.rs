//! PUT of a manifest (distribution-spec, "Pushing Manifests"): checked, made durable, and committed with what it names
//! and the tags that point to it.

use std::time::SystemTime;

use bytes::Bytes;

use super::{PushError, Pushes, Repository};
use crate::{
    config::Pattern,
    meta::{ManifestCommit, ManifestPush, ManifestPushed},
    oci::{
        Algorithm, Descriptor, Digest, Manifest, Reference, Tag, TagState, TagVersion, media_type,
    },
    store::Blob,
};

/// A manifest as it came.
#[derive(Debug, Clone)]
pub struct ManifestUpload {
    pub reference: Reference,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// Further tags, of a manifest that is pushed by its digest.
    pub tags: Vec<Tag>,
    pub bytes: Bytes,
    /// Who pushes it.
    pub pushed_by: Option<String>,
    /// Of the write that another instance replicates here, by a tag; `None`: it is one of our own.
    pub version: Option<TagVersion>,
}

/// A manifest that is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedManifest {
    pub digest: Digest,
    pub subject: Option<Digest>,
    /// Nothing was taken: this newer state is what the tag has.
    pub kept: Option<TagState>,
}

impl Pushes {
    /// Takes a manifest. It is durable, with its tags, when this returns.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        upload: ManifestUpload,
    ) -> Result<PushedManifest, PushError> {
        let (manifest, media_type) =
            Manifest::check(&upload.bytes, upload.content_type.as_deref())?;
        let (digest, tags) = identity(&upload)?;
        check_clock(upload.version)?;
        let subject = manifest.subject.as_ref();
        let mut pushed = PushedManifest {
            digest: digest.clone(),
            subject: subject.map(|subject| subject.digest.clone()),
            kept: None,
        };
        let project = &repository.project;
        let children = if project.sparse_index {
            &[]
        } else {
            &manifest.manifests[..]
        };
        let push = ManifestPush {
            fixed: fixed(&project.immutable_tags, &tags),
            blobs: if project.sparse_image {
                Vec::new()
            } else {
                needed(&manifest.blobs)
            },
            manifests: children.iter().map(|child| child.digest.clone()).collect(),
            tags,
            object: None,
            seeded: repository.is_seeded(),
            pushed_by: upload.pushed_by,
            version: upload.version,
            commit: ManifestCommit {
                repository: repository.name.clone(),
                digest: digest.clone(),
                media_type,
                size_bytes: upload.bytes.len() as u64,
                manifest,
                tag: None,
            },
        };
        let (allowances, bytes) = (&self.inner.allowances, upload.bytes.len() as u64);
        allowances.take(repository, &digest, bytes).await?;
        self.find_room(bytes).await?;
        let placed = self.inner.store.put(&digest, upload.bytes).await?;
        match self.commit(repository, push, placed.blob()).await {
            Ok(None) => {}
            Ok(Some(kept)) => {
                self.take_back(&digest, placed).await;
                pushed.kept = Some(kept);
                return Ok(pushed);
            }
            Err(error) => {
                self.take_back(&digest, placed).await;
                return Err(error);
            }
        }
        self.settle(&digest, placed).await?;
        tracing::info!(repository = %repository.name, %digest, reference = %upload.reference, "a manifest was pushed");
        Ok(pushed)
    }

    /// Writes the rows of a manifest that is in place. With object storage it is there, too, before they say so: another
    /// replica must not see what only this one's disk has. `Some`: none were written, because of this newer state.
    async fn commit(
        &self,
        repository: &Repository,
        push: ManifestPush,
        blob: &Blob,
    ) -> Result<Option<TagState>, PushError> {
        let object = match self.inner.fills.tier() {
            Some(tier) => tier.bring(&push.commit.digest, blob).await?,
            None => None,
        };
        let push = ManifestPush { object, ..push };
        match self.inner.meta.manifest_push(push).await? {
            ManifestPushed::Done => Ok(None),
            ManifestPushed::Kept(state) => Ok(Some(state)),
            ManifestPushed::Missing(digests) => Err(PushError::Missing(digests)),
            ManifestPushed::Fixed(tag) => Err(PushError::TagImmutable {
                pattern: pattern_of(&repository.project.immutable_tags, &tag),
                tag,
            }),
        }
    }
}

/// A version from the time to come would win over every push until then: clocks may differ by so much and no more.
pub(super) fn check_clock(version: Option<TagVersion>) -> Result<(), PushError> {
    let ahead = version.and_then(|version| version.is_ahead_of(SystemTime::now()));
    ahead.map_or(Ok(()), |ahead| {
        Err(PushError::Ahead {
            seconds: ahead.as_secs(),
        })
    })
}

/// The digest of the bytes, compared with the one that they are pushed by, and the tags that are to point to them.
fn identity(upload: &ManifestUpload) -> Result<(Digest, Vec<Tag>), PushError> {
    match &upload.reference {
        Reference::Tag(tag) => {
            let digest = Algorithm::Sha256.digest(&upload.bytes);
            Ok((digest, vec![tag.clone()]))
        }
        Reference::Digest(expected) => {
            let actual = expected.algorithm().digest(&upload.bytes);
            if actual != *expected {
                let expected = expected.clone();
                return Err(PushError::WrongDigest { expected, actual });
            }
            Ok((actual, upload.tags.clone()))
        }
    }
}

/// Blobs that must be in the repository: all but those that registries may not have, or that are elsewhere.
fn needed(blobs: &[Descriptor]) -> Vec<Digest> {
    let is_needed = |blob: &&Descriptor| {
        let elsewhere = blob.other.get("urls").and_then(|urls| urls.as_array());
        !media_type::is_foreign(&blob.media_type) && elsewhere.is_none_or(Vec::is_empty)
    };
    let needed = blobs.iter().filter(is_needed);
    needed.map(|blob| blob.digest.clone()).collect()
}

fn fixed(patterns: &[Pattern], tags: &[Tag]) -> Vec<Tag> {
    let is_fixed = |tag: &&Tag| patterns.iter().any(|p| p.matches(tag.as_str()));
    tags.iter().filter(is_fixed).cloned().collect()
}

/// The pattern that makes this tag immutable.
pub(super) fn pattern_of(patterns: &[Pattern], tag: &Tag) -> String {
    let pattern = patterns.iter().find(|p| p.matches(tag.as_str()));
    pattern.map_or_else(String::new, |pattern| pattern.as_str().to_owned())
}
