//! `[storage]`

use std::{path::PathBuf, time::Duration};

/// Where content is kept.
#[derive(Debug, Clone)]
pub struct Storage {
    pub path: PathBuf,
    /// Budget for cached content; `None` is unlimited.
    pub max_bytes: Option<u64>,
    pub free_floor_bytes: u64,
    pub spool_max_age: Duration,
}
