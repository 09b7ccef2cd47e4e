//! Our own repositories as what rules pull into: hosted ones take pushes; mirrors of the same remote fetch for themselves.

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use http_body_util::BodyExt;

use super::source::{OwnSource, Place};
use crate::{
    mirror::{self, MirrorError},
    oci::{Digest, Manifest, Name, Reference, Tag, TagState, TagVersion},
    push::{Chunk, ManifestUpload, PushError},
    settings::{Settings, SettingsError},
    transfer::send::{Home, HomeBody, HomeError, SourceError, SourceManifest},
};

/// How many manifests may be below each other.
const MAX_DEPTH: usize = 4;

/// All repositories of this server.
pub(super) struct OwnHome {
    own: OwnSource,
    settings: Settings,
}

impl OwnHome {
    pub(super) fn new(own: &OwnSource, settings: &Settings) -> Self {
        Self {
            own: own.clone(),
            settings: settings.clone(),
        }
    }

    /// Where a repository is.
    fn place(&self, name: &Name) -> Result<Place, HomeError> {
        self.own.place(name).map_err(|error| of_source(&error))
    }

    /// Is all of this manifest of a mirror here?
    fn is_whole<'a>(
        &'a self,
        repository: &'a mirror::Repository,
        digest: &'a Digest,
        depth: usize,
    ) -> BoxFuture<'a, Result<bool, HomeError>> {
        async move {
            let (meta, name) = (&self.own.meta, &repository.name);
            let unavailable =
                |error: &dyn std::fmt::Display| HomeError::Unavailable(error.to_string());
            if depth > MAX_DEPTH
                || meta
                    .manifest(name, digest)
                    .await
                    .map_err(|error| unavailable(&error))?
                    .is_none()
            {
                return Ok(false);
            }
            let bytes = self.own.mirror.manifest_bytes(digest).await;
            let Some(bytes) = bytes.map_err(of_mirror)? else {
                return Ok(false);
            };
            let manifest = Manifest::parse(&bytes);
            for child in &manifest.manifests {
                if !self.is_whole(repository, &child.digest, depth + 1).await? {
                    return Ok(false);
                }
            }
            let present = meta.manifest_present(name, digest).await;
            present.map_err(|error| unavailable(&error))
        }
        .boxed()
    }
}

impl Home for OwnHome {
    fn digest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Option<Digest>, HomeError>> {
        async move {
            if self.own.projects.now().get(name.first()).is_none() {
                return Ok(None);
            }
            match self.place(name)? {
                Place::Hosted(repository) => {
                    match self.own.pushes.head_manifest(&repository, reference).await {
                        Ok(summary) => Ok(Some(summary.digest)),
                        Err(PushError::NotFound(_)) => Ok(None),
                        Err(error) => Err(of_push(error)),
                    }
                }
                Place::Mirror(repository) => {
                    let digest = match reference {
                        Reference::Digest(digest) => digest.clone(),
                        Reference::Tag(tag) => {
                            let row = self.own.meta.tag(name, tag).await;
                            let row =
                                row.map_err(|error| HomeError::Unavailable(error.to_string()))?;
                            match row {
                                Some(row) => row.target.digest,
                                None => return Ok(None),
                            }
                        }
                    };
                    let is_whole = self.is_whole(&repository, &digest, 0).await?;
                    Ok(is_whole.then_some(digest))
                }
            }
        }
        .boxed()
    }

    fn make_project<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<(), HomeError>> {
        async move {
            if self.own.projects.now().get(name.first()).is_none() {
                let made = self.settings.project_on_push(name).await;
                made.map_err(|error| of_settings(&error))?;
            }
            Ok(())
        }
        .boxed()
    }

    fn has_blob<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, HomeError>> {
        async move {
            match self.place(name)? {
                Place::Hosted(repository) => {
                    match self.own.pushes.head_blob(&repository, digest).await {
                        Ok(_) => Ok(true),
                        Err(PushError::NotFound(_)) => Ok(false),
                        Err(error) => Err(of_push(error)),
                    }
                }
                Place::Mirror(_) => {
                    let linked = self.own.meta.blob_linked(name, digest).await;
                    linked.map_err(|error| HomeError::Unavailable(error.to_string()))
                }
            }
        }
        .boxed()
    }

    fn mount<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
        from: &'a Name,
    ) -> BoxFuture<'a, Result<bool, HomeError>> {
        async move {
            let Place::Hosted(repository) = self.place(name)? else {
                return Ok(false);
            };
            let pushes = &self.own.pushes;
            let mounted = pushes.mount(&repository, digest, Some(from), |_| true);
            mounted.await.map_err(of_push)
        }
        .boxed()
    }

    fn take_blob<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
        size: Option<u64>,
        mut body: HomeBody,
    ) -> BoxFuture<'a, Result<(), HomeError>> {
        async move {
            match self.place(name)? {
                Place::Hosted(repository) => {
                    let chunk = Chunk {
                        range: None,
                        length: size,
                    };
                    let pushes = &self.own.pushes;
                    let pushed = pushes.push_blob(&repository, digest, chunk, &mut body);
                    pushed.await.map_err(of_push)
                }
                Place::Mirror(repository) => {
                    let answer = self.own.mirror.get_blob(&repository, digest).await;
                    let content = answer.map_err(of_mirror)?.content;
                    let mut data = content.body(None).into_data_stream();
                    while let Some(chunk) = data.next().await {
                        let chunk =
                            chunk.map_err(|error| HomeError::Unavailable(error.to_string()))?;
                        body.came(chunk.len());
                    }
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn tag_state<'a>(
        &'a self,
        name: &'a Name,
        tag: &'a Tag,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>> {
        async move {
            let state = self.own.meta.tag_state(name, tag).await;
            state.map_err(|error| HomeError::Unavailable(error.to_string()))
        }
        .boxed()
    }

    fn take_manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
        manifest: SourceManifest,
        version: Option<TagVersion>,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>> {
        async move {
            let (own, place) = (&self.own, self.place(name)?);
            match (place, reference) {
                (Place::Hosted(repository), _) => {
                    let upload = ManifestUpload {
                        reference: reference.clone(),
                        content_type: Some(manifest.media_type),
                        tags: Vec::new(),
                        bytes: manifest.bytes,
                        pushed_by: None,
                        version,
                    };
                    let pushed = own.pushes.put_manifest(&repository, upload).await;
                    Ok(pushed.map_err(of_push)?.kept)
                }
                (Place::Mirror(repository), Reference::Tag(tag)) => {
                    let entry = own.mirror.refresh(&repository, tag).await;
                    entry.map(|_| None).map_err(of_mirror)
                }
                (Place::Mirror(repository), Reference::Digest(_)) => {
                    let answer = own.mirror.get_manifest(&repository, reference).await;
                    answer.map(|_| None).map_err(of_mirror)
                }
            }
        }
        .boxed()
    }

    fn delete_tag<'a>(
        &'a self,
        name: &'a Name,
        tag: &'a Tag,
        state: Option<&'a TagState>,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>> {
        async move {
            // What a mirror has goes by itself.
            let Place::Hosted(repository) = self.place(name)? else {
                return Ok(None);
            };
            let deleted = self.own.pushes.delete_tag(&repository, tag, state.cloned());
            match deleted.await {
                Ok(kept) => Ok(kept),
                Err(PushError::NotFound(_)) => Ok(None),
                Err(error) => Err(of_push(error)),
            }
        }
        .boxed()
    }
}

fn of_source(error: &SourceError) -> HomeError {
    HomeError::Refused(error.to_string())
}

fn of_settings(error: &SettingsError) -> HomeError {
    HomeError::Refused(error.to_string())
}

fn of_mirror(error: MirrorError) -> HomeError {
    match error {
        MirrorError::NotFound(message) | MirrorError::Refused(message) => {
            HomeError::Refused(message)
        }
        other => HomeError::Unavailable(other.to_string()),
    }
}

fn of_push(error: PushError) -> HomeError {
    match error {
        PushError::Broken { .. }
        | PushError::NoSpace
        | PushError::TooManyUploads
        | PushError::Busy
        | PushError::ObjectStorage
        | PushError::Internal => HomeError::Unavailable(error.to_string()),
        other => HomeError::Refused(other.to_string()),
    }
}
