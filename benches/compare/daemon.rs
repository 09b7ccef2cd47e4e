//! One server process: started, waited for, asked for its memory, stopped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::http::Connection;
use crate::memory::{self, Memory};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

/// An address on loopback that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind a free port")?;
    listener.local_addr().context("the address of a listener")
}

impl Daemon {
    /// Starts the command and waits until `path` is answered with 200. Its output goes to `log`.
    pub(crate) fn start(
        command: &mut Command,
        log: &Path,
        address: SocketAddr,
        path: &str,
    ) -> Result<Self> {
        let output = File::create(log).context("create a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicate a log file")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let mut daemon = Self {
            child,
            log: log.to_owned(),
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(address, path) {
            let status = daemon.child.try_wait().context("wait for a server")?;
            if status.is_some() || Instant::now() > deadline {
                bail!("{command:?} did not start\n--- log\n{}", daemon.log());
            }
            std::thread::sleep(POLL);
        }
        Ok(daemon)
    }

    /// The memory of the process and its children.
    pub(crate) fn memory(&self) -> Result<Memory> {
        memory::read(self.child.id())
    }

    /// The processor time that the process has taken.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        memory::processor_seconds(self.child.id())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            std::thread::sleep(POLL);
        }
    }
}

fn answers(address: SocketAddr, path: &str) -> bool {
    Connection::open(address)
        .and_then(|mut connection| Ok(connection.get(path)?.status()))
        .is_ok_and(|status| status == 200)
}
