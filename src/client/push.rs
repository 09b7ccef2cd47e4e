//! Changing what a remote has (distribution-spec, "Push" and "Content Management"): manifests, tags, and what is there
//! already. Blobs are `upload`'s. Callers that push ask through [`RegistryClient::pushing`].

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use super::{
    ClientError, ErrorKind, ManifestHead, Patience, RegistryClient, document, provider,
    transport::{Call, Document},
};
use crate::{
    config::Provider,
    oci::{
        Digest, Name, Reference, Tag, TagState,
        header::{ENTREPOT_TAG_STATE, OCI_SUBJECT},
    },
};

/// What is said to a change is short.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What a remote said to a manifest that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestTaken {
    pub digest: Option<Digest>,
    /// It keeps the list of the subject's referrers itself (`OCI-Subject`): no fallback tag is needed.
    pub lists_referrers: bool,
    /// What the tag is there now, told by other instances of this program: it may be of a newer write.
    pub tag_state: Option<TagState>,
}

impl RegistryClient {
    /// Puts a manifest, a media type and its bytes, under a tag, or under its digest alone. `state`: which write that is.
    pub async fn manifest_put(
        &self,
        name: &Name,
        reference: &Reference,
        manifest: (&str, Bytes),
        state: Option<&TagState>,
    ) -> Result<ManifestTaken, ClientError> {
        let (media_type, bytes) = manifest;
        let mut call = self.manifest_call(Method::PUT, name, reference);
        let content_type = HeaderValue::from_str(media_type)
            .map_err(|_| self.invalid(format!("cannot be told the media type `{media_type}`")))?;
        call.headers.remove(header::ACCEPT);
        call.headers.insert(header::CONTENT_TYPE, content_type);
        tell(&mut call, state);
        call.body = Some(bytes);
        let answer = self.change(&call).await?;
        Ok(ManifestTaken {
            digest: document::announced_digest(&answer.headers),
            lists_referrers: answer.headers.contains_key(OCI_SUBJECT),
            tag_state: document::tag_state(&answer.headers),
        })
    }

    /// What is under a tag, asked with the question for its version; of one that is not there the error may have it.
    pub async fn tag_head(&self, name: &Name, tag: &Tag) -> Result<ManifestHead, ClientError> {
        let mut call = self.manifest_call(Method::HEAD, name, &Reference::Tag(tag.clone()));
        let asked = HeaderValue::from_static("?");
        call.headers.insert(ENTREPOT_TAG_STATE, asked);
        let head = self.head(&call, Patience::Full).await;
        match &head {
            Ok(head) if head.tag_state.is_none() => {
                self.transport.keeps_none.store(true, Relaxed);
            }
            Err(error) if error.tag_state.is_none() => {}
            _ => self.transport.keeps_versions.store(true, Relaxed),
        }
        head
    }

    /// As [`keeps_versions`](Self::keeps_versions), or nothing is known of it yet.
    pub fn may_keep_versions(&self) -> bool {
        let is_known = self.transport.keeps_none.load(Relaxed);
        let may_be = self.remote().provider == Provider::DockerRegistry && !is_known;
        may_be || self.keeps_versions()
    }

    /// Is it another instance of this program, which knows of each tag which write it is of? Asks nobody.
    pub fn keeps_versions(&self) -> bool {
        self.remote().provider == Provider::Entrepot || self.transport.keeps_versions.load(Relaxed)
    }

    /// Deletes a manifest with all its tags. One that is not there is deleted.
    pub async fn manifest_delete(&self, name: &Name, digest: &Digest) -> Result<(), ClientError> {
        let reference = Reference::Digest(digest.clone());
        self.delete(name, &reference, None).await.map(drop)
    }

    /// Deletes a tag alone. Older registries cannot: they say 400 or 405, which is `Invalid`. A tag that is not there is
    /// deleted. `state`: which write that is. `Some`: it stays, because this is newer.
    pub async fn tag_delete(
        &self,
        name: &Name,
        tag: &Tag,
        state: Option<&TagState>,
    ) -> Result<Option<TagState>, ClientError> {
        if let Some(deleted) = provider::delete_tag(self, name, tag).await {
            return deleted.map(|()| None);
        }
        let reference = Reference::Tag(tag.clone());
        self.delete(name, &reference, state).await
    }

    async fn delete(
        &self,
        name: &Name,
        reference: &Reference,
        state: Option<&TagState>,
    ) -> Result<Option<TagState>, ClientError> {
        let mut call = self.manifest_call(Method::DELETE, name, reference);
        tell(&mut call, state);
        call.scope = format!("repository:{name}:pull,delete");
        match self.change(&call).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            answer => Ok(document::tag_state(&answer?.headers)),
        }
    }

    /// Does the repository have this blob? Only a clear yes is one: what is there by mistake is sent once more.
    pub async fn blob_is_there(&self, name: &Name, digest: &Digest) -> Result<bool, ClientError> {
        let call = self.blob_call(Method::HEAD, name, digest);
        let deadline = self.deadline(Patience::Full);
        match self.transport.open(&call, deadline).await {
            Ok(answer) => Ok(answer.status == StatusCode::OK),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A request that changes something, with its short answer.
    pub(super) async fn change(&self, call: &Call) -> Result<Document, ClientError> {
        let deadline = self.deadline(Patience::Full);
        // Boxed: large, and part of many futures.
        self.transport.load(call, MAX_ANSWER_BYTES, deadline).await
    }
}

/// Other registries do not know this header, and leave it alone.
fn tell(call: &mut Call, state: Option<&TagState>) {
    if let Some(state) = state {
        let value = HeaderValue::try_from(state.to_string());
        let value = value.expect("digits and digests are visible ASCII");
        call.headers.insert(ENTREPOT_TAG_STATE, value);
    }
}
