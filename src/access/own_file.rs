//! Small files of the data folder that only their owner can read: passwords and keys that the server made itself.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::config::Secret;

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct OwnFileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The text that is kept there; `None` if none was ever written whole. Blocks.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, OwnFileError> {
    match fs::read_to_string(path) {
        // An empty one is what a full disk or a crash left.
        Ok(text) => Ok(Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(|text| Secret::new(text.to_owned()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Keeps a text. Blocks until it is durable.
pub(super) fn write(path: &Path, text: &str) -> Result<(), OwnFileError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        // Its name, too.
        path.parent()
            .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    write().map_err(|source| failed("write", path, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> OwnFileError {
    OwnFileError {
        action,
        path: path.to_owned(),
        source,
    }
}
