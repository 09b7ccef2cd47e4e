//! On what, and with what, the figures were taken.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::folder;
use crate::tools::Tools;

/// Names and values for a table.
pub(crate) fn describe(tools: &Tools, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let cpu = read("/proc/cpuinfo")?;
    let model = after(&cpu, "model name\t:").unwrap_or("unknown").to_owned();
    let cache = read("/sys/devices/system/cpu/cpu0/cache/index3/size").unwrap_or_default();
    let cores = std::thread::available_parallelism().context("count the processors")?;
    let memory = after(&read("/proc/meminfo")?, "MemTotal:")
        .unwrap_or("unknown")
        .to_owned();
    let system = after(&read("/etc/os-release")?, "PRETTY_NAME=")
        .unwrap_or("unknown")
        .replace('"', "");
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    Ok(vec![
        ("date", date[..10].to_owned()),
        (
            "processor",
            format!("{model}, {cores} cores, L3 cache {}", cache.trim()),
        ),
        ("memory", memory),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        ),
        ("system", system),
        ("file system", folder::file_system(folder)?),
        (
            "load before the run",
            read("/proc/loadavg")?
                .split(' ')
                .take(2)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ("build", build().to_owned()),
        ("entrepot", version(&tools.entrepot, "--version")),
        ("distribution", version(&tools.distribution, "--version")),
        (
            "docker-registry",
            version(&tools.docker_registry, "--version"),
        ),
        ("nginx", version(&tools.nginx, "-v")),
    ])
}

/// Of this program, and of the binary that cargo made along with it.
fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "**not optimised: the figures mean nothing**"
    } else {
        "optimised"
    }
}

/// The last word of what a program says of its version, on either output.
fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let said = output.map(|output| [output.stdout, output.stderr].concat());
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    let word = said
        .lines()
        .next()
        .and_then(|line| line.rsplit([' ', '/']).next());
    word.unwrap_or("unknown").to_owned()
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {path}"))
}

fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(str::trim)
}
