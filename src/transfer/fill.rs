//! The leader of a fill: one download of one blob, on behalf of everybody who waits for it.
//!
//! It is a task of its own: it outlives the client that asked, goes on over breaks of the remote at the byte where it
//! stopped, and gives up when no byte has come for `retry_for`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use super::{
    FillError, FillRequest, Tail,
    inflight::{Permit, Phase},
    progress::ProgressClock,
    tail::End,
    window::Window,
};
use crate::{
    client::{BlobStream, BlobStreamBody, ClientError, ErrorKind},
    store::{Spool, StoreError},
};

/// Runs one fill to its end.
pub(super) async fn run(permit: Permit, request: FillRequest) {
    let metrics = permit.fills.inner.metrics.clone();
    metrics.fills_running(1);
    let shutdown = permit.fills.inner.shutdown.clone();
    let leader = Leader::new(permit, request);
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
    /// The remote's URL to be asked first: the one after that which broke, or sent wrong content before. One that begins
    /// each time and never ends must not be all there is.
    first_url: usize,
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
    fn new(permit: Permit, request: FillRequest) -> Self {
        let total = request.size_bytes;
        Self {
            permit,
            request,
            end: watch::Sender::new(End::Running),
            total,
            streaming: false,
            first_url: 0,
        }
    }

    async fn lead(mut self) {
        let started = Instant::now();
        match self.is_stored().await {
            Ok(false) => {}
            Ok(true) => return self.step_aside(),
            Err(error) => return self.fail(error.into()),
        }
        let spool = match self
            .permit
            .fills
            .inner
            .store
            .spool(&self.request.digest)
            .await
        {
            Ok(spool) => spool,
            Err(error) => return self.fail(error.into()),
        };
        let tail = self.tail(&spool);
        match self.download(spool, &tail).await {
            Ok(spool) => self.keep(spool, tail, started).await,
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

    /// Fetches until every byte is in the spool.
    async fn download(&mut self, mut spool: Spool, tail: &Tail) -> Result<Spool, FillError> {
        let mut patience = ProgressClock::new(self.request.client.remote().retry_for);
        let wrong_before = self
            .permit
            .fills
            .inner
            .wrong_content
            .get(&self.request.digest);
        self.first_url = wrong_before.await.unwrap_or(0);
        loop {
            let before = spool.written();
            if before > 0 && self.total == Some(before) {
                // Whole, from a process that ended before its name was on disk: there is nothing to ask for.
                return Ok(spool);
            }
            let opened = self
                .request
                .client
                .blob_get(
                    &self.request.remote_name,
                    &self.request.digest,
                    before,
                    self.first_url,
                )
                .await;
            let broken = match opened {
                Ok(stream) => {
                    self.announce(tail, &stream);
                    self.first_url = stream.url + 1;
                    let source = Source::new(stream, before, self.total, &self.request);
                    let pumped;
                    (spool, pumped) = pump(spool, source, &tail.window).await?;
                    match pumped {
                        Pumped::Complete => return Ok(spool),
                        Pumped::Broken(error) => error,
                    }
                }
                // All bytes that the remote has are here, whatever length was announced: the digest decides.
                Err(error) if error.status == Some(416) && before > 0 => return Ok(spool),
                Err(error) if !self.streaming => {
                    forget_empty(spool).await;
                    return Err(error.into());
                }
                Err(error) => error,
            };
            patience
                .wait_or_give_up(broken, spool.written() > before, &self.request)
                .await?;
        }
    }

    /// The first answer of the remote tells the length; from now on clients are served.
    fn announce(&mut self, tail: &Tail, stream: &BlobStream) {
        if self.streaming {
            return;
        }
        self.total = self.total.or(stream.total_bytes);
        self.stream_from(tail);
    }

    /// What clients will read, once a length is known or it is known that none will be.
    fn tail(&self, spool: &Spool) -> Tail {
        let budget = Arc::clone(&self.permit.fills.inner.window_budget);
        Tail {
            file: spool.file(),
            window: Arc::new(Window::new(spool.written(), budget)),
            end: self.end.subscribe(),
            total: None,
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

    /// Verifies, lets the tails have the last bytes, and only then makes the blob durable and visible.
    async fn keep(mut self, spool: Spool, tail: Tail, started: Instant) {
        let verified = match spool.verify().await {
            Ok(verified) => verified,
            Err(StoreError::Mismatch { .. }) => {
                let wrong = &self.permit.fills.inner.wrong_content;
                wrong
                    .insert(self.request.digest.clone(), self.first_url)
                    .await;
                let remote = self.request.client.remote().name.clone();
                let digest = self.request.digest.to_string();
                return self.fail(FillError::WrongContent { remote, digest });
            }
            Err(error) => return self.fail(error.into()),
        };
        let len = verified.len();
        tail.window.clear();
        self.end.send_replace(End::Verified { len });
        if !self.streaming {
            // Everything was here from an earlier process, and nobody was told anything yet.
            self.stream_from(&tail);
        }
        if let Err(error) = verified.commit().await {
            tracing::error!(digest = %self.request.digest, %error, "cannot keep a blob that was fetched");
            return;
        }
        self.make_visible(len, started).await;
    }

    async fn make_visible(mut self, len: u64, started: Instant) {
        let finished = self.permit.finish(len).await;
        let request = &self.request;
        if let Err(error) = finished {
            tracing::error!(digest = %request.digest, %error, "cannot write the rows of a blob that was fetched");
            return;
        }
        tracing::info!(
            digest = %request.digest,
            repository = %request.repository,
            remote = request.client.remote().name,
            bytes = len,
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "filled a blob"
        );
    }

    fn fail(mut self, error: FillError) {
        tracing::warn!(
            digest = %self.request.digest,
            repository = %self.request.repository,
            remote = self.request.client.remote().name,
            %error,
            "a fill failed"
        );
        self.permit.close();
        self.end.send_replace(End::Failed(error.clone()));
        if !self.streaming {
            self.permit.phase.send_replace(Phase::Failed(error));
        }
    }
}

/// Any client can ask for any digest: what the remote does not have leaves no file behind.
async fn forget_empty(spool: Spool) {
    if spool.written() == 0
        && let Err(error) = spool.discard().await
    {
        tracing::warn!(%error, "cannot delete an empty spool");
    }
}

/// How one connection to the remote ended.
enum Pumped {
    Complete,
    Broken(ClientError),
}

/// Moves a body into the spool: one step is written and hashed on blocking threads while the next one is gathered.
/// Readers that keep up have the bytes from the window as soon as they come.
async fn pump(
    spool: Spool,
    mut source: Source,
    window: &Window,
) -> Result<(Spool, Pumped), FillError> {
    let in_file = spool.progress();
    let mut gathered = Vec::new();
    let mut gathered_bytes = 0;
    let mut ended = None;
    let mut idle = Some(spool);
    let mut writing = std::pin::pin!(None);
    loop {
        if !gathered.is_empty()
            && let Some(spool) = idle.take()
        {
            gathered_bytes = 0;
            writing.set(Some(spool.append(std::mem::take(&mut gathered))));
        }
        match (&ended, idle.take()) {
            (Some(_), Some(spool)) => return Ok((spool, ended.expect("just seen to be there"))),
            (_, spool) => idle = spool,
        }
        tokio::select! {
            chunk = source.next(), if ended.is_none() && gathered_bytes < window.room() => match chunk {
                Ok(Some(chunk)) => {
                    gathered_bytes += chunk.len();
                    window.push(chunk.clone(), *in_file.borrow());
                    gathered.push(chunk);
                }
                Ok(None) => ended = Some(Pumped::Complete),
                Err(error) => ended = Some(Pumped::Broken(error)),
            },
            written = async { writing.as_mut().as_pin_mut().expect("guarded by is_none").await },
                if idle.is_none() =>
            {
                writing.set(None);
                idle = Some(written?);
            }
        }
    }
}

/// A remote's body from the spool's offset on, never beyond the announced length.
struct Source {
    body: BlobStreamBody,
    /// Bytes that the spool has already, sent again by a remote that ignored the Range.
    skip: u64,
    /// Bytes still wanted; unknown without an announced length.
    wanted: Option<u64>,
    /// The remote's name, for errors.
    remote: Arc<str>,
}

impl Source {
    fn new(stream: BlobStream, written: u64, total: Option<u64>, request: &FillRequest) -> Self {
        Self {
            remote: request.client.remote().name.as_str().into(),
            skip: written.saturating_sub(stream.offset),
            wanted: total.map(|total| total.saturating_sub(written)),
            body: stream.body,
        }
    }

    /// `None` when every wanted byte has come.
    async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while self.wanted != Some(0) {
            let Some(chunk) = self.body.next().await else {
                return self.at_end();
            };
            let mut chunk = chunk?;
            let skipped = self.skip.min(chunk.len() as u64);
            self.skip -= skipped;
            let _ = chunk.split_to(usize::try_from(skipped).expect("at most the chunk's length"));
            if let Some(wanted) = &mut self.wanted {
                chunk.truncate(usize::try_from(*wanted).unwrap_or(usize::MAX));
                *wanted -= chunk.len() as u64;
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The remote says that this was all.
    fn at_end(&self) -> Result<Option<Bytes>, ClientError> {
        match self.wanted {
            None | Some(0) => Ok(None),
            Some(missing) => Err(ClientError {
                kind: ErrorKind::Unreachable,
                remote: self.remote.clone(),
                message: format!("the body ended {missing} bytes early"),
                status: None,
                retry_after: None,
            }),
        }
    }
}
