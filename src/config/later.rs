//! Sections of the contract that this version knows and checks, but does not act on yet.

use super::{
    ConfigError,
    section::Section,
    value::{bandwidth, count, duration},
};

pub(super) fn replication(mut section: Section<'_>) -> Result<(), ConfigError> {
    section.set_aside("concurrency", count)?;
    section.set_aside("bandwidth", bandwidth)?;
    section.set_aside("event_delay", duration)?;
    section.set_aside("reconcile", duration)?;
    section.finish()
}
