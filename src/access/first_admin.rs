//! The password of the user `admin` when the configuration names none: made at the first start, kept in the data folder in
//! a file that only its owner can read. Who can read that file could as well change what is served.

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::own_file::{self, OwnFileError};
use crate::config::Secret;

const FILE_NAME: &str = "admin-password";
/// 144 bits: 24 characters, none of which a shell minds.
const RANDOM_BYTES: usize = 18;

/// A password, and whether it was made just now.
#[derive(Debug, Clone)]
pub struct FirstAdmin {
    pub password: Secret,
    /// To be printed once.
    pub is_new: bool,
}

impl FirstAdmin {
    /// The password that is kept in this data folder, made if need be. Blocks. One process at a time: the folder is locked.
    pub fn open(folder: &Path) -> Result<Self, OwnFileError> {
        if let Some(password) = Self::kept(folder)? {
            let is_new = false;
            return Ok(Self { password, is_new });
        }
        let password = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        own_file::write(&path(folder), &password)?;
        Ok(Self {
            password: Secret::new(password),
            is_new: true,
        })
    }

    /// The password that a server keeps in this data folder, if there is one. Blocks.
    pub fn kept(folder: &Path) -> Result<Option<Secret>, OwnFileError> {
        own_file::read(&path(folder))
    }
}

/// Where the password is kept below the data folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_password_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FirstAdmin::kept(folder.path()).unwrap().is_none());
        let first = FirstAdmin::open(folder.path()).unwrap();
        assert!(first.is_new);
        assert_eq!(first.password.expose().len(), 24);
        let mode = fs::metadata(path(folder.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = FirstAdmin::open(folder.path()).unwrap();
        assert!(!again.is_new);
        assert_eq!(again.password.expose(), first.password.expose());
    }

    #[test]
    fn two_folders_have_two_passwords() {
        let made = || {
            let folder = tempfile::tempdir().unwrap();
            let first = FirstAdmin::open(folder.path()).unwrap();
            first.password.expose().to_owned()
        };
        assert_ne!(made(), made());
    }

    #[test]
    fn a_file_that_a_crash_left_empty_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(folder.path()), "\n").unwrap();
        assert!(FirstAdmin::open(folder.path()).unwrap().is_new);
        assert!(FirstAdmin::kept(folder.path()).unwrap().is_some());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = FirstAdmin::open(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write /nonexistent/admin-password"
        );
    }
}
