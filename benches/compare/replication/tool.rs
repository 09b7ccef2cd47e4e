//! What replicates: two ways of Entrepot, and two programs that people use for it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::images::{TAG, repositories};
use crate::manage::Manage;
use crate::memory;
use crate::tools::{Tools, command};

pub(crate) const SYNC: &str = "entrepot sync";
pub(crate) const RULE: &str = "a rule of entrepot";
pub(crate) const SKOPEO: &str = "skopeo sync";
pub(crate) const REGSYNC: &str = "regsync";

const POLL: Duration = Duration::from_millis(5);
/// As image-syncer and `entrepot sync` do when nobody says otherwise.
pub(super) const AT_ONCE: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Sync,
    Rule,
    /// One process after the other when there are several destinations.
    Skopeo,
    Regsync,
}

/// Where everybody copies from.
pub(crate) struct Sources<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) folder: &'a Path,
    /// A registry that has the images.
    pub(crate) registry: SocketAddr,
    /// An Entrepot that has them, for its rules.
    pub(crate) entrepot: SocketAddr,
}

impl Tool {
    pub(crate) const ALL: [Self; 4] = [Self::Sync, Self::Rule, Self::Skopeo, Self::Regsync];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => SYNC,
            Self::Rule => RULE,
            Self::Skopeo => SKOPEO,
            Self::Regsync => REGSYNC,
        }
    }
}

impl Sources<'_> {
    /// Copies all images to all of these; the peak of the memory that it took, in MiB.
    pub(crate) fn copy(&self, tool: Tool, to: &[SocketAddr], transfers: usize) -> Result<f64> {
        match tool {
            Tool::Sync => self.sync(to, transfers),
            Tool::Rule => Manage(self.entrepot).execute(&rule(to), false).map(|_| 0.0),
            Tool::Skopeo => to.iter().try_fold(0.0, |peak: f64, address| {
                Ok(peak.max(self.skopeo(*address)?))
            }),
            Tool::Regsync => self.regsync(to),
        }
    }

    fn sync(&self, to: &[SocketAddr], transfers: usize) -> Result<f64> {
        let from = self.registry;
        let images = repositories().map(|name| {
            let to: Vec<_> = to.iter().map(|to| format!("{to}/{name}")).collect();
            (format!("{from}/{name}:{TAG}"), json!(to))
        });
        let images = serde_json::Value::Object(images.collect()).to_string();
        let hosts = to.iter().chain([&from]);
        let auth = hosts.map(|host| (host.to_string(), json!({ "insecure": true })));
        let auth = serde_json::Value::Object(auth.collect()).to_string();
        let (images, auth) = (
            self.write("images.json", &images)?,
            self.write("auth.json", &auth)?,
        );
        let mut sync = command(&self.tools.entrepot, self.folder);
        sync.args(["sync", "--log", "sync.log", "--proc"]);
        sync.arg(transfers.to_string());
        sync.arg("--images").arg(images).arg("--auth").arg(auth);
        self.run(sync)
    }

    /// Makes what there must be before anything is copied to these: a rule of these remotes.
    pub(crate) fn prepare(&self, tool: Tool, to: &[SocketAddr]) -> Result<()> {
        if tool != Tool::Rule {
            return Ok(());
        }
        let manage = Manage(self.entrepot);
        let remotes: Vec<_> = to.iter().map(|to| format!("port-{}", to.port())).collect();
        for (name, address) in remotes.iter().zip(to) {
            manage.add_remote(name, *address)?;
        }
        manage.add_rule(&rule(to), &remotes, "manual")
    }

    fn skopeo(&self, to: SocketAddr) -> Result<f64> {
        let from = self.registry;
        let images = repositories().map(|name| format!("    {name}: [\"{TAG}\"]\n"));
        let list = format!(
            "{from}:\n  tls-verify: false\n  images:\n{}",
            images.collect::<String>()
        );
        let list = self.write("skopeo.yaml", &list)?;
        let mut skopeo = command(&self.tools.skopeo, self.folder);
        skopeo.args(["sync", "--src", "yaml", "--dest", "docker"]);
        skopeo.arg("--dest-tls-verify=false").arg(list);
        skopeo.arg(format!("{to}/copies"));
        self.run(skopeo)
    }

    fn regsync(&self, to: &[SocketAddr]) -> Result<f64> {
        let from = self.registry;
        let hosts = to.iter().chain([&from]);
        let hosts = hosts.map(|host| json!({ "registry": host.to_string(), "tls": "disabled" }));
        let pairs = to
            .iter()
            .flat_map(|to| repositories().map(move |name| (to, name)));
        let pairs = pairs.map(|(to, name)| {
            let (source, target) = (format!("{from}/{name}:{TAG}"), format!("{to}/{name}:{TAG}"));
            json!({ "source": source, "target": target, "type": "image" })
        });
        // YAML takes JSON.
        let config = json!({
            "version": 1,
            "creds": hosts.collect::<Vec<_>>(),
            "defaults": { "parallel": AT_ONCE },
            "sync": pairs.collect::<Vec<_>>(),
        });
        let config = self.write("regsync.yaml", &config.to_string())?;
        let mut regsync = command(&self.tools.regsync, self.folder);
        regsync.arg("once").arg("-c").arg(config);
        self.run(regsync)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {name}"))?;
        Ok(path)
    }

    fn run(&self, mut command: Command) -> Result<f64> {
        let log = self.folder.join("tool.log");
        let output = fs::File::create(&log).context("create a log file")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicate a log file")?)
            .stderr(output);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let (ended, peak) = watch(child)?;
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(ended, "{command:?} failed\n--- log\n{}", said());
        Ok(peak)
    }
}

fn rule(to: &[SocketAddr]) -> String {
    let ports: Vec<_> = to.iter().map(|to| to.port().to_string()).collect();
    format!("to-{}", ports.join("-"))
}

/// Whether it ended well, and the peak of its memory in MiB.
fn watch(mut child: Child) -> Result<(bool, f64)> {
    let mut peak: f64 = 0.0;
    loop {
        if let Some(status) = child.try_wait().context("wait for a program")? {
            return Ok((status.success(), peak));
        }
        peak = peak.max(memory::read(child.id())?.peak_mib);
        std::thread::sleep(POLL);
    }
}
