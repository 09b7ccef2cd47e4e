//! Who asks, and who may do what. Layer 1. Decisions are pure: no I/O.

pub mod caller;
pub mod gate;

pub use caller::Caller;
pub use gate::{BadCredentials, Gate};
