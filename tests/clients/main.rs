//! Real clients pull through the real server from real registries, and push to it.
//!
//! Each test of pulls lays out a [`harness::World`] of its own: two registries with content that is built on
//! the spot, and the `entrepot` binary as their mirror. Then one client, new each time, pulls all of
//! it cold, hot, and once more with the registries stopped. A test of pushes
//! has a [`harness::Hosting`]: the server alone. The test that is named after a product document has a site behind it, too. Nothing outside this machine is dialed.
//!
//! The programs come from `make tools`. One that is missing fails its test.

mod containerd;
mod crane;
mod docker;
mod harness;
mod helm;
mod hub_login;
mod podman;
mod push;
mod regctl;
mod seed_002_4e55066f564b3903;
mod skopeo;
