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
    _daemon: Daemon,
}

impl Mirror {
    /// Starts the server with its data in `folder`; the first project is the default one.
    pub(super) fn start(folder: &Path, projects: &[(&Project, SocketAddr)]) -> Self {
        std::fs::create_dir_all(folder).expect("make the folder of the mirror");
        let address = free_address();
        let config = folder.join("entrepot.toml");
        std::fs::write(&config, settings(address, projects)).expect("write the mirror's settings");

        let mut serve = isolated(Path::new(env!("CARGO_BIN_EXE_entrepot")), folder);
        serve.arg("serve").arg("--config").arg(&config);
        let daemon = Daemon::start(&mut serve, &folder.join("log"), || {
            answers_ok(address, "/readyz")
        });
        Self {
            address,
            _daemon: daemon,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn settings(address: SocketAddr, projects: &[(&Project, SocketAddr)]) -> String {
    let mut text = format!(
        "builtin = false\n\
         [server]\nlisten = \"{address}\"\n\
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
