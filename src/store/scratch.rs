//! Aligned memory for direct writes: one buffer per running step, reused by whichever step comes next.
//!
//! Fresh memory would cost as much as the fresh pages of the page cache that direct writes are there to avoid.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What memory, offset and length of a direct write must be multiples of: the page size, and no less than any usual
/// disk's block size. (A kernel with larger pages, or a disk with larger blocks, sees to it or says EINVAL.)
pub(super) const ALIGNMENT: usize = 4096;
/// Usable bytes of one buffer, and the most that one direct write takes.
pub(super) const SCRATCH_BYTES: usize = 1024 * 1024;
/// Unused buffers kept while anybody holds a [`Lease`]; more are given back to the allocator.
const KEPT: usize = 4;

static POOL: Mutex<Pool> = Mutex::new(Pool {
    leases: 0,
    unused: Vec::new(),
});

struct Pool {
    leases: usize,
    unused: Vec<Box<[u8]>>,
}

impl Pool {
    fn lease(&mut self) {
        self.leases += 1;
    }

    fn release(&mut self) {
        self.leases -= 1;
        if self.leases == 0 {
            self.unused = Vec::new();
        }
    }

    fn give_back(&mut self, memory: Box<[u8]>) {
        if self.leases > 0 && self.unused.len() < KEPT {
            self.unused.push(memory);
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that buffers are going to be needed. With the last lease the unused ones go: an idle process keeps none.
pub(super) struct Lease(());

impl Lease {
    pub(super) fn new() -> Self {
        pool().lease();
        Self(())
    }

    /// A buffer, with whatever was in it before.
    #[expect(clippy::unused_self, reason = "without a lease the pool keeps nothing")]
    pub(super) fn scratch(&self) -> Scratch {
        let unused = pool().unused.pop();
        // Too long by what it takes to begin at a multiple wherever the allocator puts it.
        let memory =
            unused.unwrap_or_else(|| vec![0; SCRATCH_BYTES + ALIGNMENT].into_boxed_slice());
        Scratch { memory }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        pool().release();
    }
}

/// A buffer that goes back to the pool when dropped.
pub(super) struct Scratch {
    memory: Box<[u8]>,
}

impl Scratch {
    /// The [`SCRATCH_BYTES`] that begin at a multiple of [`ALIGNMENT`].
    pub(super) fn aligned(&mut self) -> &mut [u8] {
        let address = self.memory.as_ptr().addr();
        let start = address.next_multiple_of(ALIGNMENT) - address;
        &mut self.memory[start..start + SCRATCH_BYTES]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        pool().give_back(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_the_pool_is_bounded() {
        let lease = Lease::new();
        let mut many: Vec<_> = (0..KEPT * 2).map(|_| lease.scratch()).collect();
        for scratch in &mut many {
            let aligned = scratch.aligned();
            assert_eq!(aligned.as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(aligned.len(), SCRATCH_BYTES);
        }
        drop(many);
        assert!(pool().unused.len() <= KEPT);
    }

    #[test]
    fn nothing_is_kept_without_a_lease() {
        let mut pool = Pool {
            leases: 0,
            unused: Vec::new(),
        };
        pool.lease();
        pool.lease();
        pool.give_back(Box::default());
        pool.release();
        assert_eq!(pool.unused.len(), 1);
        pool.release();
        assert!(pool.unused.is_empty());
        pool.give_back(Box::default());
        assert!(pool.unused.is_empty());
    }
}
