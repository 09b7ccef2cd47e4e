//! Deletes (distribution-spec, "Content Management"): a tag, a manifest with its tags, a blob of one repository; and a
//! whole repository. Of a mirror only what was pushed there.
//!
//! Rows go first, in one transaction; files of what nobody has any more after them. What a deleted manifest named stays
//! for `upkeep.orphan_grace`.

use super::{
    PushError, Pushes, Repository,
    manifest::{check_clock, pattern_of},
};
use crate::{
    meta::{Deletable, Deleted, Deletion, Removed},
    oci::{Digest, Name, Tag, TagState},
};

impl Pushes {
    /// A tag goes; what it points to stays. `replicated`: the delete at another instance that this one follows. `Some`: the
    /// tag stays, because this is newer.
    pub async fn delete_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        replicated: Option<TagState>,
    ) -> Result<Option<TagState>, PushError> {
        let replicated = replicated.map(|state| TagState {
            is_deleted: true,
            ..state
        });
        check_clock(replicated.as_ref().map(|state| state.version))?;
        let (meta, name) = (&self.inner.meta, &repository.name);
        let deletion = meta.delete_tag(name, tag, deletable(repository), replicated);
        let deletion = match deletion.await? {
            Deletion::Kept(state) => return Ok(Some(state)),
            deletion => deletion,
        };
        self.deleted(repository, deletion, &format!("tag `{tag}`"))
            .await?;
        tracing::info!(repository = %name, %tag, "a tag was deleted");
        Ok(None)
    }

    /// A manifest goes, and all tags that point to it. Gives the manifests, a hundred at most, that had it as their
    /// subject: they stay.
    pub async fn delete_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Digest>, PushError> {
        let name = &repository.name;
        let deletable = deletable(repository);
        let deletion = self.inner.meta.delete_manifest(name, digest, deletable);
        let deleted = self
            .deleted(repository, deletion.await?, &format!("manifest {digest}"))
            .await?;
        tracing::info!(repository = %name, %digest, tags = deleted.tags.len(), "a manifest was deleted");
        Ok(deleted.dangling)
    }

    /// A blob goes from this repository, also if a manifest here names it; others that have it keep it.
    pub async fn delete_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PushError> {
        let name = &repository.name;
        let deletable = deletable(repository);
        let deletion = self.inner.meta.delete_blob(name, digest, deletable);
        self.deleted(repository, deletion.await?, &format!("blob {digest}"))
            .await?;
        tracing::info!(repository = %name, %digest, "a blob was deleted");
        Ok(())
    }

    /// Everything that a repository has goes, in small steps; `false`: it had nothing. What is pushed meanwhile goes,
    /// too, or makes the repository anew.
    pub async fn delete_repository(&self, name: &Name) -> Result<bool, PushError> {
        let meta = &self.inner.meta;
        if !meta.repository_exists(name).await? {
            return Ok(false);
        }
        while let Some(removed) = meta.delete_some_of(name).await? {
            self.removed(name, removed).await;
        }
        tracing::info!(repository = %name, "a repository was deleted");
        Ok(true)
    }

    /// What came of it, to who asked; `what` is the name of what was to go.
    async fn deleted(
        &self,
        repository: &Repository,
        deletion: Deletion,
        what: &str,
    ) -> Result<Deleted, PushError> {
        match deletion {
            Deletion::Done(mut deleted) => {
                let removed = std::mem::take(&mut deleted.removed);
                if repository.is_seeded() {
                    self.inner.fills.space().freed(None, removed.bytes);
                }
                self.removed(&repository.name, removed).await;
                Ok(deleted)
            }
            Deletion::Absent | Deletion::Kept(_) => Err(PushError::NotFound(format!(
                "`{}` has no {what}",
                repository.name
            ))),
            Deletion::Fixed(tag) => Err(PushError::TagStays {
                pattern: pattern_of(&repository.project.immutable_tags, &tag),
                tag,
            }),
            Deletion::NotSeeded => Err(PushError::NotSeeded {
                project: repository.project.name.clone(),
            }),
        }
    }

    /// Counts what went, and deletes the files of what nobody has any more.
    async fn removed(&self, repository: &Name, removed: Removed) {
        let fills = &self.inner.fills;
        fills
            .space()
            .freed(Some(repository.first()), removed.project_bytes);
        if let Err(error) = fills.delete_files(removed.gone).await {
            tracing::warn!(%repository, %error, "files of what was deleted are left to upkeep");
        }
    }
}

/// What clients may delete there.
fn deletable(repository: &Repository) -> Deletable {
    Deletable {
        only_seeded: repository.is_seeded(),
        fixed: repository.project.immutable_tags.clone(),
    }
}
