//! Copying between registries that nobody configured: what `entrepot copy` and `entrepot sync` need of names, logins and
//! rules. Layer 3: the bytes are moved by `transfer::send`.
//!
//! `entrepot sync` takes image-syncer's files and flags: `files` reads them, `rule` and `auth` are what they say, `run`
//! carries them out, `report` says it.

mod auth;
mod entries;
mod expand;
mod files;
mod image;
mod reach;
pub mod report;
mod rule;
pub mod run;
mod shared;

pub use auth::{Auth, Matched};
pub use expand::Variables;
pub use files::{FileError, Files, Plan};
pub use image::{Image, ImageError, Place};
pub use reach::{Reach, Registries, Registry, is_on_this_machine};
pub use rule::{Defaults, Rule, RuleError, Target, What};
