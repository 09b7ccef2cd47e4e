//! Our own repositories as what rules send from: hosted ones by `push`, mirrors by `mirror`, which fetches what is not here.

use std::io;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use http_body_util::BodyExt;

use crate::{
    access::{Caller, Projects},
    meta::Meta,
    mirror::{self, Mirror, MirrorError},
    oci::{Descriptor, Digest, Name, Reference, Tag, TagState},
    push::{self, PushError, Pushes},
    transfer::{
        Content,
        send::{Source, SourceBlob, SourceError, SourceManifest},
    },
};

/// All repositories of this server.
#[derive(Clone)]
pub(super) struct OwnSource {
    pub(super) projects: Projects,
    pub(super) mirror: Mirror,
    pub(super) pushes: Pushes,
    pub(super) meta: Meta,
}

/// Where a repository is.
pub(super) enum Place {
    Mirror(mirror::Repository),
    Hosted(push::Repository),
}

impl OwnSource {
    pub(super) fn new(projects: &Projects, mirror: &Mirror, pushes: &Pushes, meta: &Meta) -> Self {
        Self {
            projects: projects.clone(),
            mirror: mirror.clone(),
            pushes: pushes.clone(),
            meta: meta.clone(),
        }
    }

    pub(super) fn place(&self, name: &Name) -> Result<Place, SourceError> {
        let missing = || SourceError::Missing(format!("there is no project `{}`", name.first()));
        let projects = self.projects.now();
        let project = projects.get(name.first()).ok_or_else(missing)?;
        if !project.is_mirror() {
            return Ok(Place::Hosted(push::Repository {
                project: project.clone(),
                name: name.clone(),
            }));
        }
        let resolved = self.mirror.resolve(name, None, &Caller::admin());
        let resolved = resolved.map_err(|error| SourceError::Missing(error.to_string()));
        resolved.map(Place::Mirror)
    }

    async fn get_manifest(
        &self,
        name: &Name,
        reference: &Reference,
    ) -> Result<SourceManifest, SourceError> {
        match self.place(name)? {
            Place::Mirror(repository) => {
                let answer = self.mirror.get_manifest(&repository, reference).await;
                let content = answer.map_err(of_mirror)?.content;
                Ok(SourceManifest {
                    digest: content.digest,
                    media_type: content.media_type,
                    bytes: content.bytes,
                })
            }
            Place::Hosted(repository) => {
                let found = self.pushes.get_manifest(&repository, reference).await;
                let (summary, bytes) = found.map_err(of_push)?;
                Ok(SourceManifest {
                    digest: summary.digest,
                    media_type: summary.media_type,
                    bytes,
                })
            }
        }
    }

    async fn get_blob(
        &self,
        name: &Name,
        digest: &Digest,
        offset: u64,
    ) -> Result<SourceBlob, SourceError> {
        let content = match self.place(name)? {
            Place::Mirror(repository) => {
                let answer = self.mirror.get_blob(&repository, digest).await;
                answer.map_err(of_mirror)?.content
            }
            Place::Hosted(repository) => {
                let content = self.pushes.get_blob(&repository, digest).await;
                content.map_err(of_push)?
            }
        };
        Ok(SourceBlob {
            offset,
            total_bytes: content.length(),
            body: chunks(&content, offset),
        })
    }
}

impl Source for OwnSource {
    fn digest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Digest, SourceError>> {
        async move {
            match reference {
                Reference::Digest(digest) => Ok(digest.clone()),
                Reference::Tag(_) => Ok(self.get_manifest(name, reference).await?.digest),
            }
        }
        .boxed()
    }

    fn manifest<'a>(
        &'a self,
        name: &'a Name,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<SourceManifest, SourceError>> {
        self.get_manifest(name, reference).boxed()
    }

    fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        offset: u64,
    ) -> BoxFuture<'static, Result<SourceBlob, SourceError>> {
        let (source, name, digest) = (self.clone(), name.clone(), digest.clone());
        async move { source.get_blob(&name, &digest, offset).await }.boxed()
    }

    fn referrers<'a>(
        &'a self,
        name: &'a Name,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>, SourceError>> {
        async move {
            match self.place(name)? {
                Place::Mirror(repository) => {
                    let answer = self.mirror.list_referrers(&repository, digest).await;
                    Ok(answer.map_err(of_mirror)?.content.to_vec())
                }
                Place::Hosted(repository) => {
                    let list = self.pushes.list_referrers(&repository, digest).await;
                    list.map_err(of_push)
                }
            }
        }
        .boxed()
    }

    fn tag_state<'a>(
        &'a self,
        name: &'a Name,
        tag: &'a Tag,
    ) -> BoxFuture<'a, Result<Option<TagState>, SourceError>> {
        async move {
            let state = self.meta.tag_state(name, tag).await;
            state.map_err(|error| SourceError::Unavailable(error.to_string()))
        }
        .boxed()
    }
}

fn chunks(content: &Content, offset: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
    let length = content.length().unwrap_or(u64::MAX);
    let body = content.body(Some(offset.min(length)..length));
    let broken = |error: io::Error| SourceError::Unavailable(error.to_string());
    let data = body.into_data_stream();
    data.map(move |chunk| chunk.map_err(broken)).boxed()
}

fn of_mirror(error: MirrorError) -> SourceError {
    match error {
        MirrorError::NotFound(message) | MirrorError::Refused(message) => {
            SourceError::Missing(message)
        }
        other => SourceError::Unavailable(other.to_string()),
    }
}

fn of_push(error: PushError) -> SourceError {
    match error {
        PushError::NotFound(message) => SourceError::Missing(message),
        other => SourceError::Unavailable(other.to_string()),
    }
}
