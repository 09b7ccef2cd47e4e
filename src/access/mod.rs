//! Who asks, and who may do what. Layer 1. Decisions are pure: no I/O; only `first_admin` reads and writes a file.

pub mod caller;
pub mod first_admin;
pub mod gate;
mod own_file;
pub mod principal;
pub mod projects;
pub mod right;
mod secret_key;
pub mod source;

pub use caller::Caller;
pub use first_admin::{FirstAdmin, FirstAdminError};
pub use gate::{Gate, IdentifyError};
pub use own_file::OwnFileError;
pub use principal::{Grant, Principal, Scope};
pub use projects::{ProjectSet, Projects};
pub use right::{Right, Rights, UnknownRight};
pub use secret_key::SecretKey;
pub use source::Source;
