//! Reading `[[project.retention]]`.

use std::time::Duration;

use super::Retention;
use crate::{
    config::{
        ConfigError, Pattern,
        error::Problem,
        section::Section,
        tree::Node,
        value::{Read, count, duration, pattern},
    },
    oci::Tag,
};

/// As many as are remembered while a repository is looked through.
const NEWEST_MAX: u32 = 10_000;

impl Retention {
    /// Does this rule decide about the tag?
    pub fn applies_to(&self, tag: &Tag) -> bool {
        self.tags.matches(tag.as_str())
    }
}

/// The rules as given.
pub(super) fn read_all(section: &mut Section<'_>) -> Result<Vec<Retention>, ConfigError> {
    let mut rules = Vec::new();
    for mut section in section.tables("retention")? {
        let rule = Retention {
            tags: section
                .take("tags", pattern)?
                .unwrap_or_else(Pattern::everything),
            newest: section.take("newest", newest)?,
            max_age: section.take("max_age", max_age)?,
        };
        if rule.newest.is_none() && rule.max_age.is_none() {
            let problem = Problem::new("missing, and so is `max_age`; without both no tag goes");
            return Err(section.error("newest", problem));
        }
        section.finish()?;
        rules.push(rule);
    }
    Ok(rules)
}

fn newest(node: &Node) -> Read<u32> {
    let newest = count(node)?;
    if newest > NEWEST_MAX {
        return Err(Problem::new(format!(
            "expected a whole number from 1 to {NEWEST_MAX}, found {newest}"
        )));
    }
    Ok(newest)
}

fn max_age(node: &Node) -> Read<Duration> {
    let age = duration(node)?;
    if age.is_zero() {
        return Err(Problem::new("expected a duration longer than zero"));
    }
    Ok(age)
}
