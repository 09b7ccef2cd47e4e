//! `[storage]`

use std::{path::PathBuf, time::Duration};

use super::{
    ConfigError, ObjectStorage,
    section::Section,
    value::{duration, size, size_or_unlimited},
};

/// Where content is kept.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Spool, database, secrets and content.
    pub path: PathBuf,
    /// Budget for cached content; `None` is unlimited.
    pub max_bytes: Option<u64>,
    /// Caching stops, serving goes on, when the disk has less free than this.
    pub free_floor_bytes: u64,
    /// How long an unfinished fill is kept to be resumed.
    pub spool_max_age: Duration,
    /// Content in object storage; `None` keeps it under `path` only.
    pub objects: Option<ObjectStorage>,
}

const GIB: u64 = 1 << 30;

impl Storage {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let storage = Self {
            path: section
                .path("path")?
                .unwrap_or_else(|| section.folder().join("entrepot-data")),
            max_bytes: section
                .take("max_bytes", size_or_unlimited)?
                .unwrap_or(Some(50 * GIB)),
            free_floor_bytes: section.take("free_floor", size)?.unwrap_or(2 * GIB),
            spool_max_age: section
                .take("spool_max_age", duration)?
                .unwrap_or(Duration::from_hours(24)),
            objects: ObjectStorage::read(&mut section)?,
        };
        section.finish()?;
        Ok(storage)
    }
}
