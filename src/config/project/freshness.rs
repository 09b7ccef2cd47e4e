//! Reading `[[project.freshness]]`.

use std::time::Duration;

use super::{Freshness, FreshnessMode, StaleIfError};
use crate::config::{
    ConfigError, Pattern,
    error::Problem,
    section::Section,
    tree::Node,
    value::{Read, choice, duration, pattern, text},
};

const MODES: &[(&str, FreshnessMode)] = &[
    ("ttl", FreshnessMode::Ttl),
    ("always", FreshnessMode::Always),
    ("immutable", FreshnessMode::Immutable),
];

const DEFAULT_TTL: Duration = Duration::from_mins(1);

impl Freshness {
    /// The rule that stands, unsaid, after all others.
    pub(super) fn of_all_tags() -> Self {
        Self {
            tags: Pattern::everything(),
            mode: FreshnessMode::Ttl,
            ttl: DEFAULT_TTL,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: StaleIfError::Unlimited,
        }
    }
}

/// The rules as given, and last the default for all tags that none of them matches.
pub(super) fn read_all(section: &mut Section<'_>) -> Result<Vec<Freshness>, ConfigError> {
    let mut rules = Vec::new();
    for mut section in section.tables("freshness")? {
        let default = Freshness::of_all_tags();
        rules.push(Freshness {
            tags: section.take("tags", pattern)?.unwrap_or(default.tags),
            mode: section.take("mode", choice(MODES))?.unwrap_or(default.mode),
            ttl: section.take("ttl", duration)?.unwrap_or(default.ttl),
            stale_while_revalidate: section
                .take("stale_while_revalidate", duration)?
                .unwrap_or(default.stale_while_revalidate),
            stale_if_error: section
                .take("stale_if_error", stale_if_error)?
                .unwrap_or(default.stale_if_error),
        });
        section.finish()?;
    }
    rules.push(Freshness::of_all_tags());
    Ok(rules)
}

fn stale_if_error(node: &Node) -> Read<StaleIfError> {
    if matches!(text(node), Ok(text) if text == "unlimited") {
        return Ok(StaleIfError::Unlimited);
    }
    let wrong = |_| Problem::new("expected a duration such as \"24h\", or \"unlimited\"");
    duration(node).map(StaleIfError::For).map_err(wrong)
}
