//! The composition root: builds everything once, mounts and layers the routers, listens, drains. Layer 5.
//!
//! [`App::build`] opens what must be open, [`App::bind`] takes the addresses, [`Server::run`] serves until it is told to stop.

mod bandwidths;
mod connection;
mod entrance;
mod error;
mod home;
mod listener;
mod middleware;
mod notify;
mod open_files;
mod progress;
mod replicas;
mod room;
mod router;
mod rules;
mod server;
mod shutdown;
mod sniff;
mod source;
mod status;
mod stream;
mod tls;
mod upkeep;

#[cfg(test)]
mod tests;

pub use error::StartError;
pub use open_files::raise_open_files;
pub use server::Server;
pub use shutdown::stop_signal;

use std::{sync::Arc, time::SystemTime};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use self::{
    bandwidths::Bandwidths, entrance::Entrance, middleware::limit::RequestLimit, source::OwnSource,
    tls::Certificates, upkeep::Upkeep,
};
use crate::{
    access::{Accounts, Gate, ProjectSet, Projects, SecretKey, Site},
    api,
    client::Remotes,
    cluster::Cluster,
    config::{Config, Database, Secret},
    meta::Meta,
    mirror::{self, Mirror},
    push::{self, Pushes},
    replication::Replication,
    settings::{self, Settings},
    store::{Objects, Store},
    telemetry::Metrics,
    transfer::{self, Fills, Space, Tier},
    upkeep::{Evictor, Orphans, Retainer, Scrubber, scrub::DEFAULT_BYTES_PER_SECOND},
};

/// All long-lived handles.
pub struct App {
    config: Config,
    projects: Projects,
    settings: Settings,
    replication: Replication,
    gate: Arc<Gate>,
    accounts: Accounts,
    mirror: Mirror,
    pushes: Pushes,
    fills: Fills,
    remotes: Remotes,
    /// The other replicas, if there are any.
    cluster: Option<Cluster>,
    evictor: Evictor,
    orphans: Orphans,
    retainer: Retainer,
    scrubber: Scrubber,
    meta: Meta,
    metrics: Metrics,
    certificates: Option<Arc<Certificates>>,
    limit: RequestLimit,
    /// The admin's, when it was made just now.
    new_password: Option<Secret>,
    started_at: SystemTime,
    /// Ends what only listens.
    leaving: CancellationToken,
    /// Ends the background work.
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Reads the files that the configuration names; opens, binds and writes nothing.
    pub fn check(config: &Config) -> Result<(), StartError> {
        Remotes::new(&config.remotes, &Metrics::default())?;
        certificates(config)?;
        objects(config, &TaskTracker::new())?;
        notify::check(config)?;
        entrance::check(config)?;
        Ok(())
    }

    /// Opens store and database and starts the background work.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let metrics = Metrics::default();
        let remotes = Remotes::new(&config.remotes, &metrics)?;
        let certificates = certificates(&config)?;
        entrance::check(&config)?;
        info!(count = config.remotes.len(), "clients of remotes are ready");
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let objects = objects(&config, &tasks)?;

        let store = store(&config, objects.is_some()).await?;
        let key = Arc::new(secret_key(&config)?);
        let (meta, cluster) = replicas::open(&config).await?;
        let projects = projects(&config);
        let entrance = Entrance::open(&config, &meta, &projects, &key).await?;
        if let Some(htpasswd) = entrance.htpasswd {
            tasks.spawn(htpasswd.run(shutdown.clone()));
        }

        let tier = objects.map(|objects| tier(objects, &store, &meta, &metrics, cluster.as_ref()));
        let space = Space::new(store.clone(), upkeep::limits(&config));
        let settings = Settings::new(settings::Parts {
            declared: config.declared.clone(),
            meta: meta.clone(),
            projects: projects.clone(),
            remotes: remotes.clone(),
            space: space.clone(),
            key,
            metrics: metrics.clone(),
        });
        settings.load().await?;
        look_after(&config, &settings, &tasks, &shutdown);
        let fills = Fills::new(transfer::Parts {
            store: store.clone(),
            meta: meta.clone(),
            metrics: metrics.clone(),
            space,
            tier,
            cluster: cluster.clone(),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        });
        let mirror = Mirror::new(mirror::Parts {
            projects: projects.clone(),
            remotes: remotes.clone(),
            store: store.clone(),
            meta: meta.clone(),
            fills: fills.clone(),
            offline: config.offline,
            tasks: tasks.clone(),
        });
        let pushes = Pushes::new(push::Parts {
            store: store.clone(),
            meta: meta.clone(),
            fills: fills.clone(),
            orphan_grace: config.upkeep.orphan_grace,
            projects: projects.clone(),
            max_bytes: config.storage.max_bytes,
            tasks: tasks.clone(),
        });
        pushes.recover().await?;
        let own = OwnSource::new(&projects, &mirror, &pushes, &meta);
        let replication = rules::made(&config, &remotes, &own, &settings, &entrance.accounts);
        let everything = rules::start(&replication, own, &config, &tasks, &shutdown);
        let bandwidths = Bandwidths::new(&config, &settings, everything);
        tasks.spawn(bandwidths.run(shutdown.clone()));
        notify::start(&config, &meta, &metrics, &tasks, &shutdown).await?;
        let scrubber = Scrubber::new(store.clone(), fills.clone(), DEFAULT_BYTES_PER_SECOND);
        let upkeep = Upkeep::new(&config, store, &meta, &fills, &projects);
        let (evictor, orphans, retainer) = (upkeep.evictor(), upkeep.orphans(), upkeep.retainer());
        upkeep.start(&tasks, &shutdown);
        if let Some(cluster) = &cluster {
            replicas::start(cluster, &meta, &remotes, &tasks, &shutdown);
        }
        if let Some(certificates) = &certificates {
            tasks.spawn(Arc::clone(certificates).run(shutdown.clone()));
        }
        info!(projects = config.projects.len(), "mirror is ready");
        Ok(Self {
            gate: entrance.gate,
            accounts: entrance.accounts,
            limit: RequestLimit::new(&config.server),
            config,
            projects,
            settings,
            replication,
            mirror,
            pushes,
            fills,
            remotes,
            cluster,
            evictor,
            orphans,
            retainer,
            scrubber,
            meta,
            metrics,
            certificates,
            new_password: entrance.new_password,
            started_at: SystemTime::now(),
            leaving: CancellationToken::new(),
            shutdown,
            tasks,
        })
    }

    fn api_parts(&self) -> api::Parts {
        api::Parts {
            gate: Arc::clone(&self.gate),
            site: self.site(),
            accounts: self.accounts.clone(),
            mirror: self.mirror.clone(),
            pushes: self.pushes.clone(),
            settings: self.settings.clone(),
            replication: self.replication.clone(),
            projects: self.projects.clone(),
            fills: self.fills.clone(),
            remotes: self.remotes.clone(),
            meta: self.meta.clone(),
            metrics: self.metrics.clone(),
            storage: self.config.storage.clone(),
            database: self.config.database.clone(),
            evictor: self.evictor.clone(),
            orphans: self.orphans.clone(),
            retainer: self.retainer.clone(),
            scrubber: self.scrubber.clone(),
            started_at: self.started_at,
            leaving: self.leaving.clone(),
            shutdown: self.shutdown.clone(),
            tasks: self.tasks.clone(),
        }
    }

    fn site(&self) -> Site {
        let public_url = self.config.server.public_url.as_ref();
        Site {
            public_url: public_url.map(|url| url.origin().ascii_serialization()),
            is_tls: self.certificates.is_some(),
        }
    }
}

/// Credentials end, and other replicas change settings, too.
fn look_after(
    config: &Config,
    settings: &Settings,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    tasks.spawn(settings.clone().run_expiry(shutdown.clone()));
    if matches!(config.database, Database::Postgres(_)) {
        tasks.spawn(settings.clone().run(shutdown.clone()));
    }
}

fn objects(config: &Config, tasks: &TaskTracker) -> Result<Option<Objects>, StartError> {
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

fn projects(config: &Config) -> Projects {
    Projects::new(ProjectSet::new(config.projects.clone(), &config.remotes))
}

fn secret_key(config: &Config) -> Result<SecretKey, StartError> {
    Ok(SecretKey::open(
        &config.storage.path,
        config.secrets.key.as_ref(),
    )?)
}

fn tier(
    objects: Objects,
    store: &Store,
    meta: &Meta,
    metrics: &Metrics,
    cluster: Option<&Cluster>,
) -> Tier {
    Tier::new(transfer::TierParts {
        objects,
        store: store.clone(),
        meta: meta.clone(),
        metrics: metrics.clone(),
        cluster: cluster.cloned(),
    })
}

fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, StartError> {
    match &config.server.tls {
        Some(files) => Ok(Some(Arc::new(Certificates::load(files.clone())?))),
        None => Ok(None),
    }
}
