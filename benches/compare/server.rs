//! The servers that are compared, each with its settings in `config/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::Bench;
use crate::daemon::{Daemon, free_address};
use crate::tools::{Tools, command};

/// The path that a registry answers with 200 once it is up.
const BASE_PATH: &str = "/v2/";
/// The same of Entrepot, which may ask for a login there.
const READY_PATH: &str = "/readyz";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mirror {
    Entrepot,
    Distribution,
    DockerRegistry,
}

pub(crate) const NGINX: &str = "nginx";

/// A server that runs until this is dropped, with all that it stored.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) daemon: Daemon,
    folder: TempDir,
}

impl Server {
    /// Ends it, and leaves what it stored.
    pub(crate) fn stop(self) -> TempDir {
        drop(self.daemon);
        self.folder
    }
}

impl Mirror {
    pub(crate) const ALL: [Self; 3] = [Self::Entrepot, Self::Distribution, Self::DockerRegistry];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entrepot => "entrepot",
            Self::Distribution => "distribution",
            Self::DockerRegistry => "docker-registry",
        }
    }

    fn program(self, tools: &Tools) -> &Path {
        match self {
            Self::Entrepot => &tools.entrepot,
            Self::Distribution => &tools.distribution,
            Self::DockerRegistry => &tools.docker_registry,
        }
    }

    /// Starts it with an empty store, as a mirror of `remote`.
    pub(crate) fn start(self, bench: &Bench, remote: SocketAddr) -> Result<Server> {
        self.start_in(bench.new_folder()?, bench, remote)
    }

    /// Starts it with what is in the folder.
    pub(crate) fn start_in(
        self,
        folder: TempDir,
        bench: &Bench,
        remote: SocketAddr,
    ) -> Result<Server> {
        let program = self.program(&bench.tools);
        let config = match self {
            Self::Entrepot => return start_entrepot(folder, bench, remote, &|_| Vec::new()),
            Self::Distribution => include_str!("config/distribution.yml"),
            Self::DockerRegistry => include_str!("config/docker-registry.yml"),
        };
        let (address, daemon) = start_registry(program, folder.path(), config, Some(remote))?;
        Ok(Server {
            name: self.name(),
            address,
            daemon,
            folder,
        })
    }
}

impl Mirror {
    /// Starts it with an empty store, as a registry of its own.
    pub(crate) fn start_hosting(self, bench: &Bench) -> Result<Server> {
        let folder = bench.new_folder()?;
        if let Self::Entrepot = self {
            return start_entrepot_hosting(folder, bench);
        }
        let program = self.program(&bench.tools);
        let config = include_str!("config/hosting.yml");
        let (address, daemon) = start_registry(program, folder.path(), config, None)?;
        Ok(Server {
            name: self.name(),
            address,
            daemon,
            folder,
        })
    }
}

impl Bench {
    /// Starts all mirrors of the run, each with an empty store.
    pub(crate) fn start_mirrors(&self, remote: SocketAddr) -> Result<Vec<Server>> {
        self.mirrors
            .iter()
            .map(|mirror| mirror.start(self, remote))
            .collect()
    }

    /// A folder of its own for one server.
    pub(crate) fn new_folder(&self) -> Result<TempDir> {
        tempfile::tempdir_in(&self.folder).context("make a folder for a server")
    }
}

/// Starts a version of distribution; `remote` is what it mirrors.
pub(crate) fn start_registry(
    program: &Path,
    folder: &Path,
    config: &str,
    remote: Option<SocketAddr>,
) -> Result<(SocketAddr, Daemon)> {
    let address = free_address()?;
    let config = write_config(folder, "config.yml", config, address, remote)?;
    let mut serve = command(program, folder);
    serve.arg("serve").arg(config);
    let daemon = Daemon::start(&mut serve, &folder.join("log"), address, BASE_PATH)?;
    Ok((address, daemon))
}

/// Starts Entrepot with what is in the folder, and with further settings for its address, as
/// variables of the environment.
pub(crate) fn start_entrepot(
    folder: TempDir,
    bench: &Bench,
    remote: SocketAddr,
    settings: &dyn Fn(SocketAddr) -> Vec<(String, String)>,
) -> Result<Server> {
    let config = include_str!("config/entrepot.toml");
    serve_entrepot(folder, bench, config, Some(remote), settings)
}

/// Starts Entrepot as a registry of its own, with what is in the folder.
pub(crate) fn start_entrepot_hosting(folder: TempDir, bench: &Bench) -> Result<Server> {
    let config = include_str!("config/entrepot-hosting.toml");
    serve_entrepot(folder, bench, config, None, &|_| Vec::new())
}

fn serve_entrepot(
    folder: TempDir,
    bench: &Bench,
    config: &str,
    remote: Option<SocketAddr>,
    settings: &dyn Fn(SocketAddr) -> Vec<(String, String)>,
) -> Result<Server> {
    let address = free_address()?;
    let config = write_config(folder.path(), "entrepot.toml", config, address, remote)?;
    let mut serve = command(&bench.tools.entrepot, folder.path());
    serve.arg("serve").arg("--config").arg(config);
    serve.envs(settings(address));
    let daemon = Daemon::start(&mut serve, &folder.path().join("log"), address, READY_PATH)?;
    Ok(Server {
        name: Mirror::Entrepot.name(),
        address,
        daemon,
        folder,
    })
}

/// Starts nginx with `files`, each a path of a request and the bytes to answer it with.
pub(crate) fn start_nginx(bench: &Bench, files: &[(&str, &[u8])]) -> Result<Server> {
    let folder = bench.new_folder()?;
    let address = free_address()?;
    let config = include_str!("config/nginx.conf");
    let config = write_config(folder.path(), "nginx.conf", config, address, None)?;
    for (path, body) in files {
        let file = folder
            .path()
            .join("data/root")
            .join(path.trim_start_matches('/'));
        let parent = file.parent().context("a file has a folder")?;
        std::fs::create_dir_all(parent).context("make a folder for nginx")?;
        std::fs::write(&file, body).context("write a file for nginx")?;
    }
    let first = files.first().context("nginx without files")?.0;
    let mut serve = command(&bench.tools.nginx, folder.path());
    serve
        .args(["-e", "stderr", "-g", "daemon off;", "-c"])
        .arg(config);
    let daemon = Daemon::start(&mut serve, &folder.path().join("log"), address, first)?;
    Ok(Server {
        name: NGINX,
        address,
        daemon,
        folder,
    })
}

/// Writes a file of `config/` with its blanks filled in, and makes the folder for the data.
fn write_config(
    folder: &Path,
    name: &str,
    template: &str,
    address: SocketAddr,
    remote: Option<SocketAddr>,
) -> Result<PathBuf> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).context("make a folder for a server")?;
    let remote = remote.map(|remote| remote.to_string()).unwrap_or_default();
    let text = template
        .replace("{address}", &address.to_string())
        .replace("{remote}", &remote)
        .replace("{data}", &data.display().to_string());
    let path = folder.join(name);
    std::fs::write(&path, text).context("write the settings of a server")?;
    Ok(path)
}
