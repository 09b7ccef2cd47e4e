//! The process's log: lines on stderr, as text or as JSON.

use std::{
    io::{self, IsTerminal},
    sync::LazyLock,
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Directive, fmt, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::{Traces, traces};
use crate::config::LogFormat;

/// The target of the one line that each finished request gets; `log.level = "info,access=off"` silences it.
pub const ACCESS_TARGET: &str = "access";
/// The target of the one line that each change by the management API gets.
pub const AUDIT_TARGET: &str = "audit";

static SILENT_TRACES: LazyLock<Directive> = LazyLock::new(|| {
    let directive = format!("{}=off", traces::TARGET);
    directive.parse().expect("a target and a level")
});

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

/// Sends all events of this process to stderr, and its spans for traces to their collector. Once per process.
pub fn init(format: LogFormat, level: &str, traces: Option<&Traces>) -> Result<(), LogError> {
    // Spans for traces say nothing to the log; where nobody else wants them, they are not made.
    let filter = filter(level)?.add_directive(SILENT_TRACES.clone());
    let registry = tracing_subscriber::registry();
    match traces {
        None => registry.with(filter).with(lines(format)).try_init(),
        Some(traces) => registry
            .with(traces.layer())
            .with(lines(format).with_filter(filter))
            .try_init(),
    }
    .map_err(LogError::Installed)
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    match format {
        LogFormat::Text => fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
            .boxed(),
    }
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
            assert!(filter(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        let error = filter("entrepot=loud").unwrap_err();
        assert!(error.to_string().contains("entrepot=loud"), "{error}");
    }
}
