//! A manifest with everything below it: children before their index, blobs before their manifest.

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use super::{Job, RootSent, SendError, SourceManifest};
use crate::{
    client::ManifestTaken,
    oci::{Descriptor, Digest, Manifest, Reference, TagState, media_type},
};

const MAX_DEPTH: usize = 4;
const CHILDREN_AT_ONCE: usize = 4;
/// Uploads have a limit of their own; this is for the questions before them.
const BLOBS_AT_ONCE: usize = 8;

impl Job<'_> {
    /// Sends a manifest with all that belongs to it, and puts it under each reference.
    pub(super) async fn send_root(
        &self,
        root: SourceManifest,
        puts: &[Reference],
    ) -> Result<RootSent, SendError> {
        let parsed = Manifest::parse(&root.bytes);
        let wanted = self.wanted(&parsed.manifests);
        self.send_content(&parsed, &wanted, 0).await?;
        let state = self.order.version.map(|version| TagState {
            version,
            digest: root.digest.clone(),
            is_deleted: false,
        });
        for reference in puts {
            let taken = self.put(&root, &parsed, reference, state.as_ref()).await?;
            let newer = |there: &TagState| Some(there.version) > self.order.version;
            if let Some(there) = taken.tag_state.filter(newer) {
                return Ok(RootSent::Newer(there));
            }
        }
        Ok(RootSent::All(self.manifests_of(&root)))
    }

    /// A manifest and those of its manifests that are sent: each may be the subject of others.
    pub(super) fn manifests_of(&self, root: &SourceManifest) -> Vec<Digest> {
        let wanted = self.wanted(&Manifest::parse(&root.bytes).manifests);
        let children = wanted.into_iter().map(|child| child.digest);
        std::iter::once(root.digest.clone())
            .chain(children)
            .collect()
    }

    /// Sends a manifest by its digest, unless the destination has it: then it has what belongs to it, too.
    fn send_child<'s>(
        &'s self,
        child: &'s Descriptor,
        depth: usize,
    ) -> BoxFuture<'s, Result<(), SendError>> {
        async move {
            if depth > MAX_DEPTH {
                return Err(SendError::Nested);
            }
            let reference = Reference::Digest(child.digest.clone());
            if self.there(&reference).await?.is_some() {
                return Ok(());
            }
            let manifest = self.source.manifest(&self.order.from, &reference).await?;
            let parsed = Manifest::parse(&manifest.bytes);
            self.send_content(&parsed, &parsed.manifests, depth).await?;
            self.put(&manifest, &parsed, &reference, None)
                .await
                .map(drop)
        }
        .boxed()
    }

    /// Sends what a manifest names.
    pub(super) async fn send_content(
        &self,
        manifest: &Manifest,
        children: &[Descriptor],
        depth: usize,
    ) -> Result<(), SendError> {
        let children: Vec<_> = children
            .iter()
            .map(|child| self.send_child(child, depth + 1))
            .collect();
        all(children, CHILDREN_AT_ONCE).await?;
        self.place_blobs(manifest).await
    }

    async fn place_blobs(&self, manifest: &Manifest) -> Result<(), SendError> {
        let blobs = manifest.blobs.iter();
        let ours = blobs.filter(|blob| !media_type::is_foreign(&blob.media_type));
        let ours: Vec<_> = ours.map(|blob| self.place_blob(blob).boxed()).collect();
        all(ours, BLOBS_AT_ONCE).await
    }

    /// Puts a manifest whose content is there. A destination that misses some of it all the same has cleaned it up since it
    /// was last seen there: it is sent once more.
    pub(super) async fn put(
        &self,
        manifest: &SourceManifest,
        parsed: &Manifest,
        reference: &Reference,
        state: Option<&TagState>,
    ) -> Result<ManifestTaken, SendError> {
        match self.put_once(manifest, reference, state).await {
            Err(error) if misses_a_blob(&error) => {
                for blob in &parsed.blobs {
                    self.destination.forget(&blob.digest);
                }
                self.place_blobs(parsed).await?;
                self.put_once(manifest, reference, state).await
            }
            answer => answer,
        }
    }

    async fn put_once(
        &self,
        manifest: &SourceManifest,
        reference: &Reference,
        state: Option<&TagState>,
    ) -> Result<ManifestTaken, SendError> {
        let to = &self.order.to;
        self.destination.put(to, reference, manifest, state).await
    }
}

/// All of these, so many at once. After the first failure no other one begins; those that run end, because what they
/// send may be wanted by others, too.
fn all(
    steps: Vec<BoxFuture<'_, Result<(), SendError>>>,
    at_once: usize,
) -> BoxFuture<'_, Result<(), SendError>> {
    async move {
        let mut waiting = steps.into_iter();
        let mut running: FuturesUnordered<_> = waiting.by_ref().take(at_once).collect();
        let mut ended = Ok(());
        while let Some(done) = running.next().await {
            ended = ended.and(done);
            if ended.is_ok() {
                running.extend(waiting.next());
            }
        }
        ended
    }
    .boxed()
}

/// By the code of the specification (code-1) or the older one for the same.
fn misses_a_blob(error: &SendError) -> bool {
    matches!(error, SendError::Destination(error)
        if error.status.is_some() && error.message.contains("BLOB_UNKNOWN"))
}
