//! The integration tests: one binary, in-process servers, real HTTP on loopback.

mod blobs_ranges;
mod cli;
mod errors;
mod fidelity;
mod forward_proxy;
mod harness;
mod harness_selftest;
mod layering;
mod listeners;
mod lists;
mod manifests;
mod operators;
mod private_projects;
mod process;
mod redirects;
mod referrers;
mod remote_auth;
mod remote_limits;
mod remote_proxy;
mod remote_tls;
mod routing;
mod server;
mod shutdown;
mod start;
