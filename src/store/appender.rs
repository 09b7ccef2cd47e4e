//! How bytes get to the end of a spool: small steps through the page cache, large ones around it.
//!
//! ```text
//!            position                                        position + length
//!   ┄┄┄┄┄┄┄┄┄┄┄▼─────┬───────────┬───────────┬────────┬──────────▼
//!    in the file │head │ 1 MiB     │ 1 MiB     │ less   │   tail │
//!              ─────┴───────────┴───────────┴────────┴──────────
//!            buffered │       direct, page by page       │ buffered
//! ```
//!
//! A page that is new to the page cache is dear where the memory of a virtual machine goes back to its host when
//! unused: the host has to find it again, at a fifth of the speed of the disk (docs/adr/0004). Direct writes take one
//! small buffer that is there already.
//!
//! What makes it safe to mix them:
//! - All ranges follow each other, are written one after the other by one thread, and end where `reached` says; the
//!   file is never longer than that, so that its length still tells where to resume.
//! - Direct ranges begin and end at multiples of [`ALIGNMENT`], so no page is written both ways in one step. A page
//!   that one step ended in is filled up by the next step's head, through the page cache too.
//! - Readers go through the page cache and no further than `reached` says. The kernel does not read ahead beyond the
//!   end of the file, and drops what it may have of a range after a direct write to it.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::{fs::OFlags, io::Errno};

use super::{
    folder::write_slices,
    scratch::{ALIGNMENT, Lease, SCRATCH_BYTES},
};

/// Less than this is not worth a second descriptor and a copy.
const DIRECT_BYTES: u64 = 1024 * 1024;
/// Direct writes slower than this are given up. A step waits for a direct write, but not for the disk behind the page
/// cache: a disk that is slower than the page cache of the slowest machine (0.4 GB/s) would hold up the download,
/// where the page cache takes the bytes in and writes them out meanwhile.
const SLOW_BYTES_PER_SECOND: u64 = 400_000_000;
/// How much is written before its speed is judged: on a busy machine each of a few writes may be late by milliseconds,
/// and a disk that is taken for a slow one by mistake costs the rest of the blob most of its speed.
const JUDGED_BYTES: u64 = 32 * 1024 * 1024;

/// The end of one spool; used on blocking threads only.
pub(super) struct Appender {
    file: Arc<File>,
    path: PathBuf,
    way: Way,
    pace: Pace,
}

/// How large steps are written.
enum Way {
    /// Directly, if that works: no large step came yet.
    Untried,
    Direct(Direct),
    /// Through the page cache: the file system does not do it directly, or the disk is too slow for that.
    Buffered,
}

/// The same file, opened around the page cache.
struct Direct {
    file: File,
    lease: Lease,
}

impl Appender {
    /// `path` is where `file` lies for as long as anything is appended.
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self {
            file: Arc::new(file),
            path,
            way: Way::Untried,
            pace: Pace::new(SLOW_BYTES_PER_SECOND),
        }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Writes all chunks one after the other from `position` on, the end of the file; `reached` is told how far the
    /// file has come.
    pub(super) fn append(
        &mut self,
        chunks: &[Bytes],
        mut position: u64,
        mut reached: impl FnMut(u64),
    ) -> io::Result<()> {
        let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut slices = slices.as_mut_slice();
        let length = slices.iter().map(|slice| slice.len() as u64).sum();
        if let Some(span) = direct_span(position, length)
            && let Some(direct) = self.open_direct()
        {
            position = self.append_directly(direct, &mut slices, position, span, &mut reached)?;
        }
        write_slices(&self.file, slices, position, reached)
    }

    /// Takes the direct descriptor out, to be put back by a step that wants to go on with it.
    fn open_direct(&mut self) -> Option<Direct> {
        match std::mem::replace(&mut self.way, Way::Buffered) {
            Way::Buffered => None,
            Way::Direct(direct) => Some(direct),
            Way::Untried => Direct::open(&self.path),
        }
    }

    /// Writes the head of a step and its direct span, up to where it turns out not to be wise; says how far it came.
    #[expect(clippy::mut_mut, reason = "`IoSlice::advance_slices` takes it so")]
    fn append_directly(
        &mut self,
        direct: Direct,
        slices: &mut &mut [IoSlice<'_>],
        mut position: u64,
        span: Range<u64>,
        reached: &mut impl FnMut(u64),
    ) -> io::Result<u64> {
        let mut scratch = direct.lease.scratch();
        let scratch = scratch.aligned();
        if position < span.start {
            let head = next_piece(slices, scratch, span.start - position);
            self.file.write_all_at(head, position)?;
            position = span.start;
            reached(position);
        }
        while position < span.end {
            let piece = next_piece(slices, scratch, span.end - position);
            let started = Instant::now();
            let written = direct.write(piece, position)?;
            let spent = started.elapsed();
            // Refused, or a whole number of bytes but not of blocks: the rest cannot begin there.
            self.file
                .write_all_at(&piece[written..], position + written as u64)?;
            position += piece.len() as u64;
            reached(position);
            if written < piece.len() || !self.pace.keeps_up(written as u64, spent) {
                return Ok(position);
            }
        }
        self.way = Way::Direct(direct);
        Ok(position)
    }
}

impl Direct {
    /// None if the file system cannot do it; whatever else is wrong will be told by buffered writes.
    fn open(path: &PathBuf) -> Option<Self> {
        let flags = OFlags::DIRECT.bits();
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.cast_signed())
            .open(path)
            .ok()?;
        Some(Self {
            file,
            lease: Lease::new(),
        })
    }

    /// Writes the piece or, if the file system stops in the middle of a block or refuses, less; says how much.
    fn write(&self, piece: &[u8], position: u64) -> io::Result<usize> {
        let mut written = 0;
        while written < piece.len() && written.is_multiple_of(ALIGNMENT) {
            let (rest, position) = (&piece[written..], position + written as u64);
            match rustix::io::retry_on_intr(|| rustix::io::pwrite(&self.file, rest, position)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }
}

/// What of a step is whole pages, if that is enough.
fn direct_span(position: u64, length: u64) -> Option<Range<u64>> {
    let page = ALIGNMENT as u64;
    let end = position + length;
    let span = position.next_multiple_of(page)..end - end % page;
    (span.end.saturating_sub(span.start) >= DIRECT_BYTES).then_some(span)
}

/// Takes bytes off the slices: as many as are left of the span and fit.
#[expect(clippy::mut_mut, reason = "`IoSlice::advance_slices` takes it so")]
fn next_piece<'a>(slices: &mut &mut [IoSlice<'_>], scratch: &'a mut [u8], left: u64) -> &'a [u8] {
    let wanted = usize::try_from(left).map_or(SCRATCH_BYTES, |left| left.min(SCRATCH_BYTES));
    let piece = &mut scratch[..wanted];
    let mut filled = 0;
    while filled < wanted {
        let slice = &slices[0];
        let taken = slice.len().min(wanted - filled);
        piece[filled..filled + taken].copy_from_slice(&slice[..taken]);
        filled += taken;
        IoSlice::advance_slices(slices, taken);
    }
    piece
}

/// How fast direct writes are, window by window.
struct Pace {
    slow_bytes_per_second: u64,
    bytes: u64,
    spent: Duration,
}

impl Pace {
    fn new(slow_bytes_per_second: u64) -> Self {
        Self {
            slow_bytes_per_second,
            bytes: 0,
            spent: Duration::ZERO,
        }
    }

    /// Counts one write; `false` if the window that it completes was slow.
    fn keeps_up(&mut self, bytes: u64, spent: Duration) -> bool {
        self.bytes += bytes;
        self.spent += spent;
        if self.bytes < JUDGED_BYTES {
            return true;
        }
        let wanted = u128::from(self.bytes) * 1_000_000_000;
        let fast = wanted >= self.spent.as_nanos() * u128::from(self.slow_bytes_per_second);
        (self.bytes, self.spent) = (0, Duration::ZERO);
        fast
    }
}

#[cfg(test)]
mod tests;
