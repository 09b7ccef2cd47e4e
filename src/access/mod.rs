//! Who asks, and who may do what. Layer 1. Decisions are pure: no I/O; only `first_admin` reads and writes a file.

pub mod caller;
pub mod first_admin;
pub mod gate;

pub use caller::Caller;
pub use first_admin::{FirstAdmin, FirstAdminError};
pub use gate::{BadCredentials, Gate};
