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

    /// The client of the remote of this name.
    pub fn get(&self, name: &str) -> Option<RegistryClient> {
        self.0.load().get(name).cloned()
    }

    /// All clients, by name.
    pub fn all(&self) -> Vec<RegistryClient> {
        self.0.load().values().cloned().collect()
    }
}
