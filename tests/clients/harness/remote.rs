//! The registries that the mirror is filled from: distribution v3, and Debian's docker-registry,
//! which knows no referrers API.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use super::network::{answers_ok, free_address};
use super::process::Daemon;
use super::tools::command;

pub(crate) struct Remote {
    address: SocketAddr,
    daemon: Daemon,
    /// How much of the log is about its filling with content.
    log_start: usize,
}

impl Remote {
    /// Starts `program`, `registry` or `docker-registry`, with its data in `folder`.
    pub(super) fn start(program: &str, folder: &Path) -> Self {
        Self::with(program, folder, "")
    }

    /// The same, for one user only, who may also delete.
    pub(crate) fn with_login(program: &str, folder: &Path, login: (&str, &str)) -> Self {
        std::fs::create_dir_all(folder).expect("make the folder of a registry");
        let hash = bcrypt::hash(login.1, 4).expect("hash a password");
        let file = folder.join("htpasswd");
        std::fs::write(&file, format!("{}:{hash}\n", login.0)).expect("write a password");
        let path = file.display();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: \"{path}\"}}}}\n");
        Self::with(program, folder, &auth)
    }

    fn with(program: &str, folder: &Path, more: &str) -> Self {
        std::fs::create_dir_all(folder).expect("make the folder of a registry");
        let address = free_address();
        let config = folder.join("config.yml");
        let text = settings(address, folder) + more;
        std::fs::write(&config, text).expect("write a registry's settings");

        let mut serve = command(program, folder);
        serve.arg("serve").arg(&config);
        // What is at the root needs no login.
        let daemon = Daemon::start(&mut serve, &folder.join("log"), || answers_ok(address, "/"));
        Self {
            address,
            daemon,
            log_start: 0,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts requests from here on.
    pub(super) fn begin_counting(&mut self) {
        self.log_start = self.daemon.log().len();
    }

    /// How often each blob was downloaded, by digest.
    pub(super) fn blob_downloads(&self) -> HashMap<String, usize> {
        let mut downloads = HashMap::new();
        let log = self.daemon.log();
        for digest in log[self.log_start..].lines().filter_map(downloaded_blob) {
            *downloads.entry(digest.to_owned()).or_default() += 1;
        }
        downloads
    }
}

/// The digest in an access line like `… "GET /v2/library/nginx/blobs/sha256:… HTTP/1.1" 200 …`.
fn downloaded_blob(line: &str) -> Option<&str> {
    let (_, request) = line.split_once("\"GET /v2/")?;
    let (target, answer) = request.split_once(" HTTP/1.1\" ")?;
    let (_, digest) = target.split_once("/blobs/")?;
    answer
        .starts_with('2')
        .then(|| digest.split('?').next().unwrap_or(digest))
}

fn settings(address: SocketAddr, folder: &Path) -> String {
    let data = folder.join("data").display().to_string();
    format!(
        "version: 0.1\n\
         storage: {{filesystem: {{rootdirectory: \"{data}\"}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"{address}\"}}\n"
    )
}
