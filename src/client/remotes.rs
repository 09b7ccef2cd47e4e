//! The clients of all remotes: a list that changes while the server runs.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

use super::{RegistryClient, SetupError};
use crate::{config::Remote, telemetry::Metrics};

/// The clients as they are now; clones are one list.
#[derive(Clone)]
pub struct Remotes(Arc<ArcSwap<BTreeMap<String, RegistryClient>>>);

impl Remotes {
    /// Reads the files that the remotes name.
    pub fn new(remotes: &[Remote], metrics: &Metrics) -> Result<Self, SetupError> {
        let mut clients = BTreeMap::new();
        for remote in remotes {
            let client = RegistryClient::new(remote.clone(), metrics.clone())?;
            clients.insert(remote.name.clone(), client);
        }
        Ok(Self(Arc::new(ArcSwap::from_pointee(clients))))
    }

    /// From now on there are these. A client whose remote did not change stays, with its connections and what it learned;
    /// one that did keeps to the new limits together with what still runs as before. Gives those whose files cannot be read; they have no client.
    pub fn replace(&self, remotes: &[Remote], metrics: &Metrics) -> Vec<(String, SetupError)> {
        let before = self.0.load();
        let mut clients = BTreeMap::new();
        let mut failed = Vec::new();
        for remote in remotes {
            let client = match before.get(&remote.name) {
                Some(client) if client.remote() == remote => Ok(client.clone()),
                Some(client) => client.followed_by(remote.clone(), metrics.clone()),
                None => RegistryClient::new(remote.clone(), metrics.clone()),
            };
            match client {
                Ok(client) => drop(clients.insert(remote.name.clone(), client)),
                Err(error) => failed.push((remote.name.clone(), error)),
            }
        }
        self.0.store(Arc::new(clients));
        failed
    }

    /// The client of the remote of this name.
    pub fn get(&self, name: &str) -> Option<RegistryClient> {
        self.0.load().get(name).cloned()
    }

    /// All clients, by name.
    pub fn all(&self) -> Vec<RegistryClient> {
        self.0.load().values().cloned().collect()
    }
}
