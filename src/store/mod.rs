//! Content-addressed bytes: the only way to content. Layer 1: knows files, knows no rows and no registry.
//!
//! A blob in place is complete and verified, always. What is not yet complete is a [`Spool`]: a growing file that
//! readers may follow, that a later process may resume, and that becomes a blob by `verify` and `commit`.
//!
//! Every blocking file operation runs in one `spawn_blocking` closure that reaches its end even when the future that
//! waits for it is dropped. The one exception are reads that the page cache answers at once ([`PageReader`]).

pub mod error;
pub mod local;
pub mod paths;
pub mod reader;
pub mod writer;

mod appender;
mod buffers;
mod claims;
mod folder;
mod hot;
mod open_files;
mod scratch;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use local::Store;
pub use reader::{Blob, BlobBody, PageReader};
pub use writer::{Spool, Verified};
