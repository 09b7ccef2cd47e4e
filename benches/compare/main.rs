//! Entrepot beside other servers, in one run on one machine: cold pulls, a crowd on one cold blob,
//! cache hits, slow readers, a large store, pushes, many tags, clean-up, replication, memory. `make bench` runs it, docs/benchmarks.md explains it and keeps its figures.
//!
//! All of it runs on loopback: a remote (distribution v3 with content of its own), mirrors filled
//! from it, straight or through a `link` that limits it, and nginx with the same bytes as files.
//! Servers are visited in a random order in every round, and a ratio is the median over the rounds
//! of two figures of the same round, so that what changes on the machine in between cancels out.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of its own: no runtime whose threads it could block, and figures to print"
)]

mod bars;
mod cold;
mod content;
mod crowd;
mod daemon;
mod deliveries;
mod drain;
mod folder;
mod hits;
mod http;
mod idle;
mod link;
mod machine;
mod manage;
mod memory;
mod orphans;
mod plan;
mod pull;
mod pusher;
mod pushes;
mod remote;
mod replicas;
mod replication;
mod report;
mod rows;
mod samples;
mod section;
mod server;
mod slow_readers;
mod steady;
mod store_rows;
mod tags;
mod tools;
mod warm_tag;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use memory::MemoryTable;
use plan::Plan;
use report::Report;
use section::{Figures, Section};
use server::Mirror;
use tools::Tools;

/// Side by side with other servers, on this machine
#[derive(Parser)]
struct Arguments {
    /// Small blobs and few rounds: a trial of the benchmark, whose figures mean little
    #[arg(long)]
    quick: bool,
    /// Put the figures between the marks of this file too
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Only these parts; the bars of the others are not measured
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "PART,…",
        conflicts_with = "write"
    )]
    only: Option<Vec<Section>>,
    /// Only these mirrors
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    mirrors: Option<Vec<Mirror>>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all measures need.
struct Bench {
    plan: Plan,
    tools: Tools,
    mirrors: Vec<Mirror>,
    /// Everything written in the run is under it.
    folder: PathBuf,
    memory: MemoryTable,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            progress("a bar was missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            progress(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether all bars hold.
fn run(arguments: Arguments) -> Result<bool> {
    // Before minutes of measuring, and not after them.
    if let Some(file) = &arguments.write {
        with_figures(file, "")?;
    }
    let folder = folder::make()?;

    let mut bench = Bench {
        plan: if arguments.quick {
            Plan::quick()
        } else {
            Plan::full()
        },
        tools: Tools::find()?,
        mirrors: arguments.mirrors.unwrap_or_else(|| Mirror::ALL.to_vec()),
        folder: folder.path().to_owned(),
        memory: MemoryTable::default(),
    };
    let machine = machine::describe(&bench.tools, &bench.folder)?;
    let sections = arguments.only.unwrap_or_else(|| Section::ALL.to_vec());
    let figures = Figures::measure(&mut bench, sections);
    let report = Report {
        bars: bars::judge(&figures),
        is_quick: bench.plan.is_quick,
        memory: bench.memory,
        machine,
        figures,
    };

    println!("{}", report.text());
    if let Some(file) = &arguments.write {
        write_figures(&report.text(), file)?;
    }
    Ok(report.all_bars_hold())
}

fn write_figures(figures: &str, file: &Path) -> Result<()> {
    let document = with_figures(file, figures)?;
    std::fs::write(file, document).with_context(|| format!("write {}", file.display()))
}

/// The document with its figures replaced.
fn with_figures(file: &Path, figures: &str) -> Result<String> {
    let old = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    report::replace_figures(&old, figures)
        .with_context(|| format!("{} lacks the marks of the figures", file.display()))
}

/// Says on standard error what is going on: the run takes minutes.
fn progress(text: &str) {
    eprintln!("bench: {text}");
}
