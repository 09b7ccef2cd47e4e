//! What of a manifest a task sends: which manifests of an index, and what refers to it.

use super::{
    Mode,
    rule::{Fill, PlatformMode},
    task::Run,
    trouble::Trouble,
};
use crate::{
    oci::{Digest, Manifest, ManifestKind, Reference},
    transfer::send::{Platforms, SendError, chosen, image_platform},
};

/// Which manifests of an index are sent.
pub(super) struct Selection {
    pub(super) platforms: Platforms,
    /// They, where it is not simply all of them.
    children: Vec<Digest>,
    /// All of them are sent where these alone are not taken.
    pub(super) or_all: bool,
}

impl Selection {
    fn all() -> Self {
        Self {
            platforms: Platforms::All,
            children: Vec::new(),
            or_all: false,
        }
    }
}

impl Run<'_> {
    /// Those of the rule's platforms, and of a mirror those that are here. `None`: there is nothing of that.
    pub(super) async fn selection(&self, digest: &Digest) -> Result<Option<Selection>, Trouble> {
        let only_present = self.rule.fill == Fill::Present && self.is_from_mirror();
        let filters = &self.rule.filters;
        if !only_present && !filters.choose_platforms() {
            return Ok(Some(Selection::all()));
        }
        let (name, reference) = (
            &self.held.task.repository,
            Reference::Digest(digest.clone()),
        );
        let manifest = self.source.manifest(name, &reference).await;
        let manifest = Manifest::parse(&manifest.map_err(SendError::Source)?.bytes);
        if manifest.kind != ManifestKind::Index {
            let is_wanted = self.is_for_platforms(&manifest).await?;
            return Ok(is_wanted.then(Selection::all));
        }
        let all = &manifest.manifests;
        let wanted = chosen(all, |platform| filters.take_platform(platform));
        let leaves_platforms_out = wanted.len() < all.len();
        let mut children = Vec::new();
        for child in wanted {
            if !only_present || self.is_here(&child.digest).await? {
                children.push(child.digest);
            }
        }
        if children.is_empty() && !all.is_empty() {
            return Ok(None);
        }
        let platforms = if children.len() == all.len() {
            Platforms::All
        } else if leaves_platforms_out && self.rule.platform_mode == PlatformMode::RewriteIndex {
            Platforms::Only(children.clone())
        } else {
            Platforms::Keep(children.clone())
        };
        Ok(Some(Selection {
            or_all: !leaves_platforms_out && matches!(platforms, Platforms::Keep(_)),
            platforms,
            children,
        }))
    }

    /// Is an image that is in no index for one of the rule's platforms? One that does not say is for all.
    async fn is_for_platforms(&self, image: &Manifest) -> Result<bool, Trouble> {
        let filters = &self.rule.filters;
        if !filters.choose_platforms() {
            return Ok(true);
        }
        let platform = image_platform(&*self.source, &self.held.task.repository, image).await?;
        Ok(platform.is_none_or(|platform| filters.take_platform(&platform)))
    }

    /// Does the destination, which has the index, lack one of the manifests that are to be there?
    pub(super) async fn lacks(&self, selection: &Selection) -> Result<bool, Trouble> {
        for child in &selection.children {
            let reference = Reference::Digest(child.clone());
            let name = &self.held.task.destination;
            if self.destination.digest(name, &reference).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Is there anything here that refers to a manifest, or to one of its own, and is sent with it? Of a remote, and of a
    /// mirror, that is not asked again each time.
    pub(super) async fn has_referrers(&self, digest: &Digest) -> Result<bool, Trouble> {
        if !self.rule.referrers || self.rule.mode == Mode::Pull || self.is_from_mirror() {
            return Ok(false);
        }
        let (meta, name) = (self.meta(), &self.held.task.repository);
        Ok(meta.has_referrers(name, digest).await?)
    }

    pub(super) fn is_from_mirror(&self) -> bool {
        let projects = self.inner.replication.inner.parts.projects.now();
        self.rule.mode == Mode::Push && projects.is_mirror(self.held.task.repository.first())
    }

    async fn is_here(&self, manifest: &Digest) -> Result<bool, Trouble> {
        let (meta, name) = (self.meta(), &self.held.task.repository);
        Ok(meta.manifest_present(name, manifest).await?
            && meta.manifest(name, manifest).await?.is_some())
    }
}
