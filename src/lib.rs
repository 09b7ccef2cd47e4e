//! Entrepot: a container registry that mirrors, hosts and replicates.
//!
//! ```text
//! 6  cli (and main)              parse, choose, exit code
//! 5  app                         composition root: builds everything, layers the routers, drains
//! 4  v2     api                  HTTP edges: the Distribution API · management
//! 3  mirror push notify upkeep … what the product does; knows no HTTP server
//! 2  transfer                    moving content: remote → store, source → remote
//! 1  store  meta  client  access  cluster  jobs
//!                                one thing each: bytes · rows · other registries · who may · fellow replicas · work in turn
//! 0  oci    config  telemetry    plain types; no I/O
//! ```
//!
//! A module uses lower layers only, and of its siblings none but these: `access` and `cluster` keep their rows through `meta`,
//! `config` takes words of `oci`, and `telemetry` one of `config`. `tests/it/layering.rs` holds the `use crate::…` lines
//! against this table.
//! A request for a blob goes `app::router` → `v2::dispatch` → `v2::blobs` → `mirror::Mirror::get_blob`, and down from there.

pub mod access;
pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod jobs;
pub mod meta;
pub mod mirror;
pub mod notify;
pub mod oci;
pub mod push;
pub mod replication;
pub mod settings;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod transfer;
pub mod upkeep;
pub mod v2;
