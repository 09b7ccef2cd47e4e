//! `[log]`

/// Format and level of the process's log, which goes to stderr.
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// A tracing filter directive such as `info` or `entrepot=debug`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
