//! A client of other registries: one [`RegistryClient`] per remote. Layer 1: knows the wire, knows no rows and no store.
//!
//! `registry` has the operations; `transport` lists what wraps each request; every other file is one item of that list.

mod authorize;
mod bandwidth;
mod body;
mod budget;
mod challenge;
mod credentials;
mod document;
mod endpoint;
pub mod error;
mod failover;
mod guard;
mod health;
mod lend;
mod limit;
mod listing;
mod lists;
mod ping;
pub mod post;
mod project;
mod provider;
mod push;
mod range;
mod redirect;
pub mod registry;
mod remotes;
mod retry;
mod rights;
mod shared;
mod tls;
mod token;
mod transport;
mod upload;

#[cfg(test)]
mod tests;

pub use bandwidth::Bandwidth;
pub use body::BlobStreamBody;
pub use budget::RateBudget;
pub use error::{ClientError, ErrorKind, SetupError};
pub use health::{Presence, Trouble, UrlHealth};
pub use lend::{Feed, FeedBroken, Lender};
pub use lists::referrers_tag;
pub use ping::{LetIn, Ping};
pub use post::{Posted, Poster, PosterError};
pub use project::Made;
pub use provider::{Abilities, Profile, profile};
pub use push::ManifestTaken;
pub use registry::{BlobStream, ManifestHead, Patience, Priority, RegistryClient, RemoteManifest};
pub use remotes::Remotes;
pub use shared::LimitNews;
pub use tls::{AcceptAny, default_roots, usual_tls};
pub use upload::{Started, UploadSession};
