//! The integration tests: one binary, in-process servers, real HTTP on loopback.

mod blobs_ranges;
mod harness;
mod harness_selftest;
mod layering;
mod lists;
mod manifests;
mod private_projects;
mod referrers;
mod routing;
mod server;
