//! What feeds a body that is passed on: one client's request at the remote or at object storage.

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    FillError, FillRequest, Fills,
    origin::{self, OriginError},
    passing::Opened,
    progress::ProgressClock,
    resume::{Refused, Resume},
    source::Source,
    tail::HOLD_BACK_BYTES,
};
use crate::oci::Hasher;

/// Where hashing begins.
pub(super) struct Start {
    pub(super) offset: u64,
    pub(super) hasher: Hasher,
    pub(super) held: VecDeque<Bytes>,
}

/// What one client wants.
pub(super) struct Part {
    pub(super) range: Range<u64>,
    pub(super) total: Option<u64>,
}

impl Part {
    /// Where it ends, if that is known.
    pub(super) fn end(&self) -> Option<u64> {
        match (self.range.end, self.total) {
            (u64::MAX, total) => total,
            (end, Some(total)) => Some(end.min(total)),
            (end, None) => Some(end),
        }
    }

    fn has_last_byte(&self) -> bool {
        self.end() == self.total
    }
}

/// One client's request, over breaks.
pub(super) struct Feed {
    request: Arc<FillRequest>,
    part: Part,
    /// The next byte that is wanted.
    position: u64,
    /// Over everything before `position`; none for a part that ends early.
    hasher: Option<Hasher>,
    /// Came, and waits for the digest.
    held: VecDeque<Bytes>,
    sender: mpsc::Sender<io::Result<Bytes>>,
    resume: Resume,
}

/// The client went away.
struct Left;

impl Feed {
    pub(super) fn new(
        request: &Arc<FillRequest>,
        from: Start,
        part: Part,
        sender: mpsc::Sender<io::Result<Bytes>>,
    ) -> Self {
        let verified = part.has_last_byte();
        let position = if verified {
            from.offset
        } else {
            part.range.start
        };
        Self {
            request: Arc::clone(request),
            position,
            hasher: verified.then_some(from.hasher),
            held: from.held,
            part,
            sender,
            resume: Resume::default(),
        }
    }

    /// Ends with its client, or with an empty chunk: then all that was asked for was given.
    pub(super) async fn run(
        mut self,
        fills: Fills,
        opened: Option<Opened>,
    ) -> Result<(), FillError> {
        let mut patience = ProgressClock::new(self.request.origin.retry_for());
        let mut first_place = 0;
        let (_turn, mut next) = match opened {
            Some(Opened { stream, turn }) => (turn, Some(stream)),
            None => (fills.passing_turn().await?, None),
        };
        loop {
            let before = self.position;
            if self.part.end() == Some(before) {
                // A fill had all of it, and could not keep it.
                return self.finish().await;
            }
            let stream = match next.take() {
                Some(stream) => Ok(stream),
                None => self.ask(first_place).await,
            };
            let broken = match stream {
                Ok(stream) => {
                    first_place = stream.place.map_or(first_place, |place| place + 1);
                    let mut source = Source::new(stream, before, self.part.end(), &self.request);
                    match self.pump(&mut source).await {
                        Ok(Ok(())) => return self.finish().await,
                        Ok(Err(Left)) => return Ok(()),
                        // More was announced than there is.
                        Err(_) if self.is_whole() => return self.finish().await,
                        Err(error) => {
                            let caught_up = source.is_past_what_was_here();
                            self.resume.broke(before, self.position, caught_up);
                            error
                        }
                    }
                }
                Err(error) => match self.refused(&error) {
                    Refused::End => return self.finish().await,
                    Refused::AskForAll => continue,
                    Refused::AskAgain | Refused::No => error,
                },
            };
            let progressed = self.position > before;
            patience
                .wait_or_give_up(broken, progressed, &self.request)
                .await?;
        }
    }

    async fn ask(&self, first_place: usize) -> Result<origin::Opened, OriginError> {
        let FillRequest { digest, origin, .. } = &*self.request;
        let object = origin.open_object(digest, self.position, first_place);
        if let Some(opened) = object.await {
            return opened;
        }
        let ask_from = self.resume.ask_from(self.position);
        origin.open_remote(digest, ask_from, first_place).await
    }

    fn refused(&mut self, error: &OriginError) -> Refused {
        let (position, end, is_whole) = (self.position, self.part.end(), self.is_whole());
        self.resume.failed(error, position, end, || is_whole)
    }

    /// Every byte of the blob came, and they are right.
    fn is_whole(&self) -> bool {
        let hash = self.hasher.clone().map(Hasher::finish);
        hash.is_some_and(|hash| hash == self.request.digest)
    }

    async fn pump(&mut self, source: &mut Source) -> Result<Result<(), Left>, OriginError> {
        while let Some(chunk) = source.next().await? {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            let wanted = self.wanted(chunk);
            if !wanted.is_empty() && self.give(wanted).await.is_err() {
                return Ok(Err(Left));
            }
        }
        Ok(Ok(()))
    }

    /// What of a chunk the client asked for.
    fn wanted(&mut self, mut chunk: Bytes) -> Bytes {
        let unwanted = self.part.range.start.saturating_sub(self.position);
        self.position += chunk.len() as u64;
        let unwanted = usize::try_from(unwanted).map_or(chunk.len(), |n| n.min(chunk.len()));
        chunk.split_off(unwanted)
    }

    /// To the client, but for what waits for the digest.
    async fn give(&mut self, chunk: Bytes) -> Result<(), Left> {
        self.held.push_back(chunk);
        if self.hasher.is_none() {
            return self.release(0).await;
        }
        // Of a length that is known, the last bytes of the blob; else the last that came.
        let ahead = self
            .part
            .total
            .map_or(0, |total| total.saturating_sub(self.position));
        self.release(HOLD_BACK_BYTES.saturating_sub(ahead)).await
    }

    /// Sends all but the last `keep` bytes.
    async fn release(&mut self, keep: u64) -> Result<(), Left> {
        let mut held: u64 = self.held.iter().map(|bytes| bytes.len() as u64).sum();
        while held > keep {
            let Some(mut chunk) = self.held.pop_front() else {
                break;
            };
            let free = usize::try_from(held - keep).map_or(chunk.len(), |n| n.min(chunk.len()));
            let rest = chunk.split_off(free);
            if !rest.is_empty() {
                self.held.push_front(rest);
            }
            held -= chunk.len() as u64;
            self.sender.send(Ok(chunk)).await.map_err(|_| Left)?;
        }
        Ok(())
    }

    /// Every byte came: the last ones are given away if they are right.
    async fn finish(mut self) -> Result<(), FillError> {
        if let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.request.digest
        {
            return Err(FillError::WrongContent {
                remote: self.request.origin.name().to_owned(),
                digest: self.request.digest.to_string(),
            });
        }
        // Who left does not need them.
        if self.release(0).await.is_ok() {
            let _ = self.sender.send(Ok(Bytes::new())).await;
        }
        Ok(())
    }
}
