//! Rows: which repository may see what, what tags point to, what was learned from remotes and when. Layer 1.
//! Every SQL statement of the product is in this folder. SQLite now; one writer connection, commits grouped.
//!
//! The text of a statement stands beside the functions that use it, and is the same for PostgreSQL: `$1` placeholders,
//! `ON CONFLICT`, `RETURNING`; BIGINT, TEXT, BOOLEAN and bytes only.

pub mod blob;
pub mod error;
pub mod list;
pub mod manifest;
pub mod repository;
pub mod tag;

mod column;
mod hot;
mod sqlite;
#[cfg(test)]
mod tests;
mod writer;

pub use error::MetaError;
pub use list::{ListKind, ListRow};
pub use manifest::{ManifestCommit, ManifestRow, Referenced};
pub use sqlite::Meta;
pub use tag::{ManifestSummary, TagRow};
