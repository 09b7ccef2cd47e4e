//! The integration tests: one binary, in-process servers, real HTTP on loopback.

mod cli;
mod fill;
mod fill_lengths;
mod fill_ranges;
mod fill_resume;
mod fill_sharing;
mod fill_wrong_content;
mod freshness;
mod harness;
mod harness_selftest;
mod outage;
mod restart;
mod server;
mod sharing;
mod visibility;
