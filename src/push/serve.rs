//! What hosted projects have: manifests, blobs, lists.

use bytes::Bytes;

use super::{PushError, Pushes, Repository};
use crate::{
    meta::ManifestSummary,
    oci::{Descriptor, Digest, Reference, Tag},
    transfer::{Content, FillRequest, Joined, Origin},
};

/// A blob's grace is renewed once this part of it has passed.
const RENEWED: u32 = 4;

impl Pushes {
    /// A manifest and its bytes.
    pub async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(ManifestSummary, Bytes), PushError> {
        let summary = self.head_manifest(repository, reference).await?;
        let bytes = self.manifest_bytes(&summary.digest).await?;
        let bytes = bytes.ok_or_else(|| {
            tracing::error!(repository = %repository.name, digest = %summary.digest, "the bytes of a manifest are lost");
            PushError::Internal
        })?;
        let uses = self.inner.meta.uses();
        uses.note(&repository.name, &summary.digest);
        Ok((summary, bytes))
    }

    /// A manifest without its bytes.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestSummary, PushError> {
        let (meta, name) = (&self.inner.meta, &repository.name);
        // What is pushed or deleted at one replica acts at all of them at once.
        meta.look_again(name, reference);
        let found = match reference {
            Reference::Tag(tag) => meta.tag(name, tag).await?.map(|row| row.target),
            Reference::Digest(digest) => {
                let row = meta.manifest(name, digest).await?;
                row.map(|row| ManifestSummary {
                    digest: row.digest,
                    media_type: row.media_type,
                    size_bytes: row.size_bytes,
                })
            }
        };
        found.ok_or_else(|| PushError::NotFound(format!("`{name}` has no manifest `{reference}`")))
    }

    async fn manifest_bytes(&self, digest: &Digest) -> Result<Option<Bytes>, PushError> {
        let here = self.inner.store.read(digest).await?;
        match self.inner.fills.tier() {
            Some(tier) if here.is_none() => Ok(tier.read(digest).await?),
            _ => Ok(here),
        }
    }

    /// The content of a blob; from object storage if it is not on this disk.
    pub async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Content, PushError> {
        self.check_linked(repository, digest).await?;
        self.inner.meta.uses().note(&repository.name, digest);
        loop {
            if let Some(blob) = self.inner.store.get(digest).await? {
                return Ok(Content::Stored(blob));
            }
            let object = match self.inner.fills.tier() {
                Some(tier) => tier.object(digest).await?,
                None => None,
            };
            let Some(origin) = Origin::new(object, None) else {
                return Err(self.note_loss(repository, digest).await);
            };
            let request = FillRequest {
                digest: digest.clone(),
                repository: repository.name.clone(),
                origin,
                size_bytes: None,
                is_linked: true,
            };
            // Boxed: a large future, for what is not here only.
            match Box::pin(self.inner.fills.join(&request, true)).await? {
                Joined::Leader(tail) | Joined::Follower(tail) => return Ok(Content::Filling(tail)),
                Joined::NoRoom => {
                    let passing = Box::pin(self.inner.fills.pass(&request));
                    return Ok(Content::Passing(passing.await?));
                }
                Joined::Stored => {}
                Joined::NeedsRight => return Err(PushError::Internal),
            }
        }
    }

    /// The size of a blob in bytes. Who asks is about to push what names it: it stays for another while.
    pub async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<u64, PushError> {
        let (meta, spare) = (&self.inner.meta, self.inner.orphan_grace / RENEWED);
        if !meta.blob_renew(&repository.name, digest, spare).await? {
            return Err(unknown_blob(repository, digest));
        }
        let size = meta.blob_size(digest).await?;
        meta.uses().note(&repository.name, digest);
        size.ok_or_else(|| unknown_blob(repository, digest))
    }

    async fn check_linked(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PushError> {
        let meta = &self.inner.meta;
        meta.look_again(&repository.name, &Reference::Digest(digest.clone()));
        if meta.blob_linked(&repository.name, digest).await? {
            Ok(())
        } else {
            Err(unknown_blob(repository, digest))
        }
    }

    /// Rows say that a blob is here which is nowhere: it counts as not there, so that it can be pushed again.
    async fn note_loss(&self, repository: &Repository, digest: &Digest) -> PushError {
        tracing::error!(repository = %repository.name, %digest, "the content of a blob that was pushed is lost");
        if let Err(error) = self.inner.fills.reconcile(digest).await {
            tracing::warn!(%digest, %error, "cannot note that a blob's file is gone");
        }
        unknown_blob(repository, digest)
    }

    /// Up to `limit` tags after `after`, sorted as bytes.
    pub async fn list_tags(
        &self,
        repository: &Repository,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Tag>, PushError> {
        let (meta, name) = (&self.inner.meta, &repository.name);
        let tags = meta.tags(name, after, limit).await?;
        if tags.is_empty() && !meta.repository_exists(name).await? {
            return Err(PushError::NotFound(format!(
                "there is no repository `{name}`"
            )));
        }
        Ok(tags)
    }

    /// All manifests whose subject is this one, which need not be here, sorted by digest.
    pub async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, PushError> {
        let meta = &self.inner.meta;
        Ok(meta.manifest_referrers(&repository.name, subject).await?)
    }
}

fn unknown_blob(repository: &Repository, digest: &Digest) -> PushError {
    PushError::NotFound(format!("`{}` has no blob {digest}", repository.name))
}
