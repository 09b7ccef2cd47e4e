//! What can be changed while the server runs: remotes, projects and repositories' visibilities, kept as rows beside what
//! the configuration file declares. Layer 3: called by the HTTP edges; reads and writes rows (`meta`), and puts what there
//! is then into the live lists (`access::Projects`, `client::Remotes`) and budgets (`transfer::Space`).
//!
//! A change is checked against everything else before it is written, one at a time. Other replicas notice it by
//! `revision` rows.

mod error;
mod expiry;
mod projects;
mod remotes;
mod repositories;

pub use error::SettingsError;
pub use projects::{KnownProject, ManagedBy};
pub use remotes::{GivenSecrets, KnownRemote, SECRET_MEMBERS};

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    access::{ProjectSet, Projects, SecretKey},
    client::Remotes,
    config::{ConfigError, Declared, Registries, Rows},
    meta::{Meta, MetaError, ProjectRow, RemoteRow},
    telemetry::Metrics,
    transfer::Space,
};

/// How often changes of other replicas are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What [`Settings`] are made of.
pub struct Parts {
    pub declared: Declared,
    pub meta: Meta,
    pub projects: Projects,
    pub remotes: Remotes,
    pub space: Space,
    /// Seals the remotes' secrets.
    pub key: Arc<SecretKey>,
    pub metrics: Metrics,
}

/// Changes what can be changed; cheap to clone.
#[derive(Clone)]
pub struct Settings {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    /// One change or look at a time; holds the revision that the lists are of.
    turn: Mutex<i64>,
}

/// All rows as they are.
struct Stored {
    revision: i64,
    remotes: Vec<RemoteRow>,
    projects: Vec<ProjectRow>,
}

impl Settings {
    /// With the lists as the file alone makes them; [`load`](Self::load) adds the rows.
    pub fn new(parts: Parts) -> Self {
        let turn = Mutex::new(-1);
        let inner = Arc::new(Inner { parts, turn });
        Self { inner }
    }

    /// Puts what the rows say now into the live lists.
    pub async fn load(&self) -> Result<(), SettingsError> {
        let mut revision = self.inner.turn.lock().await;
        *revision = self.inner.load().await?;
        Ok(())
    }

    /// Takes over what the file says by now of the bandwidths of its remotes.
    pub async fn follow_bandwidths(&self, newer: &Declared) -> Result<(), SettingsError> {
        let mut revision = self.inner.turn.lock().await;
        self.inner.parts.declared.follow_bandwidths(newer);
        *revision = self.inner.load().await?;
        Ok(())
    }

    /// Looks for changes of other replicas until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let turn = async || {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.run_once().await {
                warn!(%error, "cannot look for changed projects: {error}");
            }
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }

    /// Takes over what another replica has changed.
    pub async fn run_once(&self) -> Result<(), SettingsError> {
        let mut revision = self.inner.turn.lock().await;
        if self.inner.parts.meta.project_revision().await? != *revision {
            *revision = self.inner.load().await?;
            info!("projects and remotes are as another replica has changed them");
        }
        Ok(())
    }
}

impl Inner {
    /// Gives the revision that the lists are of.
    async fn load(&self) -> Result<i64, SettingsError> {
        let stored = self.stored().await?;
        let registries = self.registries(&stored)?;
        for refused in &registries.refused {
            let (name, error) = (&refused.name, &refused.error.problem);
            warn!(
                name,
                error, "`{name}`, which was set by the API, cannot be used: {error}"
            );
        }
        self.apply(registries).await?;
        Ok(stored.revision)
    }

    async fn stored(&self) -> Result<Stored, MetaError> {
        let meta = &self.parts.meta;
        Ok(Stored {
            // First: what changes from here on makes another one.
            revision: meta.project_revision().await?,
            remotes: meta.remotes().await?,
            projects: meta.projects().await?,
        })
    }

    /// The rows as the configuration reads them.
    fn rows(&self, stored: &Stored) -> Rows {
        let remotes = stored.remotes.iter();
        let remotes = remotes
            .map(|row| remotes::row(&row.name, &members(&row.members), self.credentials(row)));
        let projects = stored.projects.iter();
        let projects = projects.map(|row| projects::row(&row.name, &members(&row.members)));
        Rows {
            remotes: remotes.collect(),
            projects: projects.collect(),
        }
    }

    fn registries(&self, stored: &Stored) -> Result<Registries, ConfigError> {
        self.parts.declared.with(&self.rows(stored))
    }

    async fn apply(&self, registries: Registries) -> Result<(), MetaError> {
        let parts = &self.parts;
        let visibilities: HashMap<_, _> = parts
            .meta
            .repository_visibilities()
            .await?
            .into_iter()
            .collect();
        let limit = |project: &crate::config::Project| {
            let limit = project.max_bytes.filter(|_| project.is_mirror())?;
            Some((project.name.clone(), limit))
        };
        let limits = registries.projects.iter().filter_map(limit).collect();
        for (name, error) in parts.remotes.replace(&registries.remotes, &parts.metrics) {
            warn!(name, %error, "remote `{name}` cannot be used: {error}");
        }
        parts.space.set_project_limits(&limits);
        let set = ProjectSet::new(registries.projects, &registries.remotes);
        parts.projects.replace(set.with_visibilities(visibilities));
        Ok(())
    }
}

/// The object in a row. What is no object was not written by this server, and has no members.
fn members(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The rows that were used before and cannot be used any more.
fn newly_refused(before: &Registries, after: &Registries) -> Vec<String> {
    let was_refused = |name: &String| before.refused.iter().any(|refused| refused.name == *name);
    let names = after.refused.iter().map(|refused| refused.name.clone());
    names.filter(|name| !was_refused(name)).collect()
}
