//! What is open before anything is made: files, rows, clients of remotes. And how settings and content are made of that.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use super::{StartError, entrance, replicas, tls::Certificates};
use crate::{
    access::{ProjectSet, Projects, SecretKey},
    client::Remotes,
    cluster::Cluster,
    config::{Config, Database},
    meta::Meta,
    mirror::{self, Mirror},
    push::{self, Pushes},
    settings::{self, Settings},
    store::{Objects, Store},
    telemetry::Metrics,
    transfer::{self, Fills, Space, Tier},
};

/// What is open.
pub(super) struct Ground<'c> {
    config: &'c Config,
    objects: Option<Objects>,
    pub(super) store: Store,
    pub(super) meta: Meta,
    pub(super) key: Arc<SecretKey>,
    pub(super) certificates: Option<Arc<Certificates>>,
    /// The other replicas, if there are any.
    pub(super) cluster: Option<Cluster>,
    pub(super) projects: Projects,
    pub(super) remotes: Remotes,
    pub(super) metrics: Metrics,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl<'c> Ground<'c> {
    pub(super) async fn open(config: &'c Config) -> Result<Self, StartError> {
        let metrics = Metrics::default();
        let remotes = Remotes::new(&config.remotes, &metrics)?;
        let certificates = certificates(config)?;
        entrance::check(config)?;
        info!(count = config.remotes.len(), "clients of remotes are ready");
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let objects = objects(config, &tasks)?;
        let store = store(config, objects.is_some()).await?;
        let key = SecretKey::open(&config.storage.path, config.secrets.key.as_ref())?;
        let (meta, cluster) = replicas::open(config).await?;
        let projects = ProjectSet::new(config.projects.clone(), &config.remotes);
        Ok(Self {
            config,
            objects,
            store,
            meta,
            key: Arc::new(key),
            certificates,
            cluster,
            projects: Projects::new(projects),
            remotes,
            metrics,
            shutdown,
            tasks,
        })
    }

    /// Follows what changes elsewhere: other replicas, and files of certificates.
    pub(super) fn look_after(&self) {
        let (tasks, shutdown) = (&self.tasks, &self.shutdown);
        if let Some(cluster) = &self.cluster {
            replicas::start(cluster, &self.meta, &self.remotes, tasks, shutdown);
        }
        if let Some(certificates) = &self.certificates {
            tasks.spawn(Arc::clone(certificates).run(shutdown.clone()));
        }
    }

    /// Takes over what rows say. Looks after them from then on: credentials end, and other replicas change settings, too.
    pub(super) async fn settings(&self, space: &Space) -> Result<Settings, StartError> {
        let settings = Settings::new(settings::Parts {
            declared: self.config.declared.clone(),
            meta: self.meta.clone(),
            projects: self.projects.clone(),
            remotes: self.remotes.clone(),
            space: space.clone(),
            key: Arc::clone(&self.key),
            metrics: self.metrics.clone(),
        });
        settings.load().await?;
        let shutdown = || self.shutdown.clone();
        self.tasks.spawn(settings.clone().run_expiry(shutdown()));
        if matches!(self.config.database, Database::Postgres(_)) {
            self.tasks.spawn(settings.clone().run(shutdown()));
        }
        Ok(settings)
    }

    pub(super) fn fills(&self, space: Space) -> Fills {
        let objects = self.objects.clone();
        Fills::new(transfer::Parts {
            store: self.store.clone(),
            meta: self.meta.clone(),
            metrics: self.metrics.clone(),
            space,
            tier: objects.map(|objects| self.tier(objects)),
            cluster: self.cluster.clone(),
            shutdown: self.shutdown.clone(),
            tasks: self.tasks.clone(),
        })
    }

    fn tier(&self, objects: Objects) -> Tier {
        Tier::new(transfer::TierParts {
            objects,
            store: self.store.clone(),
            meta: self.meta.clone(),
            metrics: self.metrics.clone(),
            cluster: self.cluster.clone(),
        })
    }

    pub(super) fn mirror(&self, fills: &Fills) -> Mirror {
        Mirror::new(mirror::Parts {
            projects: self.projects.clone(),
            remotes: self.remotes.clone(),
            store: self.store.clone(),
            meta: self.meta.clone(),
            fills: fills.clone(),
            offline: self.config.offline,
            tasks: self.tasks.clone(),
        })
    }

    /// With what an earlier process left.
    pub(super) async fn pushes(&self, fills: &Fills) -> Result<Pushes, StartError> {
        let pushes = Pushes::new(push::Parts {
            store: self.store.clone(),
            meta: self.meta.clone(),
            fills: fills.clone(),
            orphan_grace: self.config.upkeep.orphan_grace,
            projects: self.projects.clone(),
            max_bytes: self.config.storage.max_bytes,
            tasks: self.tasks.clone(),
        });
        pushes.recover().await?;
        Ok(pushes)
    }
}

pub(super) fn objects(config: &Config, tasks: &TaskTracker) -> Result<Option<Objects>, StartError> {
    let objects = config.storage.objects.as_ref();
    let objects = objects.map(|storage| Objects::new(storage, tasks.clone()));
    Ok(objects.transpose()?)
}

async fn store(config: &Config, has_objects: bool) -> Result<Store, StartError> {
    let store = Store::open(&config.storage.path).await?;
    info!(path = %config.storage.path.display(), "store is open");
    Ok(if has_objects {
        store.noting_uses()
    } else {
        store
    })
}

pub(super) fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, StartError> {
    match &config.server.tls {
        Some(files) => Ok(Some(Arc::new(Certificates::load(files.clone())?))),
        None => Ok(None),
    }
}
