//! An htpasswd file: users with bcrypt hashes of their passwords (`htpasswd -B`). They log in here, and their names are given
//! rights like those of other users; the file alone says their passwords. It is read again when it changes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{Accounts, account::check_name, password::is_known, principals::ADMIN};
use crate::config::Secret;

const LOOK_EVERY: Duration = Duration::from_secs(10);
const MAX_BYTES: u64 = 4 << 20;

/// The file, and what was read of it last.
pub struct Htpasswd {
    path: PathBuf,
    accounts: Accounts,
    read_at: Option<SystemTime>,
}

/// A name, and the hash of its password.
pub(super) type Line = (String, Secret);

/// Why a file is not taken over. No text of it is told: it may be a password.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`: at most 4 MiB", path.display())]
    TooLarge { path: PathBuf },
    #[error("`{}`, line {line}: {problem}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        problem: String,
    },
}

impl Htpasswd {
    pub fn new(path: PathBuf, accounts: Accounts) -> Self {
        Self {
            path,
            accounts,
            read_at: None,
        }
    }

    /// Reads the file without taking it over. Blocks.
    pub fn check(path: &Path) -> Result<(), HtpasswdError> {
        read(path).map(|_| ())
    }

    /// Takes the file over now and whenever it has changed.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            self.run_once().await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Takes the file over if it is not the one of last time. What cannot be read leaves users as they are.
    pub async fn run_once(&mut self) {
        let (path, read_at) = (self.path.clone(), self.read_at);
        let look = move || {
            let written_at = fs::metadata(&path).and_then(|file| file.modified()).ok();
            let is_new = written_at.is_none() || written_at != read_at;
            (written_at, is_new.then(|| read(&path)))
        };
        let Ok((written_at, lines)) = tokio::task::spawn_blocking(look).await else {
            return;
        };
        let taken_over = match lines {
            None => return,
            Some(Ok(lines)) => self.accounts.import(lines).await,
            Some(Err(error)) => {
                tracing::error!(%error, "the users of the htpasswd file stay as they are: {error}");
                self.read_at = written_at;
                return;
            }
        };
        match taken_over {
            Ok(changed) => {
                self.read_at = written_at;
                if changed > 0 {
                    tracing::info!(changed, path = %self.path.display(), "the htpasswd file was taken over");
                }
            }
            Err(error) => {
                tracing::error!(%error, "the htpasswd file could not be taken over: {error}");
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<Line>, HtpasswdError> {
    let failed = |source| HtpasswdError::Read {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        let path = path.to_owned();
        return Err(HtpasswdError::TooLarge { path });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    lines(&text).map_err(|(line, problem)| HtpasswdError::Line {
        path: path.to_owned(),
        line,
        problem,
    })
}

fn lines(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        lines.push(read_line(line).map_err(|problem| (index + 1, problem))?);
    }
    Ok(lines)
}

fn read_line(line: &str) -> Result<Line, String> {
    let (name, hash) = line.split_once(':').ok_or("expected `name:hash`")?;
    check_name("name", name).map_err(|error| error.to_string())?;
    if name == ADMIN {
        return Err("the password of `admin` is `access.admin_password`".to_owned());
    }
    if !is_known(hash) {
        return Err("expected a hash by bcrypt, as `htpasswd -B` makes it".to_owned());
    }
    Ok((name.to_owned(), Secret::new(hash.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> String {
        bcrypt::hash("secret", 4).unwrap().replace("$2b$", "$2y$")
    }

    #[test]
    fn names_and_bcrypt_hashes_are_read() {
        let text = format!("# users\n\nann:{0}\nbob:{0}\n", hash());
        let names: Vec<_> = lines(&text)
            .unwrap()
            .into_iter()
            .map(|line| line.0)
            .collect();
        assert_eq!(names, ["ann", "bob"]);
    }

    #[test]
    fn mistakes_tell_their_line_and_no_secret() {
        let good = format!("ann:{}", hash());
        for bad in [
            "ann".to_owned(),
            "ann:{SHA}hunter2".to_owned(),
            "a b:hunter2".to_owned(),
            format!("admin:{}", hash()),
        ] {
            let (line, problem) = lines(&format!("{good}\n{bad}")).unwrap_err();
            assert_eq!(line, 2);
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
