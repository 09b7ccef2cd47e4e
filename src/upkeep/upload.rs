//! Brings content into object storage, behind everybody's back: blobs whose rows name no object are the queue, so that a
//! restart loses nothing. Two at a time; their parts share the memory that the store allows.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    meta::Meta,
    oci::Digest,
    transfer::{Tier, TierError, Uploaded},
};

/// How often the queue is looked at, although nothing new came: another replica may have left something.
const EVERY: Duration = Duration::from_mins(1);
/// After an outage; doubled each time, up to `EVERY`.
const REST: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 2;
/// As many in one run are an outage.
const FAILURES: usize = 4;
const PAGE: u32 = 64;

/// What one run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uploads {
    pub blobs: u64,
    pub bytes: u64,
    /// Object storage does not take all, or nothing.
    pub outage: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Uploader {
    tier: Tier,
    meta: Meta,
    /// Where the run before gave up.
    resume: Arc<Mutex<Option<Digest>>>,
}

impl Uploader {
    pub fn new(tier: Tier, meta: Meta) -> Self {
        Self {
            tier,
            meta,
            resume: Arc::default(),
        }
    }

    /// Uploads until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut rest = REST;
        loop {
            let Some(done) = shutdown.run_until_cancelled(self.run_once()).await else {
                return;
            };
            let pause = async {
                if done.outage {
                    tokio::time::sleep(rest).await;
                } else {
                    // Until then, or until something comes.
                    let _ = tokio::time::timeout(EVERY, self.tier.arrival()).await;
                }
            };
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
            rest = if done.outage {
                (rest * 2).min(EVERY)
            } else {
                REST
            };
        }
    }

    /// Goes through the queue once, up to an outage. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> Uploads {
        let mut done = Uploads::default();
        if let Err(error) = self.upload_all(&mut done).await {
            tracing::warn!(%error, "cannot read what is to go into object storage: {error}");
            done.outage = true;
        }
        let Uploads { blobs, bytes, .. } = done;
        if blobs > 0 {
            tracing::info!(blobs, bytes, "brought {blobs} blobs into object storage");
        }
        done
    }

    async fn upload_all(&self, done: &mut Uploads) -> Result<(), TierError> {
        let mut failed = 0;
        let mut last = self.lock().take();
        loop {
            let page = self.meta.blobs_without_object(last.as_ref(), PAGE).await?;
            let Some((end, _)) = page.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            let uploads = page.into_iter().map(|(digest, _)| {
                let uploader = self.clone();
                async move { uploader.upload(&digest).await }
            });
            let mut uploads = stream::iter(uploads).buffer_unordered(AT_ONCE);
            while let Some(uploaded) = uploads.next().await {
                match uploaded {
                    Ok(bytes) => {
                        done.blobs += u64::from(bytes.is_some());
                        done.bytes += bytes.unwrap_or_default();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot bring a blob into object storage: {error}");
                        done.outage = true;
                        failed += 1;
                    }
                }
                if failed == FAILURES {
                    // What is first in the queue must not keep all that is behind it waiting for ever.
                    *self.lock() = last;
                    return Ok(());
                }
            }
        }
    }

    /// The bytes that went; an error that concerns this blob alone is told here.
    async fn upload(&self, digest: &Digest) -> Result<Option<u64>, TierError> {
        match self.tier.upload(digest).await {
            Ok(Uploaded::Done { bytes }) => Ok(Some(bytes)),
            Ok(Uploaded::NotHere | Uploaded::TooLate) => Ok(None),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                tracing::warn!(%digest, %error, "a blob's file is not fit for object storage: {error}");
                Ok(None)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Digest>> {
        // One value cannot be half changed.
        self.resume.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
