//! A file system of its own, small enough to be filled.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::server::Setup;

/// A tmpfs; unmounted when dropped.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    pub(crate) fn new(mebibytes: u64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(folder.path())
            .output()
            .expect("there is a `mount`");
        assert!(
            mounted.status.success(),
            "tests of full disks mount a tmpfs, and only root may do that: {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self { folder }
    }

    /// Keeps all data here.
    pub(crate) fn hold(&self, setup: Setup) -> Setup {
        let path = self.data().display().to_string();
        setup.variable("ENTREPOT__STORAGE__PATH", &path)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Somebody else takes all space but `bytes`.
    pub(crate) fn fill_up(&self, bytes: usize) {
        let mut ballast = std::fs::File::create(self.ballast()).expect("a file");
        let chunk = vec![0; 64 * 1024];
        while ballast.write_all(&chunk).is_ok() {}
        let taken = ballast.metadata().expect("an open file").len();
        let left = taken.saturating_sub(bytes as u64);
        ballast.set_len(left).expect("it is writable");
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("the disk was filled up");
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.folder.path())
            .status();
    }
}

/// The file of a blob that is in place.
pub(crate) fn blob_file(data: &Path, digest: &str) -> PathBuf {
    let (algorithm, hex) = digest.split_once(':').expect("a digest");
    data.join("blobs").join(algorithm).join(&hex[..2]).join(hex)
}

/// Waits until this is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    in_time.unwrap_or_else(|_| panic!("waited 20 s until {what}"));
}
