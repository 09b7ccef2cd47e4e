//! Finds the programs that `make tools` installs, and makes commands that see nothing of the
//! user's own settings.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Where programs of Debian packages are, daemons included.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) struct Tools {
    pub(crate) entrepot: PathBuf,
    /// distribution v3.
    pub(crate) distribution: PathBuf,
    pub(crate) docker_registry: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) wrk: PathBuf,
    pub(crate) skopeo: PathBuf,
    pub(crate) regsync: PathBuf,
}

impl Tools {
    /// Finds all of them, so that nothing is missing after minutes of measuring.
    pub(crate) fn find() -> Result<Self> {
        // The harness of the tests finds it again, and PostgreSQL.
        built("versitygw")?;
        Ok(Self {
            entrepot: entrepot()?,
            distribution: built("registry")?,
            docker_registry: packaged("docker-registry")?,
            nginx: packaged("nginx")?,
            wrk: packaged("wrk")?,
            skopeo: packaged("skopeo")?,
            regsync: built("regsync")?,
        })
    }
}

/// A command for a server, at home in `home`. It dies with the thread that starts it.
pub(crate) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .current_dir(home)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("HOME", home)
        // distribution v3 otherwise looks for a collector of traces.
        .env("OTEL_TRACES_EXPORTER", "none");
    command
}

/// Waits for what is only there for programs with a runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().context("make a runtime")?;
    Ok(runtime.block_on(work))
}

/// The binary that cargo built beside this benchmark, or the one that `ENTREPOT_BIN` names.
fn entrepot() -> Result<PathBuf> {
    let path = std::env::var_os("ENTREPOT_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_entrepot")),
        PathBuf::from,
    );
    ensure!(
        path.is_file(),
        "no binary at {}, which ENTREPOT_BIN names",
        path.display()
    );
    path.canonicalize().context("find the entrepot binary")
}

fn built(name: &str) -> Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool-path.sh");
    let output = Command::new(script)
        .arg(name)
        .output()
        .context("run scripts/tool-path.sh")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() || !path.is_file() {
        bail!(missing(name));
    }
    Ok(path)
}

fn packaged(name: &str) -> Result<PathBuf> {
    std::env::split_paths(SEARCH_PATH)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| missing(name))
}

fn missing(name: &str) -> String {
    format!("`{name}` is not installed\n\nhint: run `make tools`")
}
