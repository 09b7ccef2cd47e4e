//! `[log]`

use super::{
    ConfigError,
    error::Problem,
    section::Section,
    tree::Node,
    value::{self, Read, choice},
};

/// Format and level of the process's log, which goes to stderr.
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// A tracing filter directive such as `info` or `entrepot=debug`.
    pub level: String,
}

/// Shape of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Log {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let log = Self {
            format: section
                .take("format", choice(FORMATS))?
                .unwrap_or(LogFormat::Text),
            level: section
                .take("level", level)?
                .unwrap_or_else(|| "info".to_owned()),
        };
        section.finish()?;
        Ok(log)
    }
}

/// A directive without `=` must be a level: the tracing filter would take a mistyped level for a target, and log nothing.
fn level(node: &Node) -> Read<String> {
    let text = value::text(node)?;
    let wrong = || {
        let levels = LEVELS.join(", ");
        Problem::new(format!(
            "expected one of {levels}, or directives such as \"info,entrepot=debug\", found `{text}`"
        ))
    };
    let known = |word: &str| {
        LEVELS
            .iter()
            .any(|level| level.eq_ignore_ascii_case(word.trim()))
    };
    if !text
        .split(',')
        .all(|directive| directive.contains('=') || known(directive))
    {
        return Err(match value::nearest(&text, LEVELS.into_iter()) {
            Some(near) => wrong().hint(format!("did you mean \"{near}\"?")),
            None => wrong(),
        });
    }
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text),
        Err(_) => Err(wrong()),
    }
}
