//! The background work of upkeep, made of what the configuration says.

use std::collections::HashMap;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::Projects,
    config::Config,
    meta::Meta,
    store::Store,
    transfer::{Fills, Limits},
    upkeep::{
        Collector, Evictor, History, Leftovers, LocalTier, Orphans, Retainer, Uploader, evict,
        orphans, retain, uses,
    },
};

/// What works by itself.
pub(super) struct Upkeep {
    tier: Option<TierUpkeep>,
    evictor: Evictor,
    orphans: Orphans,
    retainer: Retainer,
    leftovers: Leftovers,
    history: History,
    meta: Meta,
}

/// What may be kept, but for the projects' own budgets.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        max_bytes: config.storage.max_bytes,
        projects: HashMap::new(),
        free_floor_bytes: config.storage.free_floor_bytes,
    }
}

impl Upkeep {
    pub(super) fn new(
        config: &Config,
        store: Store,
        meta: &Meta,
        fills: &Fills,
        projects: &Projects,
    ) -> Self {
        let tier = TierUpkeep::new(config, &store, meta, fills);
        let leftovers = Leftovers {
            store,
            meta: meta.clone(),
            fills: fills.clone(),
            spool_max_age: config.storage.spool_max_age,
        };
        Self {
            evictor: Evictor::new(evict::Parts {
                meta: meta.clone(),
                fills: fills.clone(),
                projects: projects.clone(),
                leftovers: leftovers.clone(),
                orphan_grace: config.upkeep.orphan_grace,
                local: tier.as_ref().map(|tier| tier.local.clone()),
            }),
            retainer: Retainer::new(retain::Parts {
                meta: meta.clone(),
                fills: fills.clone(),
                projects: projects.clone(),
            }),
            orphans: Orphans::new(orphans::Parts {
                meta: meta.clone(),
                fills: fills.clone(),
                projects: projects.clone(),
                grace: config.upkeep.orphan_grace,
                longest_push: config.storage.spool_max_age,
            }),
            history: History {
                meta: meta.clone(),
                keep: config.upkeep.keep,
            },
            tier,
            leftovers,
            meta: meta.clone(),
        }
    }

    pub(super) fn evictor(&self) -> Evictor {
        self.evictor.clone()
    }

    pub(super) fn orphans(&self) -> Orphans {
        self.orphans.clone()
    }

    pub(super) fn retainer(&self) -> Retainer {
        self.retainer.clone()
    }

    /// Each part is a task that ends with the shutdown.
    pub(super) fn start(self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        tasks.spawn(self.leftovers.run(shutdown.clone()));
        tasks.spawn(self.evictor.run(shutdown.clone()));
        tasks.spawn(self.orphans.run(shutdown.clone()));
        tasks.spawn(self.retainer.run(shutdown.clone()));
        tasks.spawn(self.history.run(shutdown.clone()));
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
