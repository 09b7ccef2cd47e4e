//! The command line: one file per command. Layer 6. Data goes to stdout, logs and errors to stderr; a usage or configuration
//! error exits with 64 before anything is bound or written (`sync` with 255, as image-syncer does). Other codes, of sysexits.h
//! too: 69 when the server cannot be asked, 77 when it refuses.

#![expect(clippy::print_stdout, reason = "a command's data goes to stdout")]

mod cache;
mod cache_text;
mod call_error;
mod client_lines;
mod config;
mod connection;
mod copy;
mod copy_text;
mod execution;
mod execution_watch;
mod healthcheck;
mod members;
mod output;
mod project;
mod remote;
mod rights;
mod rule;
mod serve;
mod session;
mod sync;
mod sync_text;
mod token;
mod transfer_lines;
mod user;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::Resettable};

use self::{call_error::CallError, session::Asking};
use crate::{
    app::StartError,
    config::{Config, ConfigError},
};

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
/// `EX_UNAVAILABLE`
const EXIT_UNAVAILABLE: u8 = 69;
/// `EX_NOPERM`
const EXIT_REFUSED: u8 = 77;

/// A container registry that mirrors other registries on the fly, hosts images, and replicates both
#[derive(Debug, Parser)]
#[command(name = "entrepot", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(ConfigFile),
    /// Look at what a running server has cached, and refresh, purge, pin or check it
    #[command(after_help = cache::EXIT_CODES)]
    Cache(Asking<cache::Command>),
    /// Copy images from any registry to any, without a server
    Copy(copy::Options),
    /// Copy images by a file of rules, as image-syncer does: same flags, files and exit codes
    Sync(sync::Options),
    /// The projects of a running server
    Project(Asking<project::Command>),
    /// The registries elsewhere that a running server knows
    Remote(Asking<remote::Command>),
    /// What a running server replicates to and from other registries
    Rule(Asking<rule::Command>),
    /// What rules of a running server do and did
    Execution(Asking<execution::Command>),
    /// Who may log in at a running server, and what they may
    User(Asking<user::Command>),
    /// What machines log in with at a running server
    Token(Asking<token::Command>),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Ask a running server whether it is alive; exits with 0 if so
    Healthcheck(healthcheck::Options),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file; without it the built-in mirrors of the public registries are served
    #[arg(long, value_name = "FILE", env = "ENTREPOT_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, ConfigError> {
        crate::config::load(self.config.as_deref(), environment())
    }
}

/// The process's variables. Those that are not text cannot be ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("`log.level`: {0}")]
    Log(#[from] crate::telemetry::LogError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Failure {
    fn hint(&self) -> Option<&str> {
        match self {
            Self::Config(error) => error.hint.as_deref(),
            Self::Call(error) => error.hint(),
            Self::Log(_) | Self::Start(_) | Self::Other(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Log(_) => ExitCode::from(EXIT_USAGE),
            Self::Start(error) if error.is_configuration() => ExitCode::from(EXIT_USAGE),
            Self::Call(error) => match error {
                CallError::Unreachable { .. } | CallError::Foreign { .. } => {
                    EXIT_UNAVAILABLE.into()
                }
                CallError::NoPassword(_)
                | CallError::Refused { .. }
                | CallError::Forbidden { .. } => EXIT_REFUSED.into(),
                CallError::Failed { status, .. } if status.is_server_error() => {
                    EXIT_UNAVAILABLE.into()
                }
                CallError::NotFound(_) | CallError::Failed { .. } => ExitCode::FAILURE,
            },
            Self::Start(_) | Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

/// Under this name the binary is `entrepot sync`.
const IMAGE_SYNCER: &str = "image-syncer";

/// Parses and runs one command.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == IMAGE_SYNCER) {
        arguments.insert(1, "sync".into());
    }
    let empty = std::env::vars_os().filter(|(_, value)| value.is_empty());
    let command = without(Cli::command(), &empty.map(|(name, _)| name).collect());
    let usage = if arguments.get(1).is_some_and(|command| command == "sync") {
        sync::EXIT_FAILED
    } else {
        EXIT_USAGE
    };
    let parsed = command.try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(message) => return told(&message, usage),
    };
    let result = match cli.command {
        Command::Serve(file) => serve::run(&file).map(|()| ExitCode::SUCCESS),
        Command::Cache(options) => options.run(cache::execute),
        Command::Copy(options) => copy::run(&options),
        Command::Sync(options) => Ok(sync::run(&options)),
        Command::Project(options) => options.run(project::execute).map(|()| ExitCode::SUCCESS),
        Command::Remote(options) => options.run(remote::execute),
        Command::Rule(options) => options.run(rule::execute),
        Command::Execution(options) => options.run(execution::execute),
        Command::User(options) => options.run(user::execute).map(|()| ExitCode::SUCCESS),
        Command::Token(options) => options.run(token::execute).map(|()| ExitCode::SUCCESS),
        Command::Config(command) => config::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Healthcheck(options) => healthcheck::run(&options).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", chain(&failure));
            if let Some(hint) = failure.hint() {
                eprintln!("\nhint: {hint}");
            }
            failure.exit_code()
        }
    }
}

/// The command without these variables. An empty one says nothing: scripts and unit files leave them like that. An empty option
/// is still a mistake.
fn without(command: clap::Command, variables: &BTreeSet<OsString>) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_env() {
        Some(name) if variables.contains(name) => argument.env(Resettable::Reset),
        _ => argument,
    });
    command.mut_subcommands(|command| without(command, variables))
}

/// Help and version are answers; everything else that clap says is a usage error, with the command's code for it.
fn told(message: &clap::Error, usage: u8) -> ExitCode {
    // Nobody is left to hear of it when stdout is closed.
    let _ = message.print();
    if message.use_stderr() {
        ExitCode::from(usage)
    } else {
        ExitCode::SUCCESS
    }
}

/// The message with the causes that it does not itself repeat.
fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn variables_that_are_left_out_are_not_looked_at() {
        fn variables(command: &clap::Command) -> Vec<String> {
            let own = command.get_arguments().filter_map(clap::Arg::get_env);
            let own = own.map(|name| name.to_string_lossy().into_owned());
            let below = command.get_subcommands().flat_map(variables);
            own.chain(below).collect()
        }
        let all = variables(&Cli::command());
        for name in ["ENTREPOT_TOKEN", "ENTREPOT_CONFIG", "DEFAULT_REGISTRY"] {
            assert!(all.iter().any(|variable| variable == name), "{name}");
            let others = variables(&without(Cli::command(), &[name.into()].into()));
            let expected = all.iter().filter(|variable| *variable != name);
            assert!(others.iter().eq(expected), "{name}: {others:?}");
        }
    }
}
