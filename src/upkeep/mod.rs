//! Upkeep: what keeps the store within its bounds and true to its rows. Layer 3: called by `app` and `api`; uses
//! `transfer`, `store` and `meta`; knows no sibling. Each part has a `run_once()`; those that work by themselves have a
//! `run(shutdown)` around it.

pub mod demand;
pub mod evict;
pub mod garbage;
pub mod history;
pub mod leftovers;
pub mod local;
pub mod orphans;
mod rest;
pub mod retain;
pub mod scrub;
pub mod upload;
pub mod uses;

pub use demand::Evicted;
pub use evict::Evictor;
pub use garbage::Collector;
pub use history::History;
pub use leftovers::Leftovers;
pub use local::LocalTier;
pub use orphans::{Collected, Orphans};
pub use retain::{DueTag, Retainer, Retired};
pub use scrub::{Scrubbed, Scrubber};
pub use upload::{Uploader, Uploads};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tier_tests;
