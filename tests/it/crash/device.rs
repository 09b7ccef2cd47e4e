//! A disk that loses what was not synced: a file system on a loop device.
//!
//! What the server writes is in the page cache of that file system until it is synced; only then is it in the image behind
//! the device. A copy of the image, made right after the server was killed, is the disk as a power loss leaves it: it is
//! checked and repaired as at a boot, and mounted. The kernel writes behind by itself only after seconds.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Large enough for all that is pushed; the image has holes.
const MEBIBYTES: u64 = 2048;

/// Mounted until it is dropped.
pub(super) struct Device {
    folder: TempDir,
    /// Counts the lives of the disk.
    image: u32,
}

impl Device {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join("mounted")).expect("a folder");
        let device = Self { folder, image: 0 };
        let image = std::fs::File::create(device.image()).expect("a file");
        image.set_len(MEBIBYTES << 20).expect("it is writable");
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(device.image()));
        device.mount();
        device
    }

    /// Where it is mounted.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// The power fails, and comes back. Nobody uses the disk meanwhile.
    pub(super) fn lose_power(&mut self) {
        let before = self.image();
        self.image += 1;
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(&before)
            .arg(self.image()));
        run(Command::new("umount").arg(self.root()));
        std::fs::remove_file(before).expect("it is ours");
        // 1: what was wrong is repaired.
        let checked = Command::new("e2fsck").arg("-fy").arg(self.image()).output();
        let checked = checked.expect("there is an `e2fsck`");
        let code = checked.status.code();
        assert!(matches!(code, Some(0 | 1)), "{checked:?}");
        self.mount();
    }

    fn mount(&self) {
        // The journal is not written by time, only by what is synced.
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,commit=300"])
            .arg(self.image())
            .arg(self.root()));
    }

    fn image(&self) -> PathBuf {
        let name = format!("image-{}", self.image);
        Path::new(self.folder.path()).join(name)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.root())
            .status();
    }
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "tests of lost power mount a file system of their own (package e2fsprogs), and only root may do that: \
         {command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
