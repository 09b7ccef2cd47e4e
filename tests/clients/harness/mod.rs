//! What the tests of all clients share: finding programs, running them within bounds, and the world
//! of registries and mirror that they pull from.

mod content;
mod mirror;
mod network;
mod process;
mod remote;
mod tools;
mod world;

pub(crate) use content::{ARTIFACT_TYPE, Image, PROJECTS, SBOM_TYPE};
pub(crate) use process::{Daemon, run, succeeds};
pub(crate) use tools::Client;
pub(crate) use world::{World, cold_hot_and_with_the_remotes_stopped};
