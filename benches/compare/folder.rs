//! Where a run keeps everything that it and its servers write.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

const PARENT: &str = env!("CARGO_TARGET_TMPDIR");
const PREFIX: &str = "compare-";

/// Makes the folder of this run, which goes with it. What interrupted runs left is removed.
///
/// Fails where files are kept in memory: a store on such a file system shows nothing.
pub(crate) fn make() -> Result<TempDir> {
    std::fs::create_dir_all(PARENT).context("make the folder for temporary files")?;
    let kind = file_system(Path::new(PARENT))?;
    let is_memory = kind == "tmpfs" || kind == "ramfs";
    ensure!(
        !is_memory,
        "{PARENT} is on {kind}\n\nhint: put the target folder on a disk"
    );
    remove_leftovers()?;
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(PARENT)
        .context("make a folder for the run")
}

/// Gigabytes, when a run was interrupted. Its servers died with it.
fn remove_leftovers() -> Result<()> {
    for entry in std::fs::read_dir(PARENT).context("list the folder for temporary files")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            std::fs::remove_dir_all(entry.path()).context("remove what an earlier run left")?;
        }
    }
    Ok(())
}

/// The type of the file system that the folder is on.
pub(crate) fn file_system(folder: &Path) -> Result<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    let folder = folder
        .canonicalize()
        .context("find the folder of the run")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    mounts
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.len())
        .map(|(_, kind)| kind.to_owned())
        .context("no mount holds the folder of the run")
}
