//! Programs that run to their end within a bound, and daemons that end with the test.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long one command of a client may take. A pull here is a few MiB over loopback.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a daemon may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a daemon may take to end by itself after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Runs a command that must succeed, and returns what it wrote to standard output.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let finished = finish(command);
    assert!(
        finished.status.is_some_and(|status| status.success()),
        "{command:?}\n{}\n--- stdout\n{}\n--- stderr\n{}",
        finished.how_it_ended(),
        finished.stdout,
        finished.stderr,
    );
    finished.stdout
}

/// Runs a command and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    finish(command)
        .status
        .is_some_and(|status| status.success())
}

struct Finished {
    /// None if it was still running at the end of its time.
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn how_it_ended(&self) -> String {
        match self.status {
            Some(status) => status.to_string(),
            None => format!("was still running after {COMMAND_TIMEOUT:?}"),
        }
    }
}

fn finish(command: &mut Command) -> Finished {
    // Files and not pipes: what a grandchild still holds open cannot make us wait.
    let mut stdout = tempfile::tempfile().expect("a temporary file");
    let mut stderr = tempfile::tempfile().expect("a temporary file");
    let mut child = spawn(command, &stdout, &stderr);
    let mut status = None;
    wait_until(COMMAND_TIMEOUT, || {
        status = child.try_wait().expect("wait for a child");
        status.is_some()
    });
    if status.is_none() {
        kill(&mut child);
    }
    Finished {
        status,
        stdout: whole_text(&mut stdout),
        stderr: whole_text(&mut stderr),
    }
}

/// Starts a child as the leader of a process group of its own, so that its children end with it.
fn spawn(command: &mut Command, stdout: &File, stderr: &File) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().expect("duplicate a file"))
        .stderr(stderr.try_clone().expect("duplicate a file"))
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"))
}

fn whole_text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("rewind a file");
    file.read_to_end(&mut bytes).expect("read a file");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let mut answer = None;
    wait_until(START_TIMEOUT, || {
        answer = ask();
        answer.is_some()
    });
    answer.expect("it does not come in time")
}

/// Asks again and again until the answer is yes or the time is over; returns the last answer.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when a foreign process is ready"
)]
fn wait_until(timeout: Duration, mut yes: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if yes() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

fn signal_group(child: &Child, signal: Signal) {
    let group = Pid::from_child(child);
    // It may have ended by itself.
    let _ = kill_process_group(group, signal);
}

fn kill(child: &mut Child) {
    signal_group(child, Signal::KILL);
    let _ = child.wait();
}

/// A server that runs until this is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the command and waits until `is_ready` says so. Its output goes to the file `log`.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, log: &Path, is_ready: impl Fn() -> bool) -> Self {
        let output = File::create(log).expect("create a log file");
        let child = spawn(command, &output, &output);
        let mut daemon = Self {
            child,
            log: log.to_owned(),
        };
        let mut ended = None;
        let is_up = wait_until(START_TIMEOUT, || {
            ended = daemon.child.try_wait().expect("wait for a child");
            ended.is_some() || is_ready()
        });
        assert!(
            is_up && ended.is_none(),
            "{command:?} did not start: {}\n--- log\n{}",
            ended.map_or_else(
                || "no answer in time".to_owned(),
                |status| status.to_string()
            ),
            daemon.log(),
        );
        daemon
    }

    /// All that it has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn stop(&mut self) {
        signal_group(&self.child, Signal::TERM);
        let child = &mut self.child;
        let has_ended = wait_until(STOP_TIMEOUT, || !matches!(child.try_wait(), Ok(None)));
        if !has_ended {
            kill(child);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        // Captured by the test runner, and shown when the test fails.
        if std::thread::panicking() {
            eprintln!(
                "--- end of {}\n{}",
                self.log.display(),
                last_lines(&self.log(), 40)
            );
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
