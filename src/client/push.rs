//! Changing what a remote has (distribution-spec, "Push" and "Content Management"): manifests, tags, and what is there
//! already. Blobs are `upload`'s. Callers that push ask through [`RegistryClient::pushing`].

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use super::{
    ClientError, ErrorKind, Patience, RegistryClient, document, provider,
    transport::{Call, Document},
};
use crate::oci::{Digest, Name, Reference, Tag, header::OCI_SUBJECT};

/// What is said to a change is short.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What a remote said to a manifest that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestTaken {
    pub digest: Option<Digest>,
    /// It keeps the list of the subject's referrers itself (`OCI-Subject`): no fallback tag is needed.
    pub lists_referrers: bool,
}

impl RegistryClient {
    /// Puts a manifest under a tag, or under its digest alone.
    pub async fn manifest_put(
        &self,
        name: &Name,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<ManifestTaken, ClientError> {
        let mut call = self.manifest_call(Method::PUT, name, reference);
        let content_type = HeaderValue::from_str(media_type)
            .map_err(|_| self.invalid(format!("cannot be told the media type `{media_type}`")))?;
        call.headers.remove(header::ACCEPT);
        call.headers.insert(header::CONTENT_TYPE, content_type);
        call.body = Some(bytes);
        let answer = self.change(&call).await?;
        Ok(ManifestTaken {
            digest: document::announced_digest(&answer.headers),
            lists_referrers: answer.headers.contains_key(OCI_SUBJECT),
        })
    }

    /// Deletes a manifest with all its tags. One that is not there is deleted.
    pub async fn manifest_delete(&self, name: &Name, digest: &Digest) -> Result<(), ClientError> {
        self.delete(name, &Reference::Digest(digest.clone())).await
    }

    /// Deletes a tag alone. Older registries cannot: they say 400 or 405, which is `Invalid`. A tag that is not there is
    /// deleted.
    pub async fn tag_delete(&self, name: &Name, tag: &Tag) -> Result<(), ClientError> {
        if let Some(deleted) = provider::delete_tag(self, name, tag).await {
            return deleted;
        }
        self.delete(name, &Reference::Tag(tag.clone())).await
    }

    async fn delete(&self, name: &Name, reference: &Reference) -> Result<(), ClientError> {
        let mut call = self.manifest_call(Method::DELETE, name, reference);
        call.scope = format!("repository:{name}:pull,delete");
        match self.change(&call).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            answer => answer.map(drop),
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
        self.transport.load(call, MAX_ANSWER_BYTES, deadline).await
    }
}
