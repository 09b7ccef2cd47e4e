//! Taking something out of the cache because somebody who runs this server says so.

use super::{Mirror, MirrorError, Repository, absent::Thing};
use crate::{
    meta::Removal,
    oci::{Digest, Reference},
};

impl Mirror {
    /// A tag goes, and its image unless another tag, an index or a pin of its digest wants it; by digest the image goes
    /// with all of its tags. True if something was there.
    pub async fn purge(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<bool, MirrorError> {
        let thing = Thing::Manifest(repository.name.clone(), reference.clone());
        self.inner.absences.forget(&thing).await;
        let meta = &self.inner.meta;
        let tag = match reference {
            Reference::Digest(digest) => return self.purge_image(repository, digest).await,
            Reference::Tag(tag) => tag,
        };
        let Some(row) = meta.tag(&repository.name, tag).await? else {
            return Ok(false);
        };
        meta.tag_delete(&repository.name, tag).await?;
        let digest = &row.target.digest;
        if !meta.manifest_kept(&repository.name, digest).await? {
            self.purge_image(repository, digest).await?;
        }
        Ok(true)
    }

    async fn purge_image(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, MirrorError> {
        let meta = &self.inner.meta;
        let removed = meta
            .image_delete(&repository.name, digest, Removal::Purge)
            .await?;
        let Some(removed) = removed else {
            return Ok(false);
        };
        let space = self.inner.fills.space();
        space.freed(None, removed.bytes);
        space.freed(Some(&repository.project.name), removed.project_bytes);
        tracing::info!(repository = %repository.name, %digest, bytes = removed.bytes, "purged an image");
        if let Err(error) = self.inner.fills.delete_files(removed.gone).await {
            tracing::warn!(%error, "files of a purged image are left to upkeep");
        }
        Ok(true)
    }
}
