//! Real clients pull through the real server from real registries.
//!
//! Each test lays out a [`harness::World`] of its own: two registries with content that is built on
//! the spot, and the `entrepot` binary as their mirror. Then one client, new each time, pulls all of
//! it cold, hot, and once more with the registries stopped. Nothing outside this machine is dialed.
//!
//! The programs come from `make tools`. One that is missing fails its test.

mod containerd;
mod crane;
mod docker;
mod harness;
mod helm;
mod logins;
mod podman;
mod regctl;
mod skopeo;
