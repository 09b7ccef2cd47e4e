//! The process's log: lines on stderr, as text or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The target of the one line that each finished request gets; `log.level = "info,access=off"` silences it.
pub const ACCESS_TARGET: &str = "access";
/// The target of the one line that each change by the management API gets.
pub const AUDIT_TARGET: &str = "audit";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Why the log cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("`{level}` is not a level or a filter such as `info` or `entrepot=debug`")]
    Level {
        level: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("a log is already set up in this process")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

/// Checks a filter directive without starting anything.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

/// Sends all events of this process to stderr. Once per process.
pub fn init(format: LogFormat, level: &str) -> Result<(), LogError> {
    let registry = tracing_subscriber::registry().with(filter(level)?);
    match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_ansi(io::stderr().is_terminal())
                    .with_writer(io::stderr),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(io::stderr),
            )
            .try_init(),
    }
    .map_err(LogError::Installed)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(level).map_err(|source| LogError::Level {
        level: level.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken() {
        for level in ["info", "entrepot=debug", "info,access=off"] {
            assert!(check_level(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        let error = check_level("entrepot=loud").unwrap_err();
        assert!(error.to_string().contains("entrepot=loud"), "{error}");
    }
}
