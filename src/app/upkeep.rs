//! The background work of upkeep, made of what the configuration says.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, ProjectKind},
    meta::Meta,
    store::Store,
    transfer::{Fills, Limits},
    upkeep::{Collector, Evictor, Leftovers, LocalTier, Uploader, evict, uses},
};

/// What works by itself.
pub(super) struct Upkeep {
    tier: Option<TierUpkeep>,
    evictor: Evictor,
    leftovers: Leftovers,
    meta: Meta,
}

/// What may be kept.
pub(super) fn limits(config: &Config) -> Limits {
    let budget =
        |project: &crate::config::Project| Some((project.name.clone(), project.max_bytes?));
    Limits {
        max_bytes: config.storage.max_bytes,
        projects: config.projects.iter().filter_map(budget).collect(),
        free_floor_bytes: config.storage.free_floor_bytes,
    }
}

impl Upkeep {
    pub(super) fn new(config: &Config, store: Store, meta: &Meta, fills: &Fills) -> Self {
        let hosted = config
            .projects
            .iter()
            .filter(|project| project.kind == ProjectKind::Hosted);
        let tier = TierUpkeep::new(config, &store, meta, fills);
        Self {
            evictor: Evictor::new(evict::Parts {
                meta: meta.clone(),
                fills: fills.clone(),
                hosted: hosted.map(|project| project.name.clone()).collect(),
                orphan_grace: config.upkeep.orphan_grace,
                local: tier.as_ref().map(|tier| tier.local.clone()),
            }),
            tier,
            leftovers: Leftovers {
                store,
                meta: meta.clone(),
                fills: fills.clone(),
                spool_max_age: config.storage.spool_max_age,
            },
            meta: meta.clone(),
        }
    }

    pub(super) fn evictor(&self) -> Evictor {
        self.evictor.clone()
    }

    /// Each part is a task that ends with the shutdown.
    pub(super) fn start(self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        tasks.spawn(self.leftovers.run(shutdown.clone()));
        tasks.spawn(self.evictor.run(shutdown.clone()));
        tasks.spawn(uses::run(self.meta, shutdown.clone()));
        if let Some(tier) = self.tier {
            tasks.spawn(tier.uploader.run(shutdown.clone()));
            tasks.spawn(tier.collector.run(shutdown.clone()));
            tasks.spawn(tier.local.run(shutdown.clone()));
        }
    }
}

/// What works by itself where content is in object storage, too.
struct TierUpkeep {
    uploader: Uploader,
    collector: Collector,
    local: LocalTier,
}

impl TierUpkeep {
    fn new(config: &Config, store: &Store, meta: &Meta, fills: &Fills) -> Option<Self> {
        let (tier, storage) = (fills.tier()?, config.storage.objects.as_ref()?);
        let (store, meta) = (store.clone(), meta.clone());
        Some(Self {
            uploader: Uploader::new(tier.clone(), meta.clone()),
            collector: Collector {
                objects: tier.objects().clone(),
                meta: meta.clone(),
                grace: config.upkeep.orphan_grace,
            },
            local: LocalTier::new(store, meta, tier.clone(), storage.local_max_bytes),
        })
    }
}
