//! Moving content: remote → store, between the store and object storage, and from a source to a registry ([`send`]).
//! Layer 2: joins `client` and `store`, and writes the rows of what arrived.
//!
//! ```text
//! Fills::join ──first──► fill task ──► window ──append──► spool file ──verify──► blob in place, rows
//!      │                                 ▲                  ▲ ▲ ▲
//!      ├──everybody──► Tail ── keeps up ─┘ ──── or reads ───┘ │ │   (slow, late and ranged readers)
//!      └──no room────► Passing: a request of its own for each client, nothing is kept
//! ```
//!
//! A fill has its bytes from the blob's object, where there is one, or from the remote ([`Origin`]), or from another
//! replica that has them from there (`way.rs`); what a fill has brought
//! is uploaded behind it ([`Tier`]).
//!
//! Here are also the ledger of what may be kept ([`Space`]), and the one place where the file of a blob is deleted because
//! its rows are gone ([`Fills::reconcile`]).

pub mod budget;
pub mod content;
pub mod error;
pub mod fill;
pub mod inflight;
pub mod kept;
pub mod ledger;
pub mod limits;
pub mod origin;
pub mod passing;
pub mod reconcile;
pub mod send;
pub mod share;
pub mod space;
pub mod tail;
pub mod tier;

mod feed;
mod permit;
mod progress;
mod pump;
mod resume;
mod source;
mod way;
mod window;

pub use budget::Budget;
pub use content::{Content, ContentBody};
pub use error::FillError;
pub use inflight::{FillRequest, Fills, Joined, Parts, RunningFill};
pub use kept::Kept;
pub use ledger::Standing;
pub use limits::SharedLimits;
pub use origin::{Origin, RemoteBlob};
pub use passing::{Passing, PassingBody};
pub use reconcile::{ReconcileError, Reconciled};
pub use share::Shared;
pub use space::{Limits, Space};
pub use tail::{Tail, TailBody};
pub use tier::{StoredObject, Tier, TierError, TierParts, Uploaded};
