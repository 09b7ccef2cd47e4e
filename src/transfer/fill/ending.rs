//! How a fill ends: its blob in place, wrong, handed over or failed. Its tails are told in each case.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    super::{FillError, Tail, inflight::Phase, passing::Handover, tail::End},
    Leader,
};
use crate::{
    store::{Placed, Spool, StoreError},
    telemetry::traces,
};

impl Leader {
    /// Verifies, lets the tails have the last bytes, and only then makes the blob durable and visible.
    pub(super) async fn keep(mut self, spool: Spool, tail: Tail, started: Instant) {
        let verified = match spool.verify().await {
            Ok(verified) => verified,
            Err(StoreError::Mismatch { .. }) => {
                return self.fail_wrong().await;
            }
            Err(error) => return self.fail(error.into()),
        };
        let len = verified.len();
        self.end.send_replace(End::Verified { len });
        if !self.streaming {
            // Everything was here from an earlier process, and nobody was told anything yet.
            self.stream_from(&tail);
        }
        match verified.commit().await {
            Ok(placed) => self.make_visible(placed, started).await,
            // Its clients have all of it.
            Err(error) => {
                tracing::error!(digest = %self.request.digest, %error, "cannot keep a blob that was fetched");
                self.permit.fills.inner.space.press();
            }
        }
        // Not before: readers that keep up are at the last few mebibytes, which may have gone around the page cache.
        tail.window.clear();
    }

    async fn make_visible(mut self, placed: Placed, started: Instant) {
        let len = placed.blob().len();
        let finished = self.permit.finish(len).await;
        let request = &self.request;
        if let Err(error) = &finished {
            tracing::error!(digest = %request.digest, %error, "cannot write the rows of a blob that was fetched");
        }
        if !matches!(finished, Ok(true)) {
            let (fills, room) = (&self.permit.fills, self.room.take());
            return fills.take_back(&request.digest, placed, room).await;
        }
        placed.settle().await;
        if let Some(tier) = self.permit.fills.tier() {
            tier.arrived(&request.digest, len).await;
        }
        match self.room.take() {
            // It counted before it came back.
            Some(room) if self.used_object => room.discard(),
            Some(room) => room.keep(len),
            None => {}
        }
        tracing::info!(
            digest = %request.digest,
            repository = %request.repository,
            remote = request.origin.name(),
            bytes = len,
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "filled a blob"
        );
        traces::end_work(Some(len), true);
    }

    /// All of it came, and its digest is wrong: its file is deleted.
    async fn fail_wrong(mut self) {
        if let Some(room) = self.room.take() {
            room.discard();
        }
        let (origin, digest) = (&self.request.origin, &self.request.digest);
        let wrong = &self.permit.fills.inner.wrong_content;
        wrong.insert(digest.clone(), self.first_place).await;
        if self.used_object
            && let Some(object) = origin.object_at(0)
        {
            object.suspect(digest).await;
        }
        let (remote, digest) = (origin.name().to_owned(), digest.to_string());
        self.fail(FillError::WrongContent { remote, digest });
    }

    /// What came is in the file or the window: the tails take that, and ask for the rest by themselves. The file loses
    /// its name, and its room is free once they have read it.
    pub(super) async fn hand_over(mut self, spool: Spool) {
        tracing::warn!(digest = %self.request.digest, repository = %self.request.repository, bytes = spool.received(), "room ended in the middle of a fill; each client goes on by itself");
        traces::end_work(Some(spool.received()), false);
        self.permit.close();
        let handover = Handover {
            fills: self.permit.fills.clone(),
            request: Arc::new(self.request.clone()),
            received: spool.received(),
            hasher: spool.hasher(),
            total: self.total,
        };
        self.end.send_replace(End::HandedOver(Arc::new(handover)));
        if let Err(error) = spool.discard().await {
            tracing::warn!(%error, "cannot delete a spool");
        }
        if let Some(room) = self.room.take() {
            room.discard();
        }
    }

    pub(super) fn fail(mut self, error: FillError) {
        tracing::warn!(
            digest = %self.request.digest,
            repository = %self.request.repository,
            remote = self.request.origin.name(),
            %error,
            "a fill failed"
        );
        traces::end_work(None, false);
        self.permit.close();
        self.end.send_replace(End::Failed(error.clone()));
        if !self.streaming {
            self.permit.phase.send_replace(Phase::Failed(error));
        }
    }
}
