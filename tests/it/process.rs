//! The binary itself, as a process of its own: exit codes, output, signals.

use std::{
    path::Path,
    process::{Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    sync::watch,
    time::timeout,
};

/// How long a wait may take before the test is given up.
/// A start may wait for PostgreSQL to end the statement (10 s) and the transaction (5 s) of a process that was killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `entrepot serve`; killed when dropped.
pub(crate) struct Process {
    /// `http://127.0.0.1:PORT`, as the process printed it.
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a stream has said so far.
#[derive(Clone)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<()>,
}

/// The binary with arguments, in a folder, without the environment of the tests.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrepot"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null());
    command
}

/// Runs to its end. Not for `serve` with a valid configuration.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments)
        .output()
        .expect("the binary runs")
}

/// What a command said until its end.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Runs to its end while this process, which may have the servers, goes on.
pub(crate) async fn entrepot_in(
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Said {
    let mut command = command(folder, arguments);
    command.envs(environment.iter().copied());
    let output = tokio::process::Command::from(command).output().await;
    output.expect("the binary runs").into()
}

impl Process {
    /// Serves this configuration with logs as JSON, and waits until it listens.
    pub(crate) async fn serve(configuration: &str, environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let text = format!("{configuration}\n[log]\nformat = \"json\"\n");
        std::fs::write(folder.path().join("entrepot.toml"), text).expect("a file");
        let mut command = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
        command.envs(environment.iter().copied());
        Self::start(folder, command).await
    }

    pub(crate) async fn start(folder: TempDir, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        let line = stdout
            .wait(
                |line| line.contains(" listens on ").then(|| line.to_owned()),
                &stderr,
            )
            .await;
        let url = line
            .split(" listens on ")
            .nth(1)
            .expect("just seen to be there");
        let url = url
            .split([' ', ','])
            .next()
            .expect("a split has a first part")
            .to_owned();
        Self {
            url,
            folder,
            child,
            stdout,
            stderr,
        }
    }

    /// All of stdout so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.all().join("\n")
    }

    /// Waits until stdout has said this.
    pub(crate) async fn printed(&self, text: &str) {
        self.stdout
            .wait(|line| line.contains(text).then_some(()), &self.stderr)
            .await;
    }

    /// All of stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.all().join("\n")
    }

    /// The first line of the log, as JSON, that this is true of; waited for.
    pub(crate) async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let read = |line: &str| serde_json::from_str(line).ok().filter(|line| wanted(line));
        self.stderr.wait(read, &self.stderr).await
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn terminate(&self) {
        let id = self.id();
        let done = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status();
        assert!(done.expect("kill runs").success());
    }

    /// As by `kill -9`, if it still runs; gives the folder back, for the next one.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.child.kill().await.expect("it can be killed");
        self.folder
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("the process does not end; stderr:\n{}", self.stderr()))
            .expect("it can be waited for")
    }
}

impl Lines {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (said, changed) = watch::channel(());
        let this = Self { lines, changed };
        let record = Arc::clone(&this.lines);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                record
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
                said.send_replace(());
            }
        });
        this
    }

    fn all(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn wait<T>(&self, wanted: impl Fn(&str) -> Option<T>, errors: &Self) -> T {
        let mut changed = self.changed.clone();
        let wait = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = self.all().iter().find_map(|line| wanted(line)) {
                    return Some(found);
                }
                if changed.changed().await.is_err() {
                    return self.all().iter().find_map(|line| wanted(line));
                }
            }
        };
        let found = timeout(PATIENCE, wait).await.ok().flatten();
        found.unwrap_or_else(|| {
            panic!(
                "the line did not come; stderr:\n{}",
                errors.all().join("\n")
            )
        })
    }
}
