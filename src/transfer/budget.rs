//! A cap on bytes per second that can be changed while transfers run under it.

use std::{num::NonZeroU64, time::Duration};

use crate::client::{Bandwidth, Priority};

/// How often a transfer that waits looks whether the cap has changed.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Bytes per second for all transfers that share it.
#[derive(Default)]
pub struct Budget(Bandwidth);

impl Budget {
    /// `None`: as many as there can be.
    pub fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        let budget = Self::default();
        budget.set(bytes_per_second);
        budget
    }

    /// Holds at once, for running transfers too.
    pub fn set(&self, bytes_per_second: Option<NonZeroU64>) {
        self.0.set(bytes_per_second.map(NonZeroU64::get));
    }

    /// How many of `wanted` bytes may pass now, or how long to wait before asking again.
    pub(super) fn take(&self, wanted: usize) -> Result<usize, Duration> {
        let taken = self.0.take(wanted, Priority::Foreground);
        taken.map_err(|wait| wait.min(LONGEST_WAIT))
    }
}
