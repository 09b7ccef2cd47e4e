//! Mirroring: answers for repositories of mirror projects, from what is here and from their remotes. Layer 3: called by
//! the HTTP edges, calls `transfer`, `store`, `meta`, `client`, `access`; knows no HTTP server.

mod absent;
pub mod blobs;
mod dial;
pub mod engine;
pub mod entry;
pub mod error;
mod fetch;
pub mod flight;
pub mod freshness;
mod image;
mod listed;
pub mod lists;
pub mod manifests;
pub mod outcome;
mod outline;
mod purge;
pub mod refresh;
pub mod resolve;
pub mod tags;
mod turn;
mod verdict;

pub use engine::{Answer, Mirror, Parts};
pub use entry::{Entry, EntryState, Missing, MissingKind};
pub use error::MirrorError;
pub use image::platform;
pub use manifests::{ManifestContent, ManifestSummary};
pub use outcome::Outcome;
pub use outline::Outline;
pub use resolve::{Located, Repository, ResolveError};
pub use verdict::{NoEntry, Visited};
