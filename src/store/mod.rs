//! Content-addressed bytes: the only way to content. Layer 1: knows files, knows no rows and no registry.
//!
//! A blob in place is complete and verified, always. What is not yet complete is a [`Spool`]: a growing file that
//! readers may follow, that a later process may resume, and that becomes a blob by `verify` and `commit`.
//!
//! Bytes come before rows, and rows go before bytes. What is put in place is marked until its rows are written
//! ([`Placed`]), so that a crash in between leaves no file that nobody knows of; and a file whose content somebody else
//! changed loses its seal (`seal.rs`), is hashed before it is served, and goes if it is not right.
//!
//! Every blocking file operation runs in one `spawn_blocking` closure that reaches its end even when the future that
//! waits for it is dropped. The one exception are reads that the page cache answers at once ([`PageReader`]).

pub mod error;
pub mod local;
pub mod object;
pub mod paths;
pub mod reader;
pub mod writer;

mod appender;
mod buffers;
mod claims;
mod folder;
mod hot;
mod open_files;
mod placed;
mod scratch;
mod seal;
mod upload;

#[cfg(test)]
mod tests;
mod used;

pub use claims::Claim;
pub use error::StoreError;
pub use local::Store;
pub use object::{ObjectError, ObjectId, ObjectSetupError, Objects};
pub use placed::Placed;
pub use reader::{Blob, BlobBody, PageReader};
pub use upload::UploadFile;
pub use used::LocalFile;
pub use writer::{AppendError, Spool, Verified};
