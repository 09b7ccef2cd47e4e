//! Webhooks: what happens here is told to receivers elsewhere, in order, at least once. Layer 3.
//!
//! ```text
//!   the change and its event: one transaction ──► events ─┬─► webhook `ci`    passed 12.3 ──► POST, signed
//!                                                         └─► webhook `chat`  passed  9.3 ──► POST, signed
//! ```
//! Each webhook has a row that says how far it has got ([`meta::webhook`](crate::meta::webhook)); whoever sends for it holds
//! the row for a time. So nothing is lost when a process dies, and a receiver that hangs holds up nobody else.
//!
//! `notifier` is the work; `message` the documents, `signer` their signatures, `verdict` what an answer means.

mod message;
mod notifier;
mod signer;
mod verdict;

pub use message::{data, of_execution};
pub use notifier::{Notifier, Parts};
