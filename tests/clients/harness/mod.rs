//! What the tests of all clients share: finding programs, running them within bounds, and the world
//! of registries and mirror that they pull from, or the registry that they push to.

mod content;
mod hosting;
mod layers;
mod mirror;
mod network;
mod process;
mod remote;
mod tools;
mod world;

pub(crate) use content::{ARTIFACT_TYPE, Image, PROJECTS, SBOM_TYPE};
pub(crate) use hosting::{Hosting, PASSWORD, SETTINGS};
pub(crate) use layers::Recipe;
pub(crate) use network::call_api;
pub(crate) use process::{Daemon, eventually, run, succeeds};
pub(crate) use remote::Remote;
pub(crate) use tools::Client;
pub(crate) use world::{World, cold_hot_and_with_the_remotes_stopped};
