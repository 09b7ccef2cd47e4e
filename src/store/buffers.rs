//! Reused page buffers: a stream of 256 KiB allocations costs 10-20 % of the time of a download otherwise.
//!
//! A client that reads slowly holds what was read for it. So once many buffers are in use, reads are small: a thousand
//! slow clients hold little more than a hundred.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// Size of one buffer, and the most that one read takes.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;
/// Up to this length bytes are held in an allocation of their own size: a queue of short reads must not pin big buffers.
pub(super) const SMALL_BYTES: usize = 32 * 1024;
/// Unused buffers kept (8 MiB); more are given back to the allocator.
const KEPT: usize = 32;

/// With more in use than this (32 MiB), reads take no buffer.
const CROWDED: usize = 128;

static UNUSED: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// A buffer that goes back to the pool when dropped.
struct Pooled {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Pooled {
    fn take() -> Self {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        IN_USE.fetch_add(1, Ordering::Relaxed);
        Self {
            buffer: unused.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice()),
            filled: 0,
        }
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        IN_USE.fetch_sub(1, Ordering::Relaxed);
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < KEPT {
            unused.push(buffer);
        }
    }
}

/// Bytes made by one `read` of at most `wanted` (and at most [`BUFFER_BYTES`], or [`SMALL_BYTES`] in a crowd), which says
/// how many it filled.
pub(super) fn read_bytes<E>(
    wanted: usize,
    read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<Bytes, E> {
    if wanted <= SMALL_BYTES || IN_USE.load(Ordering::Relaxed) >= CROWDED {
        let mut exact = vec![0; wanted.min(SMALL_BYTES)];
        let filled = read(&mut exact)?;
        exact.truncate(filled);
        return Ok(exact.into());
    }
    let mut pooled = Pooled::take();
    let wanted = wanted.min(BUFFER_BYTES);
    pooled.filled = read(&mut pooled.buffer[..wanted])?;
    if pooled.filled <= SMALL_BYTES {
        return Ok(Bytes::copy_from_slice(pooled.as_ref()));
    }
    Ok(Bytes::from_owner(pooled))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Buffers are the process's: tests that count them take turns.
    static TURN: Mutex<()> = Mutex::new(());

    fn read_all_of(wanted: usize) -> Bytes {
        read_bytes(wanted, |buffer| {
            buffer.fill(7);
            Ok::<_, Infallible>(buffer.len())
        })
        .unwrap()
    }

    #[test]
    fn a_read_is_never_longer_than_a_buffer() {
        let _turn = TURN.lock();
        assert_eq!(read_all_of(0).len(), 0);
        assert_eq!(read_all_of(SMALL_BYTES).len(), SMALL_BYTES);
        assert_eq!(read_all_of(SMALL_BYTES + 1).len(), SMALL_BYTES + 1);
        assert_eq!(read_all_of(BUFFER_BYTES + 1).len(), BUFFER_BYTES);
    }

    #[test]
    fn a_reused_buffer_shows_only_what_was_read_into_it() {
        let _turn = TURN.lock();
        drop(read_all_of(BUFFER_BYTES));
        let bytes = read_bytes(BUFFER_BYTES, |buffer| {
            buffer[..40_000].fill(9);
            Ok::<_, Infallible>(40_000)
        })
        .unwrap();
        assert_eq!(bytes, vec![9; 40_000]);
    }

    #[test]
    fn the_pool_is_bounded() {
        let _turn = TURN.lock();
        let many: Vec<_> = (0..KEPT * 2).map(|_| read_all_of(BUFFER_BYTES)).collect();
        drop(many);
        assert!(UNUSED.lock().unwrap().len() <= KEPT);
    }

    #[test]
    fn in_a_crowd_reads_are_small_and_then_large_again() {
        let _turn = TURN.lock();
        let held: Vec<_> = (0..CROWDED).map(|_| read_all_of(BUFFER_BYTES)).collect();
        assert_eq!(read_all_of(BUFFER_BYTES).len(), SMALL_BYTES);
        drop(held);
        assert_eq!(read_all_of(BUFFER_BYTES).len(), BUFFER_BYTES);
    }
}
