//! An Entrepot in this process, on free ports, with a data folder of its own.
//!
//! It keeps its rows in SQLite and its content on the local disk; or, inside of `on_both!`, once more in PostgreSQL and in
//! object storage, with a local tier.

use std::{fmt::Write as _, time::Duration};

use entrepot::{
    app::{App, StartError},
    config,
    store::StoreError,
};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    harness::{Bucket, Client, FakeRegistry, install_crypto},
    postgres_server::fresh_database,
};

/// Runs each of these tests on files and SQLite, and on object storage and PostgreSQL.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod on_files {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test().await;
            })+
        }
        mod on_object_storage {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                $crate::server::on_object_storage(super::$test()).await;
            })+
        }
    };
}
pub(crate) use on_both;

tokio::task_local! {
    /// Set where servers are to keep rows and content with others.
    static SHARED: ();
}

/// Every server that this test starts keeps its rows in PostgreSQL and its content in object storage.
pub(crate) async fn on_object_storage(test: impl Future<Output = ()>) {
    SHARED.scope((), test).await;
}

/// How long a wait may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration of a [`TestServer`], as the text of a file.
pub(crate) struct Setup {
    /// Tables with a name, so that keys outside `[[…]]` can come first.
    sections: String,
    tables: String,
    environment: Vec<(String, String)>,
    bucket: Option<Bucket>,
}

impl Setup {
    /// No remotes, no projects.
    pub(crate) fn empty() -> Self {
        let sections =
            "builtin = false\n[server]\nlisten = \"127.0.0.1:0\"\nshutdown_grace = \"5s\"\n\
             [secrets]\nkey = \"a key for tests alone\"\n\
             [storage]\npath = \"data\"\n"
                .to_owned();
        Self {
            sections,
            tables: String::new(),
            environment: Vec::new(),
            bucket: None,
        }
    }

    /// The default project `docker.io`, as Docker Hub, filled from this remote.
    pub(crate) fn hub(remote: &FakeRegistry) -> Self {
        Self::empty().remote("docker.io", remote.url(), "provider = \"docker-hub\"").project(
            "docker.io",
            "docker.io",
            "default = true\nhosts = [\"docker.io\", \"index.docker.io\", \"registry-1.docker.io\"]",
        )
    }

    /// A mirror project with a remote of the same name.
    pub(crate) fn mirror(self, name: &str, remote: &FakeRegistry, keys: &str) -> Self {
        self.remote(name, remote.url(), "")
            .project(name, name, keys)
    }

    pub(crate) fn remote(mut self, name: &str, url: &str, keys: &str) -> Self {
        write!(
            self.tables,
            "[[remote]]\nname = \"{name}\"\nurls = [\"{url}\"]\nconnect_timeout = \"1s\"\n{keys}\n"
        )
        .expect("a string takes everything");
        self
    }

    pub(crate) fn project(mut self, name: &str, remote: &str, keys: &str) -> Self {
        write!(
            self.tables,
            "[[project]]\nname = \"{name}\"\nkind = \"mirror\"\nremote = \"{remote}\"\n{keys}\n"
        )
        .expect("a string takes everything");
        self
    }

    /// A rule of the project before: how fresh its tags are.
    pub(crate) fn freshness(mut self, keys: &str) -> Self {
        write!(self.tables, "[[project.freshness]]\n{keys}\n").expect("a string takes everything");
        self
    }

    /// Further keys of `[server]`, `[mirror]`, … : written before the tables.
    pub(crate) fn section(mut self, text: &str) -> Self {
        writeln!(self.sections, "{text}").expect("a string takes everything");
        self
    }

    /// A variable of the environment that the configuration is read with, such as `ENTREPOT__SERVER__MIRROR_LISTEN`.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With content in this bucket, too.
    pub(crate) fn bucket(mut self, bucket: Bucket) -> Self {
        self.environment.extend(bucket.variables("content"));
        self.bucket = Some(bucket);
        self
    }

    /// On what the test is run on.
    async fn on_backend(self) -> Self {
        if SHARED.try_with(|()| ()).is_err() || self.bucket.is_some() {
            return self;
        }
        let database = fresh_database().await;
        self.variable("ENTREPOT__DATABASE__URL", &database)
            .bucket(Bucket::new())
    }

    /// As `mirror`, with keys of the remote too.
    pub(crate) fn mirror_with(self, name: &str, remote: &FakeRegistry, remote_keys: &str) -> Self {
        self.remote(name, remote.url(), remote_keys)
            .project(name, name, "visibility = \"public\"")
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.sections, self.tables)
    }

    pub(crate) async fn start(self) -> TestServer {
        install_crypto();
        let setup = self.on_backend().await;
        let folder = TempDir::new().expect("a folder for the data");
        std::fs::write(folder.path().join("entrepot.toml"), setup.text()).expect("a file");
        let running = Running::start(&folder, &setup.environment).await;
        TestServer {
            folder,
            environment: setup.environment,
            bucket: setup.bucket,
            running: Some(running),
        }
    }
}

/// A server that runs until it is dropped.
pub(crate) struct TestServer {
    pub(crate) folder: TempDir,
    environment: Vec<(String, String)>,
    /// Of content, if it is in object storage.
    pub(crate) bucket: Option<Bucket>,
    running: Option<Running>,
}

struct Running {
    url: String,
    mirror_url: Option<String>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Builds the application. Another test that starts a program just now holds a copy of the lock's descriptor in its
/// fork for a moment after this process has closed its own.
async fn build(load: impl Fn() -> config::Config) -> App {
    loop {
        match App::build(load()).await {
            Err(StartError::Store(StoreError::Locked { .. })) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            built => return built.expect("the application is built"),
        }
    }
}

impl Running {
    async fn start(folder: &TempDir, environment: &[(String, String)]) -> Self {
        let file = folder.path().join("entrepot.toml");
        let load = || {
            config::load(Some(&file), environment.to_vec())
                .unwrap_or_else(|error| panic!("{error}"))
        };
        let config = load();
        let scheme = if config.server.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let app = tokio::time::timeout(PATIENCE, build(load))
            .await
            .expect("the data folder is free");
        let server = app.bind().await.expect("free ports");
        let url = format!("{scheme}://{}", server.address());
        let mirror_url = server
            .mirror_address()
            .map(|address| format!("{scheme}://{address}"));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            url,
            mirror_url,
            stop,
            task,
        }
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("the server does not panic");
    }
}

impl TestServer {
    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> &str {
        &self.running().url
    }

    /// Of the pull-only listener.
    pub(crate) fn mirror_url(&self) -> &str {
        self.running()
            .mirror_url
            .as_deref()
            .expect("server.mirror_listen is set")
    }

    pub(crate) fn manifest_url(&self, repository: &str, reference: &str) -> String {
        format!("{}/v2/{repository}/manifests/{reference}", self.url())
    }

    pub(crate) fn blob_url(&self, repository: &str, digest: &str) -> String {
        format!("{}/v2/{repository}/blobs/{digest}", self.url())
    }

    /// Waits until no fill runs: what was filled is in place, with its rows.
    pub(crate) async fn settled(&self) {
        let settled = async {
            while !self
                .metrics()
                .await
                .lines()
                .any(|line| line == "entrepot_fills_running 0")
            {}
        };
        tokio::time::timeout(PATIENCE, settled)
            .await
            .expect("fills end");
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = Client::new().get(&format!("{}/metrics", self.url())).await;
        String::from_utf8(answer.body.to_vec()).expect("metrics are text")
    }

    /// Runs this on the rows, behind the server's back.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut variables = self.environment.iter();
        let database = variables.find(|(name, _)| name == "ENTREPOT__DATABASE__URL");
        let executed = if let Some((_, url)) = database {
            let mut database = PgConnection::connect(url).await.expect("a database");
            sqlx::raw_sql(sql).execute(&mut database).await.map(drop)
        } else {
            let file = self.folder.path().join("data/entrepot.db");
            let options = SqliteConnectOptions::new().filename(file);
            let mut database = options.connect().await.expect("a database");
            sqlx::raw_sql(sql).execute(&mut database).await.map(drop)
        };
        executed.expect("a statement");
    }

    /// Stops, as by SIGTERM, and waits until it has drained.
    pub(crate) async fn stop(&mut self) {
        self.running.take().expect("the server runs").stop().await;
    }

    /// Starts again on the same data.
    pub(crate) async fn start_again(&mut self) {
        self.running = Some(Running::start(&self.folder, &self.environment).await);
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }
}
