//! What is noted before and while something is sent, so that whoever carries a task on after this process goes on with it:
//! uploads of large blobs, from where the destination has them; and whose the tag is that is put.

use tracing::warn;
use uuid::Uuid;

use super::source::is_transient;
use crate::{
    client::{ClientError, RegistryClient, UploadSession},
    meta::{Claim, DeliveryKey, Meta, MetaError, SendingRow},
    oci::{Descriptor, Digest, Name},
};

/// Less is sent anew as quickly.
const NOTED_BYTES: u64 = 16 << 20;

/// Where what one task sends is noted. One process carries a task out at a time, so nobody else uses its sessions.
#[derive(Clone)]
pub struct Notes {
    meta: Meta,
    task: Uuid,
    place: Option<Place>,
}

/// A tag that is to be a rule's.
#[derive(Clone)]
struct Place {
    key: DeliveryKey,
    repository: Name,
    over: Option<Digest>,
}

impl Notes {
    pub fn new(meta: &Meta, task: Uuid) -> Self {
        Self {
            meta: meta.clone(),
            task,
            place: None,
        }
    }

    /// The tag is noted as a rule's, from this repository here, before it is put: what a process puts and does not live to
    /// tell is the rule's all the same. `over`: what the rule had put there before.
    #[must_use]
    pub fn claiming(self, key: DeliveryKey, repository: Name, over: Option<Digest>) -> Self {
        let place = Place {
            key,
            repository,
            over,
        };
        Self {
            place: Some(place),
            ..self
        }
    }

    /// A manifest is about to be put under the tag.
    pub(super) async fn claim(&self, digest: &Digest) -> Result<(), MetaError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let claim = Claim::Begun {
            digest: digest.clone(),
            over: place.over.clone(),
        };
        let put = self
            .meta
            .delivery_put(&place.key, &claim, &place.repository);
        put.await
    }

    pub(super) fn are_for(blob: &Descriptor) -> bool {
        blob.size.is_some_and(|size| size >= NOTED_BYTES)
    }

    /// The session by which the blob was being sent, if the destination still has it, and how far it is.
    pub(super) async fn session(
        &self,
        client: &RegistryClient,
        to: &Name,
        digest: &Digest,
    ) -> Result<Option<UploadSession>, ClientError> {
        let row = match self.meta.sending(self.task, digest).await {
            Ok(row) => row,
            Err(error) => {
                warn!(%digest, %error, "cannot look for an earlier upload: {error}");
                None
            }
        };
        let known = row.and_then(|row| client.upload_known(to, row.url, row.min_chunk_bytes));
        let Some(mut session) = known else {
            return Ok(None);
        };
        match client.upload_status(&mut session).await {
            Ok(()) => Ok(Some(session)),
            Err(error) if is_transient(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A note that cannot be written costs no more than a blob that is sent twice.
    pub(super) async fn put(&self, digest: &Digest, session: &UploadSession) {
        let row = SendingRow {
            url: session.url.clone(),
            min_chunk_bytes: session.min_chunk_bytes,
        };
        let written = self.meta.sending_put(self.task, digest, &row).await;
        if let Err(error) = written {
            warn!(%digest, %error, "cannot note an upload: {error}");
        }
    }

    pub(super) async fn delete(&self, digest: &Digest) {
        let deleted = self.meta.sending_delete(self.task, digest).await;
        if let Err(error) = deleted {
            warn!(%digest, %error, "cannot delete the note of an upload: {error}");
        }
    }
}
