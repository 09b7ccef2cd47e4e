//! What of a manifest a task sends: which manifests of an index, and what refers to it.

use futures_util::future::try_join_all;

use super::{
    Mode,
    rule::{Fill, PlatformMode},
    task::Run,
    trouble::Trouble,
};
use crate::{
    oci::{Digest, Manifest, ManifestKind, Platform, PlatformPattern, Reference},
    transfer::send::{Platforms, SendError, signature_tags},
};

/// Which manifests of an index are sent.
pub(super) struct Selection {
    pub(super) platforms: Platforms,
    /// They, where it is not simply all of them.
    children: Vec<Digest>,
}

impl Run<'_> {
    /// Those of the rule's platforms, and of a mirror those that are here.
    pub(super) async fn selection(&self, digest: &Digest) -> Result<Selection, Trouble> {
        let mut selection = Selection {
            platforms: Platforms::All,
            children: Vec::new(),
        };
        let only_present = self.rule.fill == Fill::Present && self.is_from_mirror();
        if !only_present && !self.rule.filters.choose_platforms() {
            return Ok(selection);
        }
        let (name, reference) = (
            &self.held.task.repository,
            Reference::Digest(digest.clone()),
        );
        let manifest = self.source.manifest(name, &reference).await;
        let manifest = Manifest::parse(&manifest.map_err(SendError::Source)?.bytes);
        if manifest.kind != ManifestKind::Index {
            return Ok(selection);
        }
        let (mut chosen, mut left_out) = (Vec::new(), false);
        for child in &manifest.manifests {
            let platform = Platform::of(child);
            let is_chosen = platform
                .as_ref()
                .is_none_or(|platform| self.rule.filters.take_platform(platform));
            if !is_chosen || only_present && !self.is_here(&child.digest).await? {
                left_out = true;
                continue;
            }
            selection.children.push(child.digest.clone());
            chosen.extend(platform.map(exactly));
        }
        selection.platforms = match (left_out, self.rule.platform_mode) {
            (false, _) => Platforms::All,
            (true, PlatformMode::RewriteIndex) if !only_present => Platforms::Rewrite(chosen),
            (true, _) => Platforms::Keep(chosen),
        };
        Ok(selection)
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

    /// Is there anything here that refers to a manifest and is sent with it? Of a remote, and of a mirror, that is not asked
    /// again each time.
    pub(super) async fn has_referrers(&self, digest: &Digest) -> Result<bool, Trouble> {
        if !self.rule.referrers || self.rule.mode == Mode::Pull || self.is_from_mirror() {
            return Ok(false);
        }
        let name = &self.held.task.repository;
        let referrers = self.source.referrers(name, digest).await;
        if !referrers.map_err(SendError::Source)?.is_empty() {
            return Ok(true);
        }
        let tags =
            signature_tags(digest).map(|tag| async move { self.meta().tag(name, &tag).await });
        let tags = try_join_all(tags).await?;
        Ok(tags.iter().any(Option::is_some))
    }

    fn is_from_mirror(&self) -> bool {
        let projects = self.inner.replication.inner.parts.projects.now();
        self.rule.mode == Mode::Push && projects.is_mirror(self.held.task.repository.first())
    }

    async fn is_here(&self, manifest: &Digest) -> Result<bool, Trouble> {
        let (meta, name) = (self.meta(), &self.held.task.repository);
        Ok(meta.manifest_present(name, manifest).await?
            && meta.manifest(name, manifest).await?.is_some())
    }
}

fn exactly(platform: Platform) -> PlatformPattern {
    PlatformPattern {
        os: Some(platform.os),
        os_version: platform.os_version,
        architecture: Some(platform.architecture),
        variant: platform.variant,
    }
}
