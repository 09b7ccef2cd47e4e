//! One upload, through whatever the destination and the way to it do.
//!
//! 1. The whole blob in one request, if the destination has refused no large one yet.
//! 2. 413: in pieces, half as large each time that it says so again.
//! 3. A break: whatever came through may be there. Is the blob? Else how far is the session? Else a new one, from the
//!    start. From then on in pieces, so that the next break costs no more than one.

use std::time::Duration;

use super::{Notes, SendError, destination::Destination, reader::Reader, source::is_transient};
use crate::{
    client::{ClientError, Lender, RegistryClient, UploadSession},
    oci::{Digest, Name},
};

/// The first try at a piece.
const PIECE_BYTES: u64 = 16 << 20;
/// No registry is known that takes less in one request.
const SMALLEST_PIECE_BYTES: u64 = 256 << 10;
/// How often in a row the destination may break without having kept a byte more.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What goes where.
pub(super) struct Upload<'a> {
    pub(super) client: &'a RegistryClient,
    pub(super) destination: &'a Destination,
    pub(super) to: &'a Name,
    pub(super) digest: &'a Digest,
    pub(super) notes: Option<&'a Notes>,
}

/// An upload on its way.
struct Run<'a> {
    upload: &'a Upload<'a>,
    lender: Lender<Reader>,
    session: UploadSession,
    /// Somebody else began it: what is there may be wrong.
    is_inherited: bool,
    /// `None`: the whole at once.
    piece_bytes: Option<u64>,
    /// Breaks since the destination last kept more than before.
    breaks: u32,
    /// The most that the destination has had.
    furthest: u64,
}

enum Step {
    More,
    /// A piece was taken, and the destination has no more than before.
    Stuck,
    Done,
}

impl Upload<'_> {
    pub(super) async fn run(
        &self,
        reader: Reader,
        session: UploadSession,
    ) -> Result<(), SendError> {
        let is_inherited = session.received > 0;
        let after_break = is_inherited.then_some(PIECE_BYTES);
        let mut run = Run {
            upload: self,
            lender: Lender::new(reader),
            is_inherited,
            piece_bytes: self.destination.piece_bytes().or(after_break),
            breaks: 0,
            furthest: session.received,
            session,
        };
        run.note().await;
        loop {
            let step = match run.step().await {
                Ok(Step::Stuck) => run.stuck().await?,
                Ok(step) => step,
                Err(error) => run.after(error).await?,
            };
            if matches!(step, Step::Done) {
                if let Some(notes) = self.notes {
                    notes.delete(self.digest).await;
                }
                return Ok(());
            }
        }
    }
}

impl Run<'_> {
    /// One request.
    async fn step(&mut self) -> Result<Step, ClientError> {
        let client = self.upload.client;
        let received = self.session.received;
        let total = self.lender.with(|reader| {
            reader.seek(received);
            reader.total_bytes()
        });
        let left = total.map(|total| total.saturating_sub(received));
        let piece = self
            .piece_bytes
            .map(|piece| piece.max(self.session.min_chunk_bytes));
        match (piece, left) {
            (Some(piece), Some(left)) if left > 0 => {
                let piece = piece.min(left);
                let append = client.upload_append(&mut self.session, &self.lender, piece);
                append.await?;
                if self.session.received > self.furthest {
                    self.furthest = self.session.received;
                    self.breaks = 0;
                }
                match self.session.received > received {
                    true => Ok(Step::More),
                    false => Ok(Step::Stuck),
                }
            }
            _ => {
                let finish =
                    client.upload_finish(&self.session, self.upload.digest, &self.lender, left);
                finish.await.map(|()| Step::Done)
            }
        }
    }

    /// What to do after a request failed; the error when that is the end.
    async fn after(&mut self, error: ClientError) -> Result<Step, SendError> {
        if let Some(failure) = self.lender.with(Reader::take_failure) {
            let _ = self.upload.client.upload_cancel(&self.session).await;
            return Err(failure);
        }
        let pause = match error.status {
            Some(413) => {
                self.shrink(error)?;
                Duration::ZERO
            }
            Some(400) if std::mem::take(&mut self.is_inherited) => {
                let _ = self.upload.client.upload_cancel(&self.session).await;
                self.restart().await?;
                return Ok(Step::More);
            }
            // The token was renewed, the session is elsewhere, or is gone.
            Some(401 | 404 | 416) => self.count(error)?,
            _ if is_transient(&error) => {
                self.piece_bytes.get_or_insert(PIECE_BYTES);
                let asked = error.retry_after.unwrap_or_default();
                self.count(error)?.max(asked.min(LONGEST_PAUSE))
            }
            _ => return Err(error.into()),
        };
        tokio::time::sleep(pause).await;
        self.recover().await
    }

    async fn stuck(&mut self) -> Result<Step, SendError> {
        let pause = self.count(SendError::Unkept(self.upload.digest.clone()))?;
        tokio::time::sleep(pause).await;
        Ok(Step::More)
    }

    /// One more break; how long to pause after it.
    fn count(&mut self, error: impl Into<SendError>) -> Result<Duration, SendError> {
        self.breaks += 1;
        if self.breaks > TRIES {
            return Err(error.into());
        }
        Ok((FIRST_PAUSE * 2_u32.pow(self.breaks - 1)).min(LONGEST_PAUSE))
    }

    fn shrink(&mut self, error: ClientError) -> Result<(), SendError> {
        let smallest = self.session.min_chunk_bytes.max(SMALLEST_PIECE_BYTES);
        let smaller = match self.piece_bytes {
            None => PIECE_BYTES,
            Some(piece) if piece <= smallest => return Err(error.into()),
            Some(piece) => piece / 2,
        };
        self.piece_bytes = Some(smaller);
        self.upload.destination.takes_pieces_of(smaller);
        Ok(())
    }

    /// Finds out where to go on.
    async fn recover(&mut self) -> Result<Step, SendError> {
        match self.look().await {
            Err(error) if is_transient(&error) => {
                // The next step will fail, or not: in either case it is known then.
                tokio::time::sleep(self.count(error)?).await;
                Ok(Step::More)
            }
            found => Ok(found?),
        }
    }

    async fn look(&mut self) -> Result<Step, ClientError> {
        let Upload { to, digest, .. } = *self.upload;
        let client = self.upload.client;
        // Its answer may have been lost.
        if client.blob_is_there(to, digest).await? {
            return Ok(Step::Done);
        }
        match client.upload_status(&mut self.session).await {
            Ok(()) => {}
            Err(error) if is_transient(&error) => return Err(error),
            Err(_) => self.restart().await?,
        }
        Ok(Step::More)
    }

    /// From the start, by another session.
    async fn restart(&mut self) -> Result<(), ClientError> {
        let Upload { client, to, .. } = *self.upload;
        self.session = client.upload_start(to).await?;
        self.note().await;
        Ok(())
    }

    async fn note(&self) {
        let Upload { notes, digest, .. } = *self.upload;
        if let Some(notes) = notes {
            notes.put(digest, &self.session).await;
        }
    }
}
