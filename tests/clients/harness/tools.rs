//! Finds the programs that `make tools` installs, and makes commands that see nothing of the user's
//! own settings, credentials or network.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where programs of Debian packages are, daemons included.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A proxy that nobody runs: should a client fall back to the registry that a name means, it fails
/// at once instead of dialing out.
const NO_WAY_OUT: &str = "http://127.0.0.1:1";

/// A command for `program`, which keeps its settings under `home`. It dies with this thread.
pub(crate) fn command(program: &str, home: &Path) -> Command {
    isolated(&find(program), home)
}

/// The same for a program whose path is known.
pub(super) fn isolated(program: &Path, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .current_dir(home)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("HTTP_PROXY", NO_WAY_OUT)
        .env("HTTPS_PROXY", NO_WAY_OUT)
        .env("NO_PROXY", "127.0.0.1,localhost");
    command
}

/// A place for one client that has never pulled anything.
pub(crate) struct Client {
    home: tempfile::TempDir,
}

impl Client {
    pub(crate) fn new() -> Self {
        // Not under the target folder: the path of a socket has 108 bytes at most.
        let home = tempfile::Builder::new()
            .prefix("entrepot-client-")
            .tempdir()
            .expect("a temporary folder");
        Self { home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path under the home folder, as text for an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.home().join(name).display().to_string()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        command(program, self.home())
    }

    /// Writes a settings file, with the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        let folder = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).expect("make the folder of a settings file");
        std::fs::write(&path, text).expect("write a settings file");
        path
    }
}

pub(super) fn find(program: &str) -> PathBuf {
    let built = built_tool(program);
    let found = built.or_else(|| {
        let folders = std::env::split_paths(SEARCH_PATH);
        folders
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())
    });
    found.unwrap_or_else(|| {
        panic!("`{program}` is not installed, and this test needs it\n\nhint: run `make tools`")
    })
}

/// The program as `scripts/tools.txt` has it; none if it is not of that list, or not built.
fn built_tool(program: &str) -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool-path.sh");
    let output = Command::new(script)
        .arg(program)
        .output()
        .expect("run scripts/tool-path.sh");
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    (output.status.success() && path.is_file()).then_some(path)
}
