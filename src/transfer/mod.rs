//! Moving content: remote → store. Layer 2.

pub mod content;
pub mod tail;

pub use content::{Content, ContentBody};
pub use tail::{Tail, TailBody};
