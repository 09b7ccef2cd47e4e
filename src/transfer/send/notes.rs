//! Uploads of large blobs are noted while they run, so that whoever carries a task on after this process goes on with them
//! from where the destination has them.

use tracing::warn;
use uuid::Uuid;

use super::source::is_transient;
use crate::{
    client::{ClientError, RegistryClient, UploadSession},
    meta::{Meta, SendingRow},
    oci::{Descriptor, Digest, Name},
};

/// Less is sent anew as quickly.
const NOTED_BYTES: u64 = 16 << 20;

/// Where the uploads of one task are noted. One process carries a task out at a time, so nobody else uses its sessions.
#[derive(Clone)]
pub struct Notes {
    meta: Meta,
    task: Uuid,
}

impl Notes {
    pub fn new(meta: &Meta, task: Uuid) -> Self {
        Self {
            meta: meta.clone(),
            task,
        }
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
