//! `entrepot config check`

use clap::Subcommand;

use super::{ConfigFile, Failure};
use crate::app::App;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read the configuration and the files that it names as `serve` would, and say what is wrong
    Check(ConfigFile),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(file) => check(file),
    }
}

fn check(file: &ConfigFile) -> Result<(), Failure> {
    let config = file.load()?;
    App::check(&config)?;
    for key in &config.without_effect {
        eprintln!("warning: `{key}` is set and has no effect in this version");
    }
    match &file.config {
        Some(path) => println!("{} is valid", path.display()),
        None => println!("the built-in configuration is in force"),
    }
    Ok(())
}
