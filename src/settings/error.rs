//! Why something cannot be set, by what the caller can do about it.

use crate::{config::ConfigError, meta::MetaError};

/// Why something cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// One member is wrong.
    #[error("`{field}`: {message}")]
    Invalid { field: String, message: String },
    #[error("{0}")]
    NotFound(String),
    /// Something else is in the way.
    #[error("{0}")]
    Conflict(String),
    /// Not with this caller's rights.
    #[error("{0}")]
    Forbidden(String),
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// What the file declares cannot be read any more.
    #[error("the configuration file cannot be read again: {0}")]
    Declared(#[from] ConfigError),
}

impl SettingsError {
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::Invalid { field, message }
    }

    /// What is wrong with a row, to the one who gave it.
    pub(super) fn refused(error: &ConfigError) -> Self {
        let message = match &error.hint {
            Some(hint) => format!("{}; {hint}", error.problem),
            None => error.problem.clone(),
        };
        Self::invalid(error.key.clone(), message)
    }
}
