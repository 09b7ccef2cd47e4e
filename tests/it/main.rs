//! The integration tests: one binary, in-process servers, real HTTP on loopback.

mod cli;
mod harness;
mod harness_selftest;
