//! The SQLite database: a pool of readers and one writer task that groups commits.

use std::path::Path;

use super::MetaError;

/// All rows; cheap to clone.
#[derive(Clone)]
pub struct Meta {
    _private: (),
}

impl Meta {
    /// Opens (makes, migrates) the database file.
    pub async fn open(_file: &Path) -> Result<Self, MetaError> {
        todo!()
    }
    /// Waits until everything that was written is durable, then closes.
    pub async fn close(&self) {
        todo!()
    }
}
