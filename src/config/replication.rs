//! `[replication]`

use std::time::Duration;

use super::{
    ConfigError,
    section::Section,
    value::{bandwidth, count, duration, timeout},
};

/// How rules work.
#[derive(Debug, Clone)]
pub struct Replication {
    /// Tasks at once.
    pub concurrency: u32,
    /// Bytes per second of all background transfers; `None`: no limit.
    pub bandwidth: Option<u64>,
    /// How long events are gathered before they are acted on.
    pub event_delay: Duration,
    /// How often event rules go through everything.
    pub reconcile: Duration,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            concurrency: 8,
            bandwidth: None,
            event_delay: Duration::from_secs(1),
            reconcile: Duration::from_hours(1),
        }
    }
}

impl Replication {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let replication = Self {
            concurrency: section
                .take("concurrency", count)?
                .unwrap_or(default.concurrency),
            bandwidth: section.take("bandwidth", bandwidth)?,
            event_delay: section
                .take("event_delay", duration)?
                .unwrap_or(default.event_delay),
            reconcile: section
                .take("reconcile", timeout)?
                .unwrap_or(default.reconcile),
        };
        section.finish()?;
        Ok(replication)
    }
}
