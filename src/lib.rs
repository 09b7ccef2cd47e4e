//! Entrepot: a container registry that mirrors, hosts and replicates.

pub mod access;
pub mod client;
pub mod config;
pub mod meta;
pub mod mirror;
pub mod oci;
pub mod store;
pub mod telemetry;
pub mod transfer;
