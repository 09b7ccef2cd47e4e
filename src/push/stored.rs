//! Sessions on object storage: what comes is sent on as the parts of one object while more comes, and a row tells the
//! next request, at whatever replica, where to go on.
//!
//! The blob of a finished session is in the bucket alone; who pulls it first brings it to its replica's disk.

use bytes::Bytes;
use http_body::Body;
use uuid::Uuid;

use super::{
    Chunk, PushError, Pushes,
    hold::{Hold, Sending},
    intake::Aim,
};
use crate::{
    meta::{BlobPush, UploadHolder, UploadState},
    oci::{Algorithm, Digest, Hasher},
    store::{ObjectId, Objects, UploadFile, object::Pieces},
    transfer::Tier,
};

impl Pushes {
    /// Appends to a session; gives where the next chunk begins.
    pub(super) async fn append_stored(
        &self,
        tier: &Tier,
        aim: &Aim<'_>,
        id: Uuid,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<u64, PushError> {
        let meta = &self.inner.meta;
        let held = Hold::take(meta, aim.repository, id).await?;
        let (hold, algorithm, state) = (held.hold, held.algorithm, held.state);
        let work = async {
            let (file, mut sending) = self.step(tier, &hold, algorithm, state).await?;
            let (file, outcome) = self
                .take_in(aim, file, Some(&mut sending), chunk, body)
                .await?;
            sending.rest(&file).await?;
            let received = file.received();
            file.discard().await?;
            outcome.map(|()| received)
        };
        let appended = hold.keep_while(aim.worker, work).await;
        if appended.is_err() {
            self.inner.store.upload_delete(id).await?;
            meta.upload_let_go(hold.of()).await?;
        }
        appended
    }

    /// Appends the last chunk and makes the whole the blob of this digest.
    pub(super) async fn finish_stored(
        &self,
        tier: &Tier,
        aim: &Aim<'_>,
        digest: &Digest,
        id: Uuid,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<(), PushError> {
        let meta = &self.inner.meta;
        let held = Hold::take(meta, aim.repository, id).await?;
        let (hold, algorithm, state) = (held.hold, held.algorithm, held.state);
        // Nothing was hashed yet.
        let algorithm = state.as_ref().map_or(digest.algorithm(), |_| algorithm);
        let work = async {
            let (file, mut sending) = self.step(tier, &hold, algorithm, state).await?;
            let (file, outcome) = self
                .take_in(aim, file, Some(&mut sending), chunk, body)
                .await?;
            if let Err(error) = outcome {
                sending.rest(&file).await?;
                file.discard().await?;
                return Err(error);
            }
            let allowances = &self.inner.allowances;
            let size_bytes = file.received();
            allowances.take(aim.repository, digest, size_bytes).await?;
            self.complete_stored(tier.objects(), hold.of(), digest, file, sending)
                .await
        };
        let finished = hold.keep_while(aim.worker, work).await;
        if finished.is_err() {
            self.inner.store.upload_delete(id).await?;
        }
        match &finished {
            Ok(()) => {}
            // What came is wrong, and nothing more can make it right.
            Err(PushError::WrongDigest { .. }) => {
                meta.upload_delete(id, &aim.repository.name).await?;
            }
            Err(_) => meta.upload_let_go(hold.of()).await?,
        }
        finished
    }

    async fn step<'h>(
        &self,
        tier: &Tier,
        hold: &'h Hold,
        algorithm: Algorithm,
        state: Option<UploadState>,
    ) -> Result<(UploadFile, Sending<'h>), PushError> {
        let id = hold.of().id;
        let (pieces, received, hasher) = match state {
            None => (Pieces::default(), 0, algorithm.hasher()),
            Some(state) => {
                let hasher = Hasher::restore(algorithm, &state.hash).ok_or_else(|| {
                    tracing::error!(%id, "the hash of an upload session cannot be read");
                    PushError::Internal
                })?;
                let pieces = Pieces {
                    begun: state.object.map(|(id, multipart)| (id.into(), multipart)),
                    parts: state.parts,
                    tail: state.tail,
                };
                (pieces, state.received_bytes, hasher)
            }
        };
        let sent = received - pieces.tail.len() as u64;
        let store = &self.inner.store;
        let tail = pieces.tail.clone();
        let file = store.upload_step(id, hasher, sent, tail).await?;
        let sending = Sending::new(hold, tier.objects(), pieces, sent);
        Ok((file, sending))
    }

    /// The object first, then the rows.
    async fn complete_stored(
        &self,
        objects: &Objects,
        of: &UploadHolder,
        digest: &Digest,
        file: UploadFile,
        sending: Sending<'_>,
    ) -> Result<(), PushError> {
        let (size_bytes, hasher) = (file.received(), file.hasher().clone());
        let is_hashed = hasher.algorithm() == digest.algorithm();
        if is_hashed {
            compare(digest, hasher)?;
        }
        let object = sending.finish(&file).await?;
        file.discard().await?;
        if !is_hashed {
            compare(
                digest,
                rehash(objects, object.into(), size_bytes, digest.algorithm()).await?,
            )?;
        }
        let push = BlobPush {
            repository: of.repository.clone(),
            digest: digest.clone(),
            size_bytes,
            upload: Some(of.id),
            object: Some(object),
        };
        if !self.inner.meta.blob_push(push).await? {
            return Err(PushError::UploadUnknown);
        }
        tracing::info!(repository = %of.repository, %digest, bytes = size_bytes, "a blob was pushed");
        Ok(())
    }
}

fn compare(expected: &Digest, hasher: Hasher) -> Result<(), PushError> {
    let actual = hasher.finish();
    if actual == *expected {
        return Ok(());
    }
    let expected = expected.clone();
    Err(PushError::WrongDigest { expected, actual })
}

/// Reads an object back: it came with another algorithm than its digest's.
async fn rehash(
    objects: &Objects,
    id: ObjectId,
    size_bytes: u64,
    algorithm: Algorithm,
) -> Result<Hasher, PushError> {
    let mut body = objects.read(id, 0..size_bytes, size_bytes).await?;
    let mut hasher = algorithm.hasher();
    while let Some(chunk) = body.next().await {
        hasher.update(&chunk?);
    }
    Ok(hasher)
}
