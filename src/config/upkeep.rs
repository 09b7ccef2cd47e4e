//! `[upkeep]`

use std::time::Duration;

use super::{
    ConfigError,
    section::Section,
    value::{count, duration},
};

/// How long things are kept that nothing needs.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// How long a blob that no manifest names stays, although room is wanted.
    pub orphan_grace: Duration,
    /// How long it is remembered what was done: the audit, executions that have ended, events, notices and deletes of tags.
    pub keep: Duration,
}

fn days(days: u32) -> Duration {
    Duration::from_hours(24) * days
}

impl Upkeep {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let upkeep = Self {
            orphan_grace: section
                .take("orphan_grace", duration)?
                .unwrap_or(Duration::from_hours(1)),
            keep: section
                .take("keep_days", count)?
                .map_or(Duration::from_hours(30 * 24), days),
        };
        section.finish()?;
        Ok(upkeep)
    }
}
