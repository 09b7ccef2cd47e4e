//! The registry that the mirrors are filled from.

use std::net::SocketAddr;

use anyhow::Result;
use tempfile::TempDir;

use crate::Bench;
use crate::content::{Content, random_bytes};
use crate::daemon::Daemon;
use crate::pusher::{Pusher, Way};
use crate::server;

pub(crate) struct Remote {
    address: SocketAddr,
    _daemon: Daemon,
    _folder: TempDir,
}

impl Remote {
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let config = include_str!("config/hosting.yml");
        let folder = bench.new_folder()?;
        let (address, daemon) =
            server::start_registry(&bench.tools.distribution, folder.path(), config, None)?;
        Ok(Self {
            address,
            _daemon: daemon,
            _folder: folder,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pushes fresh random blobs, and waits until they are on the disk.
    pub(crate) fn push_blobs(&self, count: usize, bytes: usize) -> Result<Vec<Content>> {
        let blobs = (0..count)
            .map(|_| self.push_blob(&random_bytes(bytes)))
            .collect();
        rustix::fs::sync();
        blobs
    }

    pub(crate) fn push_blob(&self, body: &[u8]) -> Result<Content> {
        let blob = Content::blob(body);
        self.pusher().push_blob(&blob, body, Way::Put)?;
        Ok(blob)
    }

    pub(crate) fn pusher(&self) -> Pusher {
        Pusher::anonymous(self.address)
    }
}
