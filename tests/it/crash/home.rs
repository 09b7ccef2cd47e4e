//! What outlives a process: its folders, its rows, its bucket.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{device::Device, text};
use crate::{
    harness::Bucket,
    postgres_server::fresh_database,
    process::{Process, command},
};

const DATABASE: &str = "ENTREPOT__DATABASE__URL";

/// A process that tells, when the test fails, what went wrong in it.
pub(super) struct Running(Option<Process>);

impl Running {
    pub(super) fn url(&self) -> &str {
        &self.0.as_ref().expect("it runs").url
    }

    /// As by `kill -9`; gives its folder back.
    pub(super) async fn kill(mut self) -> TempDir {
        self.0.take().expect("it runs").kill().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(process) = self.0.as_ref().filter(|_| std::thread::panicking()) else {
            return;
        };
        let log = process.stderr();
        let serious = ["\"ERROR\"", "\"WARN\""];
        let lines = log.lines();
        for line in lines.filter(|line| serious.iter().any(|level| line.contains(level))) {
            eprintln!("{line}");
        }
    }
}

pub(super) struct Home {
    /// `None` while a process runs there.
    folder: Option<TempDir>,
    environment: Vec<(String, String)>,
    data: PathBuf,
    device: Option<Device>,
    bucket: Option<Bucket>,
}

impl Home {
    pub(super) fn on_files() -> Self {
        let folder = TempDir::new().expect("a folder");
        let text = format!("{}\n[log]\nformat = \"json\"\n", text());
        std::fs::write(folder.path().join("entrepot.toml"), text).expect("a file");
        let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        // What is to be kept must not depend on how full the disk of the tests is.
        let environment = [("ENTREPOT__STORAGE__FREE_FLOOR", "0")];
        Self {
            data: folder.path().join("data"),
            folder: Some(folder),
            environment: environment.into_iter().map(variable).collect(),
            device: None,
            bucket: None,
        }
    }

    pub(super) fn on_device(device: Device) -> Self {
        let mut home = Self::on_files();
        home.data = device.root().join("data");
        let path = home.data.display().to_string();
        let path = ("ENTREPOT__STORAGE__PATH".to_owned(), path);
        home.environment.push(path);
        home.device = Some(device);
        home
    }

    pub(super) async fn on_object_storage() -> Self {
        let mut home = Self::on_files();
        let bucket = Bucket::new();
        let database = (DATABASE.to_owned(), fresh_database().await);
        home.environment.push(database);
        home.environment.extend(bucket.variables("content"));
        home.bucket = Some(bucket);
        home
    }

    /// Starts a process, with these variables too.
    pub(super) async fn start(&mut self, variables: &[(&str, &str)]) -> Running {
        let folder = self.folder.take().expect("none runs");
        let mut serve = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
        serve.envs(self.environment.iter().map(|(name, value)| (name, value)));
        serve.envs(variables.iter().copied());
        Running(Some(Process::start(folder, serve).await))
    }

    /// The process was killed. With it the power fails; with object storage, the machine is lost.
    pub(super) fn ended(&mut self, folder: TempDir) {
        self.folder = Some(folder);
        if let Some(device) = &mut self.device {
            device.lose_power();
        }
        if self.bucket.is_some() {
            // The next process is on another machine.
            std::fs::remove_dir_all(&self.data).expect("it has run here");
        }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_ref()
    }

    /// URL of the database, if it is not a file in the folder.
    pub(super) fn database(&self) -> Option<&str> {
        let mut variables = self.environment.iter();
        let database = variables.find(|(name, _)| name == DATABASE);
        database.map(|(_, url)| url.as_str())
    }
}
