//! Eviction: whole images, the least recently used first, until budgets and free space are kept.
//!
//! Woken by fills (`transfer/space.rs`), and every minute. It works in small steps, one image each, and rests as long as
//! each step took, so that pulls do not notice it. What is pinned, seeded, or waits for a running fill stays.

mod room;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    LocalTier,
    demand::{Evicted, Scope},
    leftovers::{Leftovers, delete_gone},
    rest::rest,
};
use crate::{
    access::Projects,
    cluster::Claim,
    meta::{Counted, Meta},
    transfer::{Fills, ReconcileError, Space, Standing},
};

const EVERY: Duration = Duration::from_mins(1);

/// Between two runs, however much room is wanted.
const REST: Duration = Duration::from_millis(100);

/// Between two sums of all rows.
const SUM_EVERY: Duration = Duration::from_mins(10);

/// After a run that found nothing more to evict, although room is wanted, at least: what waits for a fill may go soon.
const REST_IN_VAIN: Duration = Duration::from_secs(1);

/// So many times as long as such a run took, at most [`EVERY`]: with very many images that must stay it reads for long.
const REST_IN_VAIN_TIMES: u32 = 20;

/// Blobs whose sizes are summed at a time.
const SUM_PAGE: u32 = 1000;

/// A budget is exceeded when it is full, and kept when so much of it is free again.
const HEADROOM: u64 = 20;

/// What an [`Evictor`] is made of.
pub struct Parts {
    pub meta: Meta,
    pub fills: Fills,
    /// They tell whose content is not cached but kept.
    pub projects: Projects,
    /// What goes before any image.
    pub leftovers: Leftovers,
    /// How long a blob that no manifest names is kept under pressure.
    pub orphan_grace: Duration,
    /// With object storage: what makes room on the disk, where images need not go for that.
    pub local: Option<LocalTier>,
}

/// Keeps budgets and free space, never twice at once; cheap to clone.
#[derive(Clone)]
pub struct Evictor {
    inner: Arc<Inner>,
}

struct Inner {
    meta: Meta,
    fills: Fills,
    projects: Projects,
    leftovers: Leftovers,
    orphan_grace: Duration,
    running: Mutex<()>,
    local: Option<LocalTier>,
}

impl Evictor {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            meta,
            fills,
            projects,
            leftovers,
            orphan_grace,
            local,
        } = parts;
        Self {
            inner: Arc::new(Inner {
                meta,
                fills,
                projects,
                leftovers,
                orphan_grace,
                local,
                running: Mutex::default(),
            }),
        }
    }

    /// Evicts until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut measured: Option<Instant> = None;
        let mut in_vain = false;
        let mut turn = async || {
            // From the first sum on what fills add is counted; later ones see what other replicas added.
            if measured.is_none_or(|then| then.elapsed() > SUM_EVERY) {
                measured = Some(Instant::now());
                self.inner.measure_all().await;
            }
            let begun = Instant::now();
            let evicted = self.run_once().await;
            if evicted.in_vain && !in_vain {
                tracing::warn!("room is wanted, and nothing more may be evicted");
            }
            in_vain = evicted.in_vain;
            if in_vain {
                let rest = begun.elapsed().saturating_mul(REST_IN_VAIN_TIMES);
                tokio::time::sleep(rest.clamp(REST_IN_VAIN, EVERY)).await;
            } else if evicted.unfinished {
                tokio::time::sleep(REST_IN_VAIN).await;
            } else {
                tokio::time::sleep(REST).await;
                // Until room is wanted.
                let _ = tokio::time::timeout(EVERY, self.inner.space().pressed()).await;
            }
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }

    /// Evicts what is too much now; waits for a run that is under way. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> Evicted {
        let _alone = self.inner.running.lock().await;
        let evicted = self.inner.evict_at_any_price().await;
        let Evicted {
            images,
            blobs,
            bytes,
            ..
        } = evicted;
        if images + blobs > 0 {
            tracing::info!(images, blobs, bytes, "evicted {images} images");
        }
        evicted
    }
}

impl Inner {
    /// Evicts with what room there is to write rows; without any, with the room that was set aside.
    async fn evict_at_any_price(&self) -> Evicted {
        let mut evicted = self.evict().await;
        if evicted.is_err() && matches!(self.space().spend_reserve().await, Ok(true)) {
            evicted = self.evict().await;
        }
        match evicted {
            Ok(evicted) => {
                // On a disk that is still full the next run tries again.
                if let Err(error) = self.space().keep_reserve().await {
                    tracing::debug!(%error, "no room can be set aside: {error}");
                }
                evicted
            }
            Err(error) => {
                tracing::warn!(%error, "cannot evict: {error}");
                Evicted {
                    in_vain: true,
                    ..Evicted::default()
                }
            }
        }
    }

    async fn evict(&self) -> Result<Evicted, ReconcileError> {
        let mut evicted = Evicted::default();
        for (project, _) in self.space().project_standings() {
            evicted.add(self.keep_budget(Some(&project)).await?);
        }
        let left = || self.space().standing().left > 0;
        if left() {
            self.leftovers.sweep_old().await;
        }
        let mut all = self.keep_all().await?;
        if all.in_vain && left() {
            // Else nothing could be kept until they are old.
            self.leftovers.sweep(Duration::ZERO).await;
            all.in_vain = false;
            all.add(self.keep_all().await?);
        }
        evicted.add(all);
        evicted.unfinished |= !delete_gone(&self.fills, &self.meta).await?;
        Ok(evicted)
    }

    async fn keep_all(&self) -> Result<Evicted, ReconcileError> {
        let mut evicted = self.keep_budget(None).await?;
        evicted.add(self.keep_floor().await?);
        Ok(evicted)
    }

    /// Looks closer at a budget that may be exceeded, and makes room in it.
    async fn keep_budget(&self, project: Option<&str>) -> Result<Evicted, ReconcileError> {
        let Some(standing) = self.standing(project) else {
            return Ok(Evicted::default());
        };
        let Standing { limit, left, .. } = standing;
        // Of replicas that all see it one evicts, or each would evict as much.
        let claim = match self.fills.cluster() {
            Some(cluster) if standing.is_exceeded() => Some(cluster.claim("eviction", None).await?),
            _ => None,
        };
        let missing = match &claim {
            _ if !standing.is_exceeded() => 0,
            Some(Claim::Other { .. }) => {
                return Ok(Evicted {
                    unfinished: true,
                    ..Evicted::default()
                });
            }
            Some(Claim::Mine(_)) | None => {
                let cached = self.measure(project).await?;
                cached.saturating_add(left).saturating_sub(limit)
            }
        };
        if missing == 0 {
            self.space().set_stuck(project, false);
            return Ok(Evicted::default());
        }
        let scope = project.map_or(Scope::All, Scope::Project);
        let evicted = self.make_room(scope, missing + limit / HEADROOM).await?;
        self.space().set_stuck(project, evicted.in_vain);
        Ok(evicted)
    }

    async fn keep_floor(&self) -> Result<Evicted, ReconcileError> {
        let missing = self.space().missing_on_disk().await?;
        let evicted = match &self.local {
            _ if missing == 0 => Evicted::default(),
            None => self.make_room(Scope::Disk, missing).await?,
            Some(local) => Evicted {
                in_vain: local.make_room(missing).await? < missing,
                ..Evicted::default()
            },
        };
        self.space().forget_wanted();
        Ok(evicted)
    }

    /// `None`: the project has no budget any more.
    fn standing(&self, project: Option<&str>) -> Option<Standing> {
        let Some(project) = project else {
            return Some(self.space().standing());
        };
        let mut standings = self.space().project_standings().into_iter();
        let found = standings.find(|(name, _)| name == project);
        found.map(|(_, standing)| standing)
    }

    async fn measure_all(&self) {
        let _alone = self.running.lock().await;
        let projects = self.space().project_standings();
        let projects = projects.iter().map(|(project, _)| Some(project.as_str()));
        for project in projects.chain([None]) {
            if let Err(error) = self.measure(project).await {
                tracing::warn!(%error, "cannot measure what is cached: {error}");
            }
        }
    }

    /// Reads the sizes of all rows that count in a budget; their sum in bytes.
    async fn measure(&self, project: Option<&str>) -> Result<u64, ReconcileError> {
        let projects = self.projects.now();
        let hosted: Vec<&str> = projects.hosted().collect();
        let counted = match &project {
            Some(project) => Counted::Of(std::slice::from_ref(project)),
            None => Counted::Without(&hosted),
        };
        self.space().measuring(project);
        let mut bytes = 0;
        let mut last = None;
        loop {
            let started = Instant::now();
            let page = self.meta.usage_page(counted, last.as_ref(), SUM_PAGE);
            let Some(page) = page.await? else { break };
            bytes += page.bytes;
            last = Some(page.last);
            rest(started).await;
        }
        self.space().measured(project, bytes);
        Ok(bytes)
    }

    fn space(&self) -> &Space {
        self.fills.space()
    }
}
