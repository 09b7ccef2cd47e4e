//! Mirroring: answers for repositories of mirror projects, from what is here and from their remotes. Layer 3.

pub mod engine;
pub mod error;
pub mod outcome;
pub mod resolve;

pub use engine::{Answer, ManifestContent, ManifestSummary, Mirror, Parts};
pub use error::MirrorError;
pub use outcome::Outcome;
pub use resolve::{Projects, Repository, ResolveError};
