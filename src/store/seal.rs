//! How a file tells that nobody touched it since it was verified: by its time of modification.
//!
//! Once content is in place its file is given a time that follows from digest and length, far in the past. Whoever
//! writes to the file or cuts it sets another time, and cannot help it; the kernel sees to that, also for writes through
//! memory maps. So one `fstat` tells whether the bytes still are what was verified, without rows beside the file and
//! without reading it, and a copy that keeps times keeps its seal. A file without its seal is hashed before it is served.
//!
//! On a file system that keeps no such times only lengths are compared.
//!
//! What changes no time (a disk that gives back other bits than it was given) is found by reading everything: `scrub`.

use std::{
    fs::File,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::oci::Digest;

/// 2000-01-01. Seals are from then until the end of 2016: never what a clock says now.
const FIRST_SECOND: u64 = 946_684_800;
/// Of steps of two seconds: no file system keeps times more coarsely.
const STEPS: u64 = 0x0fff_ffff;

/// The time of modification of one blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    seconds: u64,
    len: u64,
    /// Not where the file system keeps no times.
    counts: bool,
}

/// What a look at an open file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Sealed,
    /// Somebody changed it, or may have.
    Open,
    /// It has its seal and no name: it was deleted, or another file was put in its place.
    Nameless,
}

impl Seal {
    pub(super) fn new(digest: &Digest, len: u64) -> Self {
        let hex = digest.hex().as_bytes();
        let mixed = hex
            .iter()
            .chain(&len.to_le_bytes())
            // FNV-1a
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self {
            seconds: FIRST_SECOND + 2 * ((mixed >> 32) & STEPS),
            len,
            counts: true,
        }
    }

    /// The same where the file system may keep no times.
    pub(super) fn counting(self, counts: bool) -> Self {
        Self { counts, ..self }
    }

    /// Bytes.
    pub(super) fn len(self) -> u64 {
        self.len
    }

    /// Seals a file whose content was verified.
    pub(super) fn put(self, file: &File) -> io::Result<()> {
        file.set_modified(self.time())
    }

    pub(super) fn look(self, file: &File) -> io::Result<Condition> {
        let stat = rustix::fs::fstat(file)?;
        let on_time = u64::try_from(stat.st_mtime) == Ok(self.seconds) && stat.st_mtime_nsec == 0;
        let sealed = (on_time || !self.counts) && u64::try_from(stat.st_size) == Ok(self.len);
        Ok(match (sealed, stat.st_nlink) {
            (false, _) => Condition::Open,
            (true, 0) => Condition::Nameless,
            (true, _) => Condition::Sealed,
        })
    }

    fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_seal_breaks_when_the_file_is_written_to_or_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, b"abc").unwrap();
        let seal = Seal::new(&Digest::sha256(b"abc"), 3);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let look = || seal.look(&file).unwrap();
        assert_eq!(look(), Condition::Open);
        seal.put(&file).unwrap();
        assert_eq!(look(), Condition::Sealed);
        file.write_all_at(b"abc", 0).unwrap();
        assert_eq!(look(), Condition::Open);
        seal.put(&file).unwrap();
        file.set_len(2).unwrap();
        assert_eq!(look(), Condition::Open);
        file.set_len(3).unwrap();
        seal.put(&file).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(), Condition::Nameless);
    }

    #[test]
    fn a_seal_is_of_one_digest_and_length_and_always_in_the_past() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        assert_ne!(Seal::new(&a, 1), Seal::new(&b, 1));
        assert_ne!(Seal::new(&a, 1).seconds, Seal::new(&a, 2).seconds);
        for len in 0..1000 {
            let seconds = Seal::new(&a, len).seconds;
            assert!((FIRST_SECOND..1_483_555_711).contains(&seconds) && seconds.is_multiple_of(2));
        }
    }
}
