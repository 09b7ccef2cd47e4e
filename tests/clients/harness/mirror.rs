//! The server under test: the `entrepot` binary, with a mirror project for each remote.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::content::Project;
use super::network::{answers_ok, free_address};
use super::process::Daemon;
use super::tools::isolated;

pub(super) struct Mirror {
    address: SocketAddr,
    pull_only: SocketAddr,
    daemon: Daemon,
}

impl Mirror {
    /// Starts the server with its data in `folder`; the first project is the default one.
    pub(super) fn start(folder: &Path, projects: &[(&Project, SocketAddr)], more: &str) -> Self {
        std::fs::create_dir_all(folder).expect("make the folder of the mirror");
        let (address, pull_only) = (free_address(), free_address());
        let config = folder.join("entrepot.toml");
        let text = settings([address, pull_only], projects) + more;
        std::fs::write(&config, text).expect("write the mirror's settings");

        let mut serve = isolated(Path::new(env!("CARGO_BIN_EXE_entrepot")), folder);
        serve.arg("serve").arg("--config").arg(&config);
        let daemon = Daemon::start(&mut serve, &folder.join("log"), || {
            answers_ok(address, "/readyz")
        });
        Self {
            address,
            pull_only,
            daemon,
        }
    }

    pub(super) fn pull_only(&self) -> SocketAddr {
        self.pull_only
    }

    pub(super) fn log(&self) -> String {
        self.daemon.log()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn settings([address, pull_only]: [SocketAddr; 2], projects: &[(&Project, SocketAddr)]) -> String {
    let mut text = format!(
        "builtin = false\n\
         [server]\nlisten = \"{address}\"\nmirror_listen = \"{pull_only}\"\n\
         [storage]\npath = \"data\"\nfree_floor = \"1MiB\"\n"
    );
    for (project, remote) in projects {
        let Project {
            host,
            provider,
            freshness,
            is_default,
            ..
        } = project;
        write!(
            text,
            "[[remote]]\nname = \"{host}\"\nprovider = \"{provider}\"\nurls = [\"http://{remote}\"]\n\
             [[project]]\nname = \"{host}\"\nkind = \"mirror\"\nremote = \"{host}\"\ndefault = {is_default}\n\
             [[project.freshness]]\n{freshness}\n"
        )
        .expect("writing to a string");
    }
    text
}
