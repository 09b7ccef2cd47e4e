//! What is wrong with a configuration: key, file, what is allowed.

use std::path::PathBuf;

/// One mistake; the process exits with 64 before anything is bound or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: `{key}`: {problem}", file.as_ref().map_or_else(|| "environment".to_owned(), |f| f.display().to_string()))]
pub struct ConfigError {
    pub file: Option<PathBuf>,
    pub key: String,
    /// What is wrong and what is allowed.
    pub problem: String,
    pub hint: Option<String>,
}
