//! Deletes objects that no row names: of content that was evicted or deleted, of uploads that nobody ended. Not at once:
//! another replica may be reading.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use tokio_util::sync::CancellationToken;

use crate::{
    meta::{Garbage, Meta},
    store::{ObjectId, Objects},
    transfer::TierError,
};

const EVERY: Duration = Duration::from_mins(5);
const PAGE: u32 = 100;
/// How often the bucket is listed for objects that no row knows of.
const LIST_EVERY: Duration = Duration::from_hours(24);
/// Younger ones may be on their way into a row that is not here yet.
const STRAY_AGE: Duration = Duration::from_hours(24);
/// Between two objects of the list: it is in no hurry.
const LIST_PAUSE: Duration = Duration::from_millis(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct Collector {
    pub objects: Objects,
    pub meta: Meta,
    /// How long an object stays when no row names it any more.
    pub grace: Duration,
}

impl Collector {
    /// Deletes until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let lists = self.clone().list_from_time_to_time(shutdown.clone());
        tokio::join!(self.collect_from_time_to_time(shutdown), lists);
    }

    async fn collect_from_time_to_time(self, shutdown: CancellationToken) {
        loop {
            if shutdown
                .run_until_cancelled(self.run_once())
                .await
                .is_none()
            {
                return;
            }
            let pause = tokio::time::sleep(EVERY);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// The first list comes after a while: not each start of each replica lists the bucket.
    async fn list_from_time_to_time(self, shutdown: CancellationToken) {
        loop {
            let pause = tokio::time::sleep(LIST_EVERY);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
            if shutdown
                .run_until_cancelled(self.find_strays(STRAY_AGE))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Deletes what has been garbage for long enough; how many. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> u64 {
        let mut deleted = 0;
        if let Err(error) = self.collect(&mut deleted).await {
            tracing::warn!(%error, "cannot delete from object storage: {error}");
        }
        if deleted > 0 {
            tracing::info!(count = deleted, "deleted {deleted} objects");
        }
        deleted
    }

    async fn collect(&self, deleted: &mut u64) -> Result<(), TierError> {
        let Some(until) = SystemTime::now().checked_sub(self.grace) else {
            return Ok(());
        };
        loop {
            let due = self.meta.garbage_due(until, PAGE).await?;
            if due.is_empty() {
                return Ok(());
            }
            for Garbage { object, multipart } in due {
                let id = ObjectId::from(object);
                if let Some(multipart) = multipart {
                    self.objects.abort(id, &multipart).await?;
                }
                self.objects.delete(id).await?;
                self.meta.garbage_forget(object).await?;
                *deleted += 1;
            }
        }
    }

    /// Makes garbage of objects that no row knows of and that are older than this; how many. May be dropped.
    pub async fn find_strays(&self, age: Duration) -> u64 {
        let mut found = 0;
        if let Err(error) = self.look_for_strays(age, &mut found).await {
            tracing::warn!(%error, "cannot list object storage: {error}");
        }
        if found > 0 {
            tracing::warn!(count = found, "found {found} objects that no row knows of");
        }
        found
    }

    async fn look_for_strays(&self, age: Duration, found: &mut u64) -> Result<(), TierError> {
        let now = SystemTime::now();
        let mut listed = std::pin::pin!(self.objects.list());
        while let Some(object) = listed.try_next().await? {
            let is_old = now
                .duration_since(object.modified)
                .is_ok_and(|old| old >= age);
            if is_old && !self.meta.object_known(object.id.into()).await? {
                let (id, size) = (object.id.into(), object.size_bytes);
                self.meta.upload_begin(id, size, now).await?;
                *found += 1;
            }
            tokio::time::sleep(LIST_PAUSE).await;
        }
        Ok(())
    }
}
