//! The registry that the mirrors are filled from.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Bench;
use crate::content::{Content, MANIFEST_TYPE, REPOSITORY, random_bytes};
use crate::daemon::Daemon;
use crate::http::Connection;
use crate::server;

pub(crate) struct Remote {
    address: SocketAddr,
    _daemon: Daemon,
    _folder: TempDir,
}

impl Remote {
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let config = include_str!("config/remote.yml");
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
        let mut connection = Connection::open(self.address)?;
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/");
        let begun = connection.send("POST", &path, "", b"")?;
        ensure!(
            begun.status() == 202,
            "the remote refuses an upload: {}",
            begun.status()
        );
        let location = begun
            .header("location")
            .context("an upload without a location")?;
        let target = format!("{location}&digest={}", blob.digest);

        let headers = "Content-Type: application/octet-stream\r\n";
        let done = connection.send("PUT", &target, headers, body)?;
        ensure!(
            done.status() == 201,
            "the remote refuses a blob: {}",
            done.status()
        );
        Ok(blob)
    }

    pub(crate) fn push_manifest(&self, body: &[u8], tag: &str) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        let path = format!("/v2/{REPOSITORY}/manifests/{tag}");
        let headers = format!("Content-Type: {MANIFEST_TYPE}\r\n");
        let done = connection.send("PUT", &path, &headers, body)?;
        ensure!(
            done.status() == 201,
            "the remote refuses a manifest: {}",
            done.status()
        );
        Ok(())
    }
}
