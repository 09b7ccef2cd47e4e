//! Sessions on object storage: what comes is sent on as the parts of one object while more comes, and a row tells the
//! next request, at whatever replica, where to go on.
//!
//! The blob of a finished session is in the bucket alone; who pulls it first brings it to its replica's disk.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, interval_at, sleep};
use uuid::Uuid;

use super::{Chunk, PushError, Pushes, Repository, session::Aim};
use crate::{
    meta::{BlobPush, UploadHold, UploadHolder, UploadState},
    oci::{Algorithm, Digest, Hasher},
    store::{
        ObjectId, Objects, UploadFile,
        object::{PieceSender, Pieces},
    },
    transfer::Tier,
};

/// How long nobody else works on a session after something was heard of who does.
const HOLD: Duration = Duration::from_mins(1);
/// How long one waits for another request of the same session, and how often one looks.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Pushes {
    /// Appends to a session; gives where the next chunk begins.
    pub(super) async fn append_stored(
        &self,
        tier: &Tier,
        aim: &Aim<'_>,
        of: UploadHolder,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<u64, PushError> {
        let (algorithm, state) = self.hold(&of).await?;
        let appended = self.while_held(&of, async {
            let step = self.step(tier.objects(), &of, algorithm, state).await?;
            let (file, mut sender) = step;
            let (file, outcome) = self
                .take_in(aim, file, Some(&mut sender), chunk, body)
                .await?;
            let pieces = sender.rest(&file).await?;
            self.save(&of, &file, pieces).await?;
            let received = file.received();
            file.discard().await?;
            outcome.map(|()| received)
        });
        let appended = appended.await;
        if appended.is_err() {
            self.inner.meta.upload_let_go(&of).await?;
        }
        appended
    }

    /// Appends the last chunk and makes the whole the blob of this digest.
    pub(super) async fn finish_stored(
        &self,
        tier: &Tier,
        aim: &Aim<'_>,
        digest: &Digest,
        of: UploadHolder,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<(), PushError> {
        let (algorithm, state) = self.hold(&of).await?;
        // Nothing was hashed yet.
        let algorithm = state.as_ref().map_or(digest.algorithm(), |_| algorithm);
        let finished = self.while_held(&of, async {
            let step = self.step(tier.objects(), &of, algorithm, state).await?;
            let (file, mut sender) = step;
            let (file, outcome) = self
                .take_in(aim, file, Some(&mut sender), chunk, body)
                .await?;
            if let Err(error) = outcome {
                let pieces = sender.rest(&file).await?;
                self.save(&of, &file, pieces).await?;
                file.discard().await?;
                return Err(error);
            }
            let allowances = &self.inner.allowances;
            let size_bytes = file.received();
            allowances.take(aim.repository, digest, size_bytes).await?;
            self.complete_stored(tier.objects(), &of, digest, file, sender)
                .await
        });
        let finished = finished.await;
        match &finished {
            Ok(()) => {}
            // What came is wrong, and nothing more can make it right.
            Err(PushError::WrongDigest { .. }) => {
                let meta = &self.inner.meta;
                meta.upload_delete(of.id, &of.repository).await?;
            }
            Err(_) => self.inner.meta.upload_let_go(&of).await?,
        }
        finished
    }

    /// Waits until nobody else works on the session.
    async fn hold(&self, of: &UploadHolder) -> Result<(Algorithm, Option<UploadState>), PushError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.inner.meta.upload_hold(of, HOLD).await? {
                UploadHold::Held(algorithm, state) => return Ok((algorithm, state)),
                UploadHold::Gone => return Err(PushError::UploadUnknown),
                UploadHold::Busy if Instant::now() > give_up => return Err(PushError::Busy),
                UploadHold::Busy => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Does something, and says meanwhile that it is still being done.
    async fn while_held<T>(&self, of: &UploadHolder, work: impl Future<Output = T>) -> T {
        let still_here = async {
            let mut ticks = interval_at(Instant::now() + HOLD / 3, HOLD / 3);
            loop {
                ticks.tick().await;
                // In the end the rows decide whose it is.
                let _ = self.inner.meta.upload_hold(of, HOLD).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = still_here => pending().await,
        }
    }

    async fn step(
        &self,
        objects: &Objects,
        of: &UploadHolder,
        algorithm: Algorithm,
        state: Option<UploadState>,
    ) -> Result<(UploadFile, PieceSender), PushError> {
        let (pieces, received, hasher) = match state {
            None => (Pieces::new(), 0, algorithm.hasher()),
            Some(state) => {
                let hasher = Hasher::restore(algorithm, &state.hash).ok_or_else(|| {
                    tracing::error!(id = %of.id, "the hash of an upload session cannot be read");
                    PushError::Internal
                })?;
                let pieces = Pieces {
                    id: state.object.into(),
                    multipart: state.multipart,
                    parts: state.parts,
                    tail: state.tail,
                };
                (pieces, state.received_bytes, hasher)
            }
        };
        let sent = received - pieces.tail.len() as u64;
        let store = &self.inner.store;
        let tail = pieces.tail.clone();
        let file = store.upload_step(of.id, hasher, sent, tail).await?;
        Ok((file, objects.send_pieces(pieces, sent)))
    }

    async fn save(
        &self,
        of: &UploadHolder,
        file: &UploadFile,
        pieces: Pieces,
    ) -> Result<(), PushError> {
        let state = UploadState {
            received_bytes: file.received(),
            hash: file.hasher().save().into(),
            object: pieces.id.into(),
            multipart: pieces.multipart,
            parts: pieces.parts,
            tail: pieces.tail,
        };
        if self.inner.meta.upload_save(of, state).await? {
            Ok(())
        } else {
            Err(PushError::UploadUnknown)
        }
    }

    /// The object first, then the rows.
    async fn complete_stored(
        &self,
        objects: &Objects,
        of: &UploadHolder,
        digest: &Digest,
        file: UploadFile,
        sender: PieceSender,
    ) -> Result<(), PushError> {
        let (size_bytes, hasher) = (file.received(), file.hasher().clone());
        let is_hashed = hasher.algorithm() == digest.algorithm();
        if is_hashed {
            compare(digest, hasher)?;
        }
        let id = sender.finish(&file).await?;
        file.discard().await?;
        if !is_hashed {
            compare(
                digest,
                rehash(objects, id, size_bytes, digest.algorithm()).await?,
            )?;
        }
        let push = BlobPush {
            repository: of.repository.clone(),
            digest: digest.clone(),
            size_bytes,
            upload: Some(of.id),
            object: Some(id.into()),
        };
        if !self.inner.meta.blob_push(push).await? {
            return Err(PushError::UploadUnknown);
        }
        tracing::info!(repository = %of.repository, %digest, bytes = size_bytes, "a blob was pushed");
        Ok(())
    }

    /// Who works on a session now.
    pub(super) fn holder(repository: &Repository, id: Uuid) -> UploadHolder {
        UploadHolder {
            id,
            repository: repository.name.clone(),
            holder: Uuid::new_v4(),
        }
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
