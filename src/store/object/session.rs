//! An object that comes in pieces of any size, over several processes: the parts of one multipart upload.
//!
//! ```text
//!            base                    sent                          received
//!   ┄┄┄┄┄┄┄┄┄┄┼────────┬─────────────┼──────────────────────────────┼
//!    sent long│ tail   │ of this step: in the file, sent part by part│
//!      ago    │ before │ while more comes                            │ what is left is a last part, or the next tail
//! ```
//!
//! Before the first byte of an object is sent its id is remembered elsewhere ([`Begun`]): a process that is killed at any
//! point leaves nothing that nobody knows of.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::multipart::PartId;
use tokio::task::JoinSet;

use super::{ObjectError, ObjectId, Objects};
use crate::store::{StoreError, UploadFile};

const MIB: u64 = 1024 * 1024;
/// Parts but the last one have at least this size, or S3 does not put them together.
pub const LEAST_PART_BYTES: u64 = 5 * MIB;
/// The first parts; later ones are larger, so that ten thousand are enough.
const FIRST_PART_BYTES: u64 = 16 * MIB;
/// After so many parts they double.
const PARTS_OF_A_SIZE: usize = 1500;
/// They are in memory, so they do not double for ever: a blob has some 390 GiB at most.
const LARGEST_PART_BYTES: u64 = 48 * MIB;

const PREPARED: &str = "`prepare` comes before the first part";

/// What is to be remembered of an object between two steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The object, and what the storage calls the upload of its parts; once there is a part.
    pub begun: Option<(ObjectId, String)>,
    /// What it calls each part, in order.
    pub parts: Vec<String>,
    /// Bytes that came after the last part: too few for one.
    pub tail: Bytes,
}

/// What is to be remembered before any byte is sent, so that nothing is left for ever of who sends it and is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub id: ObjectId,
    /// What the storage calls the upload of its parts, if it has any.
    pub multipart: Option<String>,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// [`PieceSender::advance`]
    Coming,
    /// [`PieceSender::rest`]
    Rest,
    /// [`PieceSender::finish`]
    End,
}

/// Why a step did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One step: sends what comes into a file as parts.
pub struct PieceSender {
    objects: Objects,
    pieces: Pieces,
    /// The object that all goes into in one request, if it has no parts.
    whole: Option<ObjectId>,
    /// Bytes of the whole that are sent, or being sent.
    sent: u64,
    sending: JoinSet<Result<(usize, PartId), ObjectError>>,
    /// How many parts there are, with those that are being sent.
    count: usize,
    done: BTreeMap<usize, PartId>,
}

impl Objects {
    /// Goes on with an object; `sent` bytes of it are in its parts.
    pub fn send_pieces(&self, pieces: Pieces, sent: u64) -> PieceSender {
        PieceSender {
            objects: self.clone(),
            count: pieces.parts.len(),
            pieces,
            whole: None,
            sent,
            sending: JoinSet::new(),
            done: BTreeMap::new(),
        }
    }
}

impl PieceSender {
    /// To be called before what it is named after: begins an object if this is where its first bytes are sent. What it
    /// gives is to be remembered before they are.
    pub async fn prepare(
        &mut self,
        file: &UploadFile,
        stage: Stage,
    ) -> Result<Option<Begun>, PieceError> {
        if self.pieces.begun.is_some() {
            return Ok(None);
        }
        let least = match stage {
            Stage::Coming | Stage::End => part_bytes(0),
            Stage::Rest => LEAST_PART_BYTES,
        };
        let id = ObjectId::new();
        if file.received() - self.sent >= least {
            let multipart = self.objects.create_multipart(id).await?;
            self.pieces.begun = Some((id, multipart.clone()));
            let multipart = Some(multipart);
            return Ok(Some(Begun { id, multipart }));
        }
        if stage != Stage::End {
            return Ok(None);
        }
        self.whole = Some(id);
        let multipart = None;
        Ok(Some(Begun { id, multipart }))
    }

    /// Nobody remembers what was begun: takes it away again.
    pub async fn forget(&mut self) -> Result<(), PieceError> {
        match self.pieces.begun.take() {
            Some((id, multipart)) => Ok(self.objects.abort(id, &multipart).await?),
            None => Ok(()),
        }
    }

    /// Sends what is in the file by now, as far as it makes whole parts. Waits while there is no memory for them.
    pub async fn advance(&mut self, file: &UploadFile) -> Result<(), PieceError> {
        while file.received() - self.sent >= part_bytes(self.count) {
            let end = self.sent + part_bytes(self.count);
            self.send(file, end).await?;
        }
        while let Some(part) = self.sending.try_join_next() {
            self.note(part)?;
        }
        Ok(())
    }

    /// Ends the step: what is left becomes a part or, if it is too short for one, the tail. Gives what is to be
    /// remembered.
    pub async fn rest(mut self, file: &UploadFile) -> Result<Pieces, PieceError> {
        self.advance(file).await?;
        let received = file.received();
        self.pieces.tail = Bytes::new();
        if received - self.sent >= LEAST_PART_BYTES {
            self.send(file, received).await?;
        } else {
            self.pieces.tail = file.read(self.sent..received).await?;
        }
        self.wait().await?;
        Ok(self.pieces)
    }

    /// Ends the object: when this returns it is in place.
    pub async fn finish(mut self, file: &UploadFile) -> Result<ObjectId, PieceError> {
        let received = file.received();
        if let Some(id) = self.whole {
            let range = self.sent..received;
            let _memory = self.objects.memory(&range).await;
            let bytes = file.read(range).await?;
            self.objects.put_bytes(id, bytes).await?;
            return Ok(id);
        }
        self.advance(file).await?;
        if received > self.sent {
            self.send(file, received).await?;
        }
        self.wait().await?;
        let (id, multipart) = self.pieces.begun.take().expect(PREPARED);
        let parts = self.pieces.parts.into_iter();
        let parts = parts.map(|content_id| PartId { content_id }).collect();
        let complete = self.objects.complete(id, &multipart, parts, received);
        complete.await?;
        Ok(id)
    }

    /// Sends the bytes up to `end` as the next part.
    async fn send(&mut self, file: &UploadFile, end: u64) -> Result<(), PieceError> {
        let (id, multipart) = self.pieces.begun.clone().expect(PREPARED);
        let range = self.sent..end;
        let memory = self.objects.memory(&range).await;
        let bytes = file.read(range).await?;
        let (objects, index) = (self.objects.clone(), self.count);
        self.sending.spawn(async move {
            let put = objects.put_part(id, &multipart, index, bytes).await;
            drop(memory);
            Ok((index, put?))
        });
        self.count += 1;
        self.sent = end;
        Ok(())
    }

    /// Waits for all parts, also after one has failed: a late one must not come in the way of its next attempt.
    async fn wait(&mut self) -> Result<(), PieceError> {
        let mut outcome = Ok(());
        while let Some(part) = self.sending.join_next().await {
            outcome = self.note(part).and(outcome);
        }
        outcome?;
        let done = std::mem::take(&mut self.done);
        let done = done.into_values().map(|part| part.content_id);
        self.pieces.parts.extend(done);
        Ok(())
    }

    fn note(
        &mut self,
        part: Result<Result<(usize, PartId), ObjectError>, tokio::task::JoinError>,
    ) -> Result<(), PieceError> {
        let part = part.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let (index, part) = part?;
        self.done.insert(index, part);
        Ok(())
    }
}

/// The size of the part of this number.
fn part_bytes(index: usize) -> u64 {
    let doublings = u32::try_from(index / PARTS_OF_A_SIZE).unwrap_or(u32::MAX);
    let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
    FIRST_PART_BYTES
        .saturating_mul(factor)
        .min(LARGEST_PART_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_and_fit_into_memory() {
        assert_eq!(part_bytes(0), 16 * MIB);
        assert_eq!(part_bytes(PARTS_OF_A_SIZE), 32 * MIB);
        assert_eq!(part_bytes(9_999), 48 * MIB);
        let whole: u64 = (0..10_000).map(part_bytes).sum();
        assert!(whole > 390 * 1024 * MIB);
    }
}
