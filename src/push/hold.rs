//! With object storage: one request at a time works on a session, at whatever replica. The session's row says which, and
//! until when.
//!
//! ```text
//! take ──► held, renewed while the client brings bytes ──► saved, or let go
//!   └ another has it: waits     └ the client stalls, or this process ends: in a moment another request may have it
//! ```

use std::{
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, interval_at, sleep};
use uuid::Uuid;

use super::{PushError, Repository, work::Worker};
use crate::{
    meta::{Meta, UploadHold, UploadHolder, UploadState},
    oci::Algorithm,
    store::{
        Objects, UploadFile,
        object::{Begun, PieceSender, Pieces, Stage},
    },
};

/// How long nobody else works on a session after something was heard of who does.
const LASTS: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Longer than a session is held by who is gone.
const PATIENCE: Duration = Duration::from_secs(13);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The right of one request to change the row of a session.
pub(super) struct Hold {
    meta: Meta,
    of: UploadHolder,
    /// Until then it is sure.
    until: Mutex<Instant>,
}

/// What is known of a session when it is taken.
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) algorithm: Algorithm,
    /// `None`: nothing has come yet.
    pub(super) state: Option<UploadState>,
}

impl Hold {
    /// Waits until nobody else works on the session.
    pub(super) async fn take(
        meta: &Meta,
        repository: &Repository,
        id: Uuid,
    ) -> Result<Held, PushError> {
        let of = UploadHolder {
            id,
            repository: repository.name.clone(),
            holder: Uuid::new_v4(),
        };
        let give_up = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            match meta.upload_hold(&of, LASTS).await? {
                UploadHold::Held(algorithm, state) => {
                    let hold = Self {
                        meta: meta.clone(),
                        of,
                        until: Mutex::new(now + LASTS),
                    };
                    return Ok(Held {
                        hold,
                        algorithm,
                        state,
                    });
                }
                UploadHold::Gone => return Err(PushError::UploadUnknown),
                UploadHold::Busy if now > give_up => return Err(PushError::Busy),
                UploadHold::Busy => sleep(LOOK_EVERY).await,
            }
        }
    }

    pub(super) fn of(&self) -> &UploadHolder {
        &self.of
    }

    /// Does something, and keeps the session meanwhile, but for a client that brings nothing.
    pub(super) async fn keep_while<T>(&self, worker: &Worker, work: impl Future<Output = T>) -> T {
        let still_here = async {
            let mut ticks = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
            loop {
                ticks.tick().await;
                if worker.idle_for() < RENEW_EVERY && !self.renew().await {
                    worker.lose();
                    return pending().await;
                }
            }
        };
        tokio::select! {
            done = work => done,
            never = still_here => never,
        }
    }

    /// `false`: it is somebody else's, or gone. Without an answer the rows decide in the end.
    async fn renew(&self) -> bool {
        let now = Instant::now();
        match self.meta.upload_hold(&self.of, LASTS).await {
            Ok(UploadHold::Held(..)) => {
                *self.until() = now + LASTS;
                true
            }
            Ok(UploadHold::Busy | UploadHold::Gone) => {
                *self.until() = now;
                false
            }
            Err(error) => {
                tracing::warn!(%error, "cannot hold an upload session: {error}");
                true
            }
        }
    }

    /// Of two who send the same part one would spoil the other's.
    async fn make_sure(&self) -> Result<(), PushError> {
        let sure = *self.until() > Instant::now() + RENEW_EVERY;
        if sure || self.renew().await {
            Ok(())
        } else {
            Err(PushError::UploadUnknown)
        }
    }

    fn until(&self) -> MutexGuard<'_, Instant> {
        // One value cannot be half changed.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down an object before anything of it is sent.
    async fn begin(&self, begun: Begun) -> Result<(), PushError> {
        let (id, multipart) = (begun.id.into(), begun.multipart);
        is_ours(self.meta.upload_begun(&self.of, id, multipart).await?)
    }

    /// Writes down how far it has come, and ends the work.
    pub(super) async fn save(&self, file: &UploadFile, pieces: Pieces) -> Result<(), PushError> {
        let state = UploadState {
            received_bytes: file.received(),
            hash: file.hasher().save().into(),
            object: pieces.begun.map(|(id, multipart)| (id.into(), multipart)),
            parts: pieces.parts,
            tail: pieces.tail,
        };
        is_ours(self.meta.upload_save(&self.of, state).await?)
    }
}

/// A row that is not there, or not this request's, was not written.
fn is_ours(written: bool) -> Result<(), PushError> {
    if written {
        Ok(())
    } else {
        Err(PushError::UploadUnknown)
    }
}

/// Sends what comes, and writes down before that what it sends.
pub(super) struct Sending<'h> {
    hold: &'h Hold,
    sender: PieceSender,
}

impl<'h> Sending<'h> {
    /// Goes on with what a session has; `sent` bytes of it are in parts.
    pub(super) fn new(hold: &'h Hold, objects: &Objects, pieces: Pieces, sent: u64) -> Self {
        let sender = objects.send_pieces(pieces, sent);
        Self { hold, sender }
    }

    /// Sends what is in the file by now, as far as it makes whole parts.
    pub(super) async fn advance(&mut self, file: &UploadFile) -> Result<(), PushError> {
        self.prepare(file, Stage::Coming).await?;
        Ok(self.sender.advance(file).await?)
    }

    /// Ends the step, not the blob.
    pub(super) async fn rest(mut self, file: &UploadFile) -> Result<(), PushError> {
        self.prepare(file, Stage::Rest).await?;
        let pieces = self.sender.rest(file).await?;
        self.hold.save(file, pieces).await
    }

    /// Ends the blob: when this returns its object is in place.
    pub(super) async fn finish(mut self, file: &UploadFile) -> Result<Uuid, PushError> {
        self.prepare(file, Stage::End).await?;
        Ok(self.sender.finish(file).await?.into())
    }

    async fn prepare(&mut self, file: &UploadFile, stage: Stage) -> Result<(), PushError> {
        self.hold.make_sure().await?;
        let Some(begun) = self.sender.prepare(file, stage).await? else {
            return Ok(());
        };
        let written = self.hold.begin(begun).await;
        if written.is_err()
            && let Err(error) = self.sender.forget().await
        {
            tracing::warn!(%error, "cannot abort an upload that no row knows: {error}");
        }
        written
    }
}
