//! `entrepot sync`: image-syncer's command line, file forms and exit codes, without a server.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::Context;
use clap::{ArgAction, Args};

use super::{environment, output::print, sync_text as text};
use crate::{
    oci::PlatformPattern,
    sync::{
        Defaults, Files, Variables,
        report::{self, Level},
        run::{self, Finished, Log, Settings},
    },
};

/// What image-syncer ends with when its command line or files are wrong, or a task failed.
pub(super) const EXIT_FAILED: u8 = 255;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Logins and rules in one file, JSON or YAML; the older form, which beats --auth and --images
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Logins by registry or registry/namespace, JSON or YAML; variables are expanded
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,
    /// What to copy where, JSON or YAML
    #[arg(long, value_name = "FILE")]
    images: Option<PathBuf>,
    /// Where the log is written; stderr if not given
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Registry of empty destinations
    #[arg(long, env = "DEFAULT_REGISTRY")]
    registry: Option<String>,
    /// Namespace of empty destinations
    #[arg(long, env = "DEFAULT_NAMESPACE")]
    namespace: Option<String>,
    /// How many tasks run at once
    #[arg(short, long, default_value_t = 5, value_name = "N")]
    proc: usize,
    /// How often what failed is tried again, after everything was tried once
    #[arg(short, long, default_value_t = 2, value_name = "N")]
    retries: u32,
    /// Only this operating system, `os` or `os:version`; several may be given
    #[arg(long, action = ArgAction::Append, value_name = "OS")]
    os: Vec<String>,
    /// Only this architecture, `arch` or `arch:variant`; several may be given
    #[arg(long, action = ArgAction::Append, value_name = "ARCH")]
    arch: Vec<String>,
    /// Put manifests even where the destination has the same
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    force: bool,
    /// Write what was copied into this file, in the form of --images
    #[arg(long, value_name = "FILE")]
    output_success_images: Option<PathBuf>,
    /// Its format: json, or yaml
    #[arg(long, default_value = "yaml", value_name = "FORMAT")]
    output_images_format: String,
    /// Without effect: what is there is found at the destination
    #[arg(long, hide = true, value_name = "FILE")]
    records: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> ExitCode {
    match synchronize(options) {
        Ok(finished) if finished.failed.is_empty() => ExitCode::SUCCESS,
        Ok(_) => {
            print("failed tasks exist\n");
            ExitCode::from(EXIT_FAILED)
        }
        // Those who call it look at stdout.
        Err(error) => {
            print(&format!("{error:#}\n"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn synchronize(options: &Options) -> anyhow::Result<Finished> {
    let files = Files {
        config: options.config.clone(),
        auth: options.auth.clone(),
        images: options.images.clone(),
    };
    let filled = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let defaults = Defaults {
        registry: filled(&options.registry),
        namespace: filled(&options.namespace),
    };
    let plan = files.read(&defaults, &Variables::new(environment()))?;
    let log = log(options)?;
    if options.config.is_none() && options.auth.is_none() {
        log(
            Level::Warning,
            "no auth file is given: every registry is asked as nobody",
        );
    }
    let settings = Settings {
        workers: options.proc,
        retries: options.retries,
        platforms: platforms(&options.os, &options.arch),
        force: options.force,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let finished = runtime.block_on(run::run(plan, settings, &log));
    if let Some(path) = &options.output_success_images {
        let text = text::images(&finished.copied, options.output_images_format == "json");
        std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    for (task, why) in &finished.failed {
        log(Level::Error, &format!("Failed: {task}: {why}"));
    }
    log(
        Level::Info,
        &report::closing(finished.failed.len(), finished.cost),
    );
    Ok(finished)
}

fn log(options: &Options) -> anyhow::Result<Log> {
    let to: Box<dyn Write + Send> = match &options.log {
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?,
        ),
        None => Box::new(io::stderr()),
    };
    let to = Mutex::new(to);
    Ok(Arc::new(move |level, message: &str| {
        let line = report::line(SystemTime::now(), level, message);
        let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to hear of a log that cannot be written.
        let _ = to.write_all(line.as_bytes());
    }))
}

/// Each operating system with each architecture.
fn platforms(systems: &[String], architectures: &[String]) -> Vec<PlatformPattern> {
    let part = |text: &String| match text.split_once(':') {
        Some((name, more)) => (Some(name.to_owned()), Some(more.to_owned())),
        None => (Some(text.clone()), None),
    };
    if systems.is_empty() && architectures.is_empty() {
        return Vec::new();
    }
    let or_any = |texts: &[String]| match texts {
        [] => vec![(None, None)],
        texts => texts.iter().map(part).collect(),
    };
    let architectures = or_any(architectures);
    let with_each = |(os, os_version): (Option<String>, Option<String>)| {
        let patterns = architectures
            .iter()
            .cloned()
            .map(move |(architecture, variant)| PlatformPattern {
                os: os.clone(),
                os_version: os_version.clone(),
                architecture,
                variant,
            });
        patterns.collect::<Vec<_>>()
    };
    or_any(systems).into_iter().flat_map(with_each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_goes_with_every_architecture() {
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(platforms(&[], &[]), []);
        assert_eq!(
            platforms(&texts(&["linux", "windows"]), &texts(&["amd64", "arm:v7"])).len(),
            4
        );
        let only = platforms(&[], &texts(&["arm:v7"]));
        assert_eq!(only.len(), 1);
        assert_eq!(
            (
                only[0].os.as_deref(),
                only[0].architecture.as_deref(),
                only[0].variant.as_deref()
            ),
            (None, Some("arm"), Some("v7"))
        );
    }
}
