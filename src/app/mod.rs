//! The composition root: builds everything once, mounts and layers the routers, listens, drains. Layer 5.
//!
//! [`App::build`] opens what must be open, [`App::bind`] takes the addresses, [`Server::run`] serves until it is told to stop.

mod bandwidths;
mod connection;
mod entrance;
mod error;
mod exposition;
mod ground;
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
    bandwidths::Bandwidths,
    entrance::Entrance,
    ground::{Ground, certificates, objects},
    middleware::limit::RequestLimit,
    source::OwnSource,
    tls::Certificates,
    upkeep::Upkeep,
};
use crate::{
    access::{Accounts, Gate, Projects, Site},
    api,
    client::Remotes,
    cluster::Cluster,
    config::{Config, Secret},
    meta::Meta,
    mirror::Mirror,
    push::Pushes,
    replication::Replication,
    settings::Settings,
    telemetry::Metrics,
    transfer::{Fills, Space},
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
        let ground = Ground::open(&config).await?;
        let (meta, projects) = (&ground.meta, &ground.projects);
        let (tasks, shutdown) = (&ground.tasks, &ground.shutdown);
        let entrance = Entrance::open(&config, meta, projects, &ground.key).await?;
        if let Some(htpasswd) = entrance.htpasswd {
            tasks.spawn(htpasswd.run(shutdown.clone()));
        }

        let space = Space::new(ground.store.clone(), upkeep::limits(&config));
        let settings = ground.settings(&space).await?;
        let fills = ground.fills(space);
        let mirror = ground.mirror(&fills);
        let pushes = ground.pushes(&fills).await?;
        let own = OwnSource::new(projects, &mirror, &pushes, meta);
        let accounts = &entrance.accounts;
        let replication = rules::made(&config, &ground.remotes, &own, &settings, accounts);
        let everything = rules::start(&replication, own, &config, tasks, shutdown);
        let bandwidths = Bandwidths::new(&config, &settings, everything);
        tasks.spawn(bandwidths.run(shutdown.clone()));
        notify::start(&config, meta, &ground.metrics, tasks, shutdown).await?;
        let store = ground.store.clone();
        let scrubber = Scrubber::new(store.clone(), fills.clone(), DEFAULT_BYTES_PER_SECOND);
        let upkeep = Upkeep::new(&config, store, meta, &fills, projects);
        let (evictor, orphans, retainer) = (upkeep.evictor(), upkeep.orphans(), upkeep.retainer());
        upkeep.start(tasks, shutdown);
        ground.look_after();
        info!(projects = config.projects.len(), "mirror is ready");
        Ok(Self {
            gate: entrance.gate,
            accounts: entrance.accounts,
            limit: RequestLimit::new(&config.server),
            projects: ground.projects,
            settings,
            replication,
            mirror,
            pushes,
            fills,
            remotes: ground.remotes,
            cluster: ground.cluster,
            evictor,
            orphans,
            retainer,
            scrubber,
            meta: ground.meta,
            metrics: ground.metrics,
            certificates: ground.certificates,
            new_password: entrance.new_password,
            started_at: SystemTime::now(),
            leaving: CancellationToken::new(),
            shutdown: ground.shutdown,
            tasks: ground.tasks,
            config,
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
