//! Layers to make images of: the same every time, for the same name.

use std::path::{Path, PathBuf};

use super::process::run;
use super::tools::{command, find};

/// A static busybox with `cat`, `sh` and `sleep`, as an archive in `folder`.
pub(crate) fn base(folder: &Path) -> PathBuf {
    let bin = folder.join("base/bin");
    std::fs::create_dir_all(&bin).expect("make a folder");
    std::fs::copy(find("busybox"), bin.join("busybox")).expect("copy busybox");
    for applet in ["cat", "sh", "sleep"] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("make a link");
    }
    tar(folder, "base")
}

/// `/hello.txt` with a greeting, and a few MiB that do not compress, as an archive in `folder`.
pub(crate) fn own(folder: &Path, name: &str, greeting: &str) -> PathBuf {
    let layer = format!("layer-{}", name.replace('/', "-"));
    let files = folder.join(&layer);
    std::fs::create_dir_all(&files).expect("make a folder");
    std::fs::write(files.join("hello.txt"), greeting).expect("write a file");
    std::fs::write(files.join("noise"), noise(greeting, 3 << 20)).expect("write a file");
    tar(folder, &layer)
}

/// What an image of one's own is built of: two layers, and a Dockerfile that says so.
pub(crate) struct Recipe {
    /// Nothing else is in it.
    pub(crate) folder: PathBuf,
    pub(crate) base: PathBuf,
    pub(crate) own: PathBuf,
    /// What a container of it prints.
    pub(crate) greeting: String,
}

impl Recipe {
    /// Writes one for an image of this name under `folder`.
    pub(crate) fn write(folder: &Path, name: &str) -> Self {
        let greeting = format!("hello from team/{name}\n");
        let folder = folder.join("recipe");
        std::fs::create_dir_all(&folder).expect("make a folder");
        let (base, own) = (base(&folder), own(&folder, name, &greeting));
        for files in ["base".to_owned(), format!("layer-{name}")] {
            std::fs::remove_dir_all(folder.join(files)).expect("remove what was packed");
        }
        let dockerfile = format!(
            "FROM scratch\nADD base.tar /\nADD layer-{name}.tar /\nCMD [\"cat\", \"/hello.txt\"]\n"
        );
        std::fs::write(folder.join("Dockerfile"), dockerfile).expect("write a Dockerfile");
        Self {
            folder,
            base,
            own,
            greeting,
        }
    }
}

/// Packs a folder so that the same files always make the same bytes.
fn tar(folder: &Path, name: &str) -> PathBuf {
    let archive = folder.join(format!("{name}.tar"));
    run(command("tar", folder)
        .args([
            "--sort=name",
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ])
        .arg("-cf")
        .arg(&archive)
        .args(["-C", name, "."]));
    archive
}

/// Bytes without order, always the same for the same seed (xorshift).
fn noise(seed: &str, len: usize) -> Vec<u8> {
    let seed = seed.bytes().fold(0x9e37_79b9_7f4a_7c15, |seed: u64, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut state = seed | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
