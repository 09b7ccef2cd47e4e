//! Real registries: distribution v3 and Debian's docker-registry, on free ports, with data folders of their own. They end
//! with the test.

use std::{
    fmt::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    time::timeout,
};

use crate::harness::Identity;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Distribution,
    DockerRegistry,
}

/// How it is set up.
#[derive(Default)]
pub(crate) struct Terms<'a> {
    /// User and password of the only login.
    pub(crate) login: Option<(&'a str, &'a str)>,
    pub(crate) tls: Option<&'a Identity>,
}

pub(crate) struct RealRegistry {
    /// `127.0.0.1:port`
    pub(crate) host: String,
    _folder: TempDir,
    _child: Child,
}

impl RealRegistry {
    pub(crate) async fn start(program: Program) -> Self {
        Self::with(program, Terms::default()).await
    }

    pub(crate) async fn with(program: Program, terms: Terms<'_>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let config = folder.path().join("config.yml");
        std::fs::write(&config, terms.settings(&folder)).expect("a file");
        let mut command = tokio::process::Command::new(path_of(program));
        command.arg("serve").arg(&config).current_dir(folder.path());
        command.env_clear().env("OTEL_TRACES_EXPORTER", "none");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let listens = async {
            let mut said = Vec::new();
            loop {
                let line = lines.next_line().await.expect("text");
                said.push(line.unwrap_or_else(|| panic!("{program:?} ended: {said:?}")));
                let last = said.last().expect("just pushed");
                if let Some(address) = last.split("listening on ").nth(1) {
                    let address = address.split(['"', ',', ' ']).next();
                    return address.expect("a first part").to_owned();
                }
            }
        };
        let host = timeout(START_TIMEOUT, listens).await;
        let host = host.expect("it listens in time");
        // Somebody must read what it says, or it stops.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            host,
            _folder: folder,
            _child: child,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }
}

impl Terms<'_> {
    fn settings(&self, folder: &TempDir) -> String {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut text = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: \"{}\"}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:0\n",
            path("data")
        );
        if let Some(identity) = self.tls {
            std::fs::write(path("cert.pem"), &identity.certificate).expect("a file");
            std::fs::write(path("key.pem"), &identity.key).expect("a file");
            let (cert, key) = (path("cert.pem"), path("key.pem"));
            writeln!(text, "  tls: {{certificate: \"{cert}\", key: \"{key}\"}}")
                .expect("a string takes everything");
        }
        if let Some((user, password)) = self.login {
            let hash = bcrypt::hash(password, 4).expect("a hash");
            std::fs::write(path("htpasswd"), format!("{user}:{hash}\n")).expect("a file");
            let file = path("htpasswd");
            writeln!(
                text,
                "auth: {{htpasswd: {{realm: test, path: \"{file}\"}}}}"
            )
            .expect("a string takes everything");
        }
        text
    }
}

fn path_of(program: Program) -> PathBuf {
    if program == Program::DockerRegistry {
        return PathBuf::from("/usr/bin/docker-registry");
    }
    tool("registry")
}

/// A program that `make tools` installs.
pub(crate) fn tool(name: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool-path.sh");
    let output = Command::new(script)
        .arg(name)
        .output()
        .expect("the script runs");
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(
        path.is_file(),
        "`{name}` is not installed\n\nhint: run `make tools`"
    );
    path
}
