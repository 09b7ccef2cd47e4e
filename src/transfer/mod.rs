//! Moving content: remote → store. Layer 2: joins `client` and `store`, and writes the rows of what arrived.
//!
//! ```text
//! Fills::join ──first──► fill task ──► window ──append──► spool file ──verify──► blob in place, rows
//!      │                                 ▲                  ▲ ▲ ▲
//!      └──everybody──► Tail ── keeps up ─┘ ──── or reads ───┘ │ │   (slow, late and ranged readers)
//! ```

pub mod content;
pub mod error;
pub mod fill;
pub mod inflight;
mod progress;
pub mod tail;

mod window;

pub use content::{Content, ContentBody};
pub use error::FillError;
pub use inflight::{FillRequest, Fills, Joined};
pub use tail::{Tail, TailBody};
