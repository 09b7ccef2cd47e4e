//! Upload sessions (distribution-spec, "Pushing blobs"): started, appended to in order, finished by a digest.
//!
//! A session is a row; what has come of it is a file, whose length is where the next chunk begins. The row tells how much
//! of it is durable: so much outlives this process.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::{sync::SemaphorePermit, time::timeout};
use uuid::Uuid;

use super::{Chunk, PushError, Pushes, Repository, intake::Aim};
use crate::{
    meta::{BlobPush, UploadLimits, UploadRow},
    oci::{Algorithm, Digest},
    store::{StoreError, UploadFile, object::LEAST_PART_BYTES},
    transfer::ReconcileError,
};

/// Sessions that may be open: clients finish or cancel them, or they are forgotten after a day.
const LIMITS: UploadLimits = UploadLimits {
    all: 10_000,
    of_repository: 1_000,
};

/// How long a body waits for its turn.
const TURN: Duration = Duration::from_secs(10);

impl Pushes {
    /// Forgets what the processes before this one had not made durable of their sessions: to be done before any request.
    pub async fn recover(&self) -> Result<(), ReconcileError> {
        if self.inner.fills.tier().is_some() {
            // Object storage has what counts.
            return Ok(());
        }
        let (store, meta) = (&self.inner.store, &self.inner.meta);
        for id in store.uploads().await? {
            let durable = meta.upload_received(id).await?;
            store.upload_cut(id, durable.unwrap_or(0)).await?;
        }
        Ok(())
    }

    /// Begins a session; its content is hashed by `algorithm` while it comes.
    pub async fn start(
        &self,
        repository: &Repository,
        algorithm: Algorithm,
    ) -> Result<Uuid, PushError> {
        let id = Uuid::new_v4();
        let meta = &self.inner.meta;
        if meta
            .upload_start(id, &repository.name, algorithm, LIMITS)
            .await?
        {
            Ok(id)
        } else {
            Err(PushError::TooManyUploads)
        }
    }

    /// Chunks of so many bytes cost the least; smaller ones are taken, too. `None`: all cost the same.
    pub fn good_chunk_bytes(&self) -> Option<u64> {
        let tier = self.inner.fills.tier();
        // What does not make a part is written into the row of its session.
        tier.map(|_| LEAST_PART_BYTES)
    }

    /// Where the next chunk begins.
    pub async fn status(&self, repository: &Repository, id: Uuid) -> Result<u64, PushError> {
        let session = self.session(repository, id).await?;
        match self.inner.fills.tier() {
            Some(_) => Ok(session.received_bytes),
            None => Ok(self.inner.store.upload_length(id).await?),
        }
    }

    /// Forgets a session and what came of it.
    pub async fn cancel(&self, repository: &Repository, id: Uuid) -> Result<(), PushError> {
        if !self.inner.meta.upload_delete(id, &repository.name).await? {
            return Err(PushError::UploadUnknown);
        }
        // Who is sending to it right now finds the row gone.
        Ok(self.inner.store.upload_delete(id).await?)
    }

    /// Appends a chunk, or a stream of unknown length. Gives where the next one begins. What is left of the body is
    /// given back.
    pub async fn append<B>(
        &self,
        repository: &Repository,
        id: Uuid,
        chunk: Chunk,
        body: &mut B,
    ) -> Result<u64, PushError>
    where
        B: Body<Data = Bytes> + Default + Unpin + Send + 'static,
    {
        let (pushes, repository) = (self.clone(), repository.clone());
        let step = move |mut body: B| async move {
            let appended = pushes.append_here(&repository, id, chunk, &mut body).await;
            (appended, body)
        };
        self.detached(body, step).await
    }

    async fn append_here(
        &self,
        repository: &Repository,
        id: Uuid,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<u64, PushError> {
        let worker = self.inner.desks.sit_down(id).await?;
        // Only now: the request before may have ended it.
        let session = self.session(repository, id).await?;
        let store = &self.inner.store;
        let _turn = self.turn().await?;
        let aim = Aim {
            repository,
            digest: None,
            worker: &worker,
        };
        if let Some(tier) = self.inner.fills.tier() {
            return self.append_stored(tier, &aim, id, chunk, body).await;
        }
        let file = store.upload(id, session.algorithm).await?;
        let (file, outcome) = self.take_in(&aim, file, None, chunk, body).await?;
        let received = self.rest(repository, id, file).await?;
        outcome.map(|()| received)
    }

    /// Ends a step: what has come is durable, and its row says so. Gives how much that is.
    async fn rest(
        &self,
        repository: &Repository,
        id: Uuid,
        file: UploadFile,
    ) -> Result<u64, PushError> {
        let received = file.received();
        file.rest().await?;
        let (store, meta) = (&self.inner.store, &self.inner.meta);
        if !meta.upload_touch(id, &repository.name, received).await? {
            // Cancelled meanwhile.
            store.upload_delete(id).await?;
            return Err(PushError::UploadUnknown);
        }
        Ok(received)
    }

    /// Appends the last chunk, which may be empty, and makes the whole the blob of this digest.
    pub async fn finish<B>(
        &self,
        repository: &Repository,
        id: Uuid,
        digest: &Digest,
        chunk: Chunk,
        body: &mut B,
    ) -> Result<(), PushError>
    where
        B: Body<Data = Bytes> + Default + Unpin + Send + 'static,
    {
        let (pushes, repository, digest) = (self.clone(), repository.clone(), digest.clone());
        let step = move |mut body: B| async move {
            let finish = pushes.finish_here(&repository, id, &digest, chunk, &mut body);
            (finish.await, body)
        };
        self.detached(body, step).await
    }

    async fn finish_here(
        &self,
        repository: &Repository,
        id: Uuid,
        digest: &Digest,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<(), PushError> {
        let worker = self.inner.desks.sit_down(id).await?;
        self.session(repository, id).await?;
        let _turn = self.turn().await?;
        let aim = Aim {
            repository,
            digest: Some(digest),
            worker: &worker,
        };
        if let Some(tier) = self.inner.fills.tier() {
            return self
                .finish_stored(tier, &aim, digest, id, chunk, body)
                .await;
        }
        let file = self.inner.store.upload(id, digest.algorithm()).await?;
        let (file, outcome) = self.take_in(&aim, file, None, chunk, body).await?;
        if let Err(error) = outcome {
            self.rest(repository, id, file).await?;
            return Err(error);
        }
        self.complete(repository, Some(id), digest, file).await
    }

    /// Takes a whole blob in one request; there is no session to go on with.
    pub async fn push_blob<B>(
        &self,
        repository: &Repository,
        digest: &Digest,
        chunk: Chunk,
        body: &mut B,
    ) -> Result<(), PushError>
    where
        B: Body<Data = Bytes> + Default + Unpin + Send + 'static,
    {
        let (pushes, repository, digest) = (self.clone(), repository.clone(), digest.clone());
        let step = move |mut body: B| async move {
            let push = pushes.push_here(&repository, &digest, chunk, &mut body);
            (push.await, body)
        };
        self.detached(body, step).await
    }

    async fn push_here(
        &self,
        repository: &Repository,
        digest: &Digest,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<(), PushError> {
        if self.inner.fills.tier().is_some() {
            // The session remembers the object until the blob's row does.
            let id = self.start(repository, digest.algorithm()).await?;
            let pushed = self.finish_here(repository, id, digest, chunk, body).await;
            if pushed.is_err() {
                let meta = &self.inner.meta;
                meta.upload_delete(id, &repository.name).await?;
            }
            return pushed;
        }
        let (store, id) = (&self.inner.store, Uuid::new_v4());
        let worker = self.inner.desks.sit_down(id).await?;
        let _turn = self.turn().await?;
        let aim = Aim {
            repository,
            digest: Some(digest),
            worker: &worker,
        };
        let file = store.upload(id, digest.algorithm()).await?;
        let (file, outcome) = self.take_in(&aim, file, None, chunk, body).await?;
        let pushed = match outcome {
            Ok(()) => self.complete(repository, None, digest, file).await,
            Err(error) => {
                file.discard().await?;
                Err(error)
            }
        };
        if pushed.is_err() {
            store.upload_delete(id).await?;
        }
        pushed
    }

    /// Runs a step in a task of its own: when the client's connection breaks, what it has sent is still written, and
    /// what it has finished is not left half done.
    async fn detached<B, T, F>(
        &self,
        body: &mut B,
        step: impl FnOnce(B) -> F,
    ) -> Result<T, PushError>
    where
        B: Default + Send + 'static,
        T: Send + 'static,
        F: Future<Output = (Result<T, PushError>, B)> + Send + 'static,
    {
        let ended = self.inner.tasks.spawn(step(std::mem::take(body))).await;
        let (outcome, rest) =
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        *body = rest;
        outcome
    }

    async fn session(&self, repository: &Repository, id: Uuid) -> Result<UploadRow, PushError> {
        let session = self.inner.meta.upload(id, &repository.name).await?;
        session.ok_or(PushError::UploadUnknown)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, PushError> {
        match timeout(TURN, self.inner.receiving.acquire()).await {
            Ok(turn) => Ok(turn.expect("the semaphore is never closed")),
            Err(_elapsed) => Err(PushError::Busy),
        }
    }

    /// Verifies, places, writes the rows.
    async fn complete(
        &self,
        repository: &Repository,
        session: Option<Uuid>,
        digest: &Digest,
        file: UploadFile,
    ) -> Result<(), PushError> {
        let (meta, name) = (&self.inner.meta, &repository.name);
        let allowances = &self.inner.allowances;
        allowances.take(repository, digest, file.received()).await?;
        let placed = match file.commit(digest).await {
            Ok(placed) => placed,
            Err(error @ StoreError::Mismatch { .. }) => {
                // What came is wrong, and nothing more can make it right.
                if let Some(id) = session {
                    meta.upload_delete(id, name).await?;
                }
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        let bytes = placed.blob().len();
        let push = BlobPush {
            repository: name.clone(),
            digest: digest.clone(),
            size_bytes: bytes,
            upload: session,
            object: None,
        };
        match meta.blob_push(push).await {
            Ok(true) => {}
            Ok(false) => {
                self.take_back(digest, placed).await;
                return Err(PushError::UploadUnknown);
            }
            Err(error) => {
                self.take_back(digest, placed).await;
                return Err(error.into());
            }
        }
        self.settle(digest, placed).await?;
        tracing::info!(repository = %name, %digest, bytes, "a blob was pushed");
        Ok(())
    }
}
