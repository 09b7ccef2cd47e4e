//! The leader of a fill: one download of one blob, on behalf of everybody who waits for it.
//!
//! It is a task of its own: it outlives the client that asked, goes on over breaks of the remote at the byte where it
//! stopped, and gives up when no byte has come for `retry_for`. Where there is no room it does not begin; where room ends
//! on the way it hands over to its tails, each of which goes on by itself (`passing.rs`).

mod ending;

use std::{ops::ControlFlow, sync::Arc};

use tokio::{sync::watch, time::Instant};

use super::{
    FillError, FillRequest, Tail,
    inflight::Phase,
    origin::{Opened, OriginError},
    permit::Permit,
    progress::ProgressClock,
    pump::{Pumped, pump},
    resume::{Refused, Resume},
    source::Source,
    space::Reservation,
    tail::End,
    way::{Found, Seen, Ways},
    window::Window,
};
use crate::store::{Spool, StoreError};

/// Room that is reserved at a time for a blob of unknown length, in bytes.
pub(super) const STEP_BYTES: u64 = 16 * 1024 * 1024;

/// Runs one fill to its end.
/// `has_right`: its repository may see the digest; else a remote's answer must prove it.
pub(super) async fn run(permit: Permit, request: FillRequest, has_right: bool) {
    let metrics = permit.fills.inner.metrics.clone();
    metrics.fills_running(1);
    let shutdown = permit.fills.inner.shutdown.clone();
    let leader = Leader::new(permit, request, has_right);
    tokio::select! {
        () = leader.lead() => {}
        () = shutdown.cancelled() => {}
    }
    metrics.fills_running(-1);
}

struct Leader {
    permit: Permit,
    request: FillRequest,
    end: watch::Sender<End>,
    /// Size of the whole blob in bytes, once anybody said it.
    total: Option<u64>,
    streaming: bool,
    /// The place to be asked first: the one after that which broke, or sent wrong content before. One that begins each
    /// time and never ends must not be all there is.
    first_place: usize,
    /// Some of the bytes are from the blob's object.
    used_object: bool,
    room: Option<Reservation>,
    has_right: bool,
    ways: Ways,
    resume: Resume,
}

/// How a download ended, when it did not fail.
enum Downloaded {
    Whole(Spool),
    /// There is no room for it, and nobody has got a byte yet.
    NoRoom(Spool),
    /// Room ended on the way.
    Full(Spool),
    /// Another replica has it, and nothing proves yet that it may be seen.
    NeedsRight(Spool),
}

impl Drop for Leader {
    /// Whatever ends a fill early (shutdown, a panic), its tails are told.
    fn drop(&mut self) {
        self.end.send_if_modified(|end| {
            let running = matches!(end, End::Running);
            if running {
                *end = End::Failed(FillError::Shutdown);
            }
            running
        });
    }
}

impl Leader {
    fn new(permit: Permit, request: FillRequest, has_right: bool) -> Self {
        let total = request.size_bytes;
        let ways = Ways::new(&permit.fills.inner);
        Self {
            permit,
            request,
            end: watch::Sender::new(End::Running),
            total,
            streaming: false,
            first_place: 0,
            used_object: false,
            room: None,
            has_right,
            ways,
            resume: Resume::default(),
        }
    }

    async fn lead(mut self) {
        let started = Instant::now();
        let _turn = match self.permit.fills.fill_turn().await {
            Ok(turn) => turn,
            Err(error) => return self.fail(error),
        };
        match self.is_stored().await {
            Ok(false) => {}
            Ok(true) => return self.step_aside(),
            Err(error) => return self.fail(error.into()),
        }
        let store = &self.permit.fills.inner.store;
        let spool = match store.spool(&self.request.digest).await {
            Ok(spool) => spool,
            Err(StoreError::NoSpace { .. }) => return self.turn_away(),
            Err(error) => return self.fail(error.into()),
        };
        let tail = self.tail(&spool);
        match self.download(spool, &tail).await {
            Ok(Downloaded::Whole(spool)) => self.keep(spool, tail, started).await,
            Ok(Downloaded::NoRoom(spool)) => {
                forget_empty(spool).await;
                self.turn_away();
            }
            Ok(Downloaded::Full(spool)) => self.hand_over(spool).await,
            Ok(Downloaded::NeedsRight(spool)) => {
                forget_empty(spool).await;
                self.permit.close();
                self.permit.phase.send_replace(Phase::NeedsRight);
            }
            Err(error) => self.fail(error),
        }
    }

    /// The fill before this one may have ended after the caller had looked for its blob.
    async fn is_stored(&self) -> Result<bool, StoreError> {
        let store = &self.permit.fills.inner.store;
        Ok(store.get(&self.request.digest).await?.is_some())
    }

    fn step_aside(mut self) {
        self.permit.close();
        self.permit.phase.send_replace(Phase::Stored);
    }

    /// Nobody gets a byte from here: who waits asks for itself.
    fn turn_away(mut self) {
        tracing::info!(digest = %self.request.digest, repository = %self.request.repository, "there is no room for a blob; it is passed on");
        self.permit.close();
        self.permit.phase.send_replace(Phase::NoRoom);
    }

    /// Fetches until every byte has come.
    async fn download(&mut self, mut spool: Spool, tail: &Tail) -> Result<Downloaded, FillError> {
        if self.total.is_some() && !self.admit(&spool).await? {
            return Ok(Downloaded::NoRoom(spool));
        }
        let mut patience = ProgressClock::new(self.request.origin.retry_for());
        let wrong_before = self
            .permit
            .fills
            .inner
            .wrong_content
            .get(&self.request.digest);
        self.first_place = wrong_before.await.unwrap_or(0);
        loop {
            let before = spool.received();
            if before > 0 && self.total == Some(before) {
                // Whole, from a process that ended before its name was on disk: there is nothing to ask for.
                return Ok(Downloaded::Whole(spool));
            }
            let seen = Seen {
                from: before,
                ask_from: self.resume.ask_from(before),
                first_place: self.first_place,
                has_right: self.has_right || self.streaming,
            };
            let broken = match Box::pin(self.ways.open(&self.request, seen)).await {
                Ok(Found::NeedsRight) => return Ok(Downloaded::NeedsRight(spool)),
                Ok(Found::Here(opened)) => match self.receive(spool, *opened, tail).await? {
                    ControlFlow::Break(downloaded) => return Ok(downloaded),
                    ControlFlow::Continue((kept, error)) => {
                        spool = kept;
                        error
                    }
                },
                Err(error) => {
                    let is_whole = || spool.is_whole();
                    match self.resume.failed(&error, before, self.total, is_whole) {
                        Refused::End => return Ok(Downloaded::Whole(spool)),
                        Refused::AskForAll => continue,
                        Refused::No if !self.streaming => {
                            forget_empty(spool).await;
                            return Err(error.into());
                        }
                        Refused::AskAgain | Refused::No => error,
                    }
                }
            };
            self.ways.broke(&broken);
            patience
                .wait_or_give_up(broken, spool.received() > before, &self.request)
                .await?;
        }
    }

    /// Takes what an opened source gives, until it breaks or there is nothing more to be had from it.
    async fn receive(
        &mut self,
        spool: Spool,
        opened: Opened,
        tail: &Tail,
    ) -> Result<ControlFlow<Downloaded, (Spool, OriginError)>, FillError> {
        let before = spool.received();
        let total = opened.total_bytes.filter(|_| !self.streaming);
        self.total = self.total.or(total);
        if self.room.is_none() && !self.admit(&spool).await? {
            return Ok(ControlFlow::Break(Downloaded::NoRoom(spool)));
        }
        if !self.streaming {
            // The first answer has told the length; from now on clients are served.
            self.stream_from(tail);
        }
        if let Some(place) = opened.place {
            self.used_object |= self.request.origin.object_at(place).is_some();
            self.first_place = place + 1;
        }
        let mut source = Source::new(opened, before, self.total, &self.request);
        let room = self.room.as_mut().expect("just admitted");
        let (spool, pumped) = pump(spool, &mut source, &tail.window, room).await?;
        room.wrote(spool.written());
        Ok(match pumped {
            Pumped::Complete => ControlFlow::Break(Downloaded::Whole(spool)),
            Pumped::Full { whole } => {
                if whole {
                    self.total = Some(spool.received());
                }
                ControlFlow::Break(Downloaded::Full(spool))
            }
            // More was announced than there is.
            Pumped::Broken(_) if spool.is_whole() => ControlFlow::Break(Downloaded::Whole(spool)),
            Pumped::Broken(error) => {
                let caught_up = source.is_past_what_was_here();
                self.resume.broke(before, spool.received(), caught_up);
                ControlFlow::Continue((spool, error))
            }
        })
    }

    /// Is there room for all of it or, without a length, for its beginning?
    async fn admit(&mut self, spool: &Spool) -> Result<bool, FillError> {
        let bytes = self.total.unwrap_or(spool.received() + STEP_BYTES);
        let space = &self.permit.fills.inner.space;
        let project = self.request.repository.first();
        self.room = space.reserve(project, bytes, spool.received()).await?;
        Ok(self.room.is_some())
    }

    /// What clients will read, once a length is known or it is known that none will be.
    fn tail(&self, spool: &Spool) -> Tail {
        let budget = Arc::clone(&self.permit.fills.inner.window_budget);
        Tail {
            file: spool.file(),
            window: Arc::new(Window::new(spool.received(), budget)),
            end: self.end.subscribe(),
            total: None,
            clients: self.permit.clients.clone(),
        }
    }

    fn stream_from(&mut self, tail: &Tail) {
        self.streaming = true;
        let total = self.total;
        let tail = Tail {
            total,
            ..tail.clone()
        };
        self.permit.phase.send_replace(Phase::Streaming(tail));
    }
}

/// Any client can ask for any digest: what the remote does not have leaves no file behind.
async fn forget_empty(spool: Spool) {
    if spool.received() == 0
        && let Err(error) = spool.discard().await
    {
        tracing::warn!(%error, "cannot delete an empty spool");
    }
}
