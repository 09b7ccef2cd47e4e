//! `[secrets]`: what seals secrets at rest.

use super::{ConfigError, Database, Secret, error::Problem, section::Section};

/// Shorter ones can be guessed.
const KEY_MIN_BYTES: usize = 16;

/// What seals secrets at rest.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// `None`: one is made below the data folder.
    pub key: Option<Secret>,
}

impl Secrets {
    /// With PostgreSQL the rows are not on this machine alone, and neither may the key be.
    pub(super) fn read(mut section: Section<'_>, database: &Database) -> Result<Self, ConfigError> {
        let key = section.secret("key")?;
        match &key {
            Some(key) if key.expose().len() < KEY_MIN_BYTES => {
                let text = format!("expected a text of at least {KEY_MIN_BYTES} bytes");
                return Err(section.error("key", Problem::new(text)));
            }
            None if matches!(database, Database::Postgres(_)) => {
                let problem = Problem::new(
                    "missing; with PostgreSQL the key that seals secrets in the database is yours to keep",
                );
                let hint = "make one with `openssl rand -base64 32`, the same for all replicas";
                return Err(section.error("key", problem.hint(hint)));
            }
            _ => {}
        }
        section.finish()?;
        Ok(Self { key })
    }
}
