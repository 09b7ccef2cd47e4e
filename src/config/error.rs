//! What is wrong with a configuration: key, file, what is allowed.

use std::{fmt, path::PathBuf};

/// One mistake; the process exits with 64 before anything is bound or written.
///
/// Shown as ``entrepot.toml:12: `remote[0].urls`: …``. The hint is for the caller to print on a line of its own.
#[derive(Debug, thiserror::Error)]
#[error("{}{}{problem}", Place(self), Key(&self.key))]
pub struct ConfigError {
    /// `None`: the mistake is in an environment variable.
    pub file: Option<PathBuf>,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// Full name such as `remote[0].urls`, or the name of the environment variable; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and what is allowed.
    pub problem: String,
    pub hint: Option<String>,
}

struct Place<'e>(&'e ConfigError);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.0.file else {
            return f.write_str("environment: ");
        };
        write!(f, "{}:", file.display())?;
        if let Some(line) = self.0.line {
            write!(f, "{line}:")?;
        }
        f.write_str(" ")
    }
}

struct Key<'e>(&'e str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "`{}`: ", self.0)
        }
    }
}

/// What is wrong with one value; the section that holds the value adds key and place.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
