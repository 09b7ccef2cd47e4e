//! Twenty images copied to registries that have none of them, to one and to five, and once more with nothing to do.

mod images;
mod tool;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::link::{Link, Shape};
use crate::pusher::Pusher;
use crate::remote::Remote;
use crate::report::{figure, table};
use crate::samples::{Samples, shuffled};
use crate::server::{Mirror, Server};
use crate::{Bench, progress};
use tool::{REGSYNC, RULE, SKOPEO, SYNC, Sources, Tool};

pub(crate) const PEERS: [&str; 2] = [SKOPEO, REGSYNC];
pub(crate) const OURS: [&str; 2] = [SYNC, RULE];
pub(crate) const DESTINATIONS: usize = 5;
pub(crate) const TRANSFERS: usize = 8;
/// As fast as it gets: it only counts.
const COUNTER: Shape = Shape {
    bytes_per_second: 100_000_000_000,
    round_trip: Duration::ZERO,
};

#[derive(Default)]
pub(crate) struct Replication {
    /// To one that is empty.
    pub(crate) first: Samples,
    /// To the same again.
    pub(crate) again: Samples,
    /// That the destination got then, of each tag.
    pub(crate) requests: Samples,
    /// To five that are empty.
    pub(crate) five: Samples,
    /// With so many transfers at once, to five.
    pub(crate) peak_mib: Samples,
}

pub(crate) fn measure(bench: &Bench) -> Result<Replication> {
    progress("replication: making images");
    let remote = Remote::start(bench)?;
    let entrepot = Mirror::Entrepot.start_hosting(bench)?;
    let pushers = [remote.pusher(), Pusher::admin(entrepot.address)];
    images::push(&pushers, bench.plan.replication_divisor)?;
    rustix::fs::sync();
    let folder = bench.new_folder()?;
    let sources = Sources {
        tools: &bench.tools,
        folder: folder.path(),
        registry: remote.address(),
        entrepot: entrepot.address,
    };
    let mut replication = Replication::default();
    for round in 1..=bench.plan.replication_rounds {
        progress(&format!("replication, round {round}"));
        for tool in shuffled(Tool::ALL) {
            replication
                .visit(bench, &sources, tool)
                .with_context(|| tool.name())?;
        }
    }
    let peak = entrepot.daemon.memory()?.peak_mib;
    replication.peak_mib.add(RULE, peak);
    Ok(replication)
}

impl Replication {
    fn visit(&mut self, bench: &Bench, sources: &Sources, tool: Tool) -> Result<()> {
        let copy = |to: &[SocketAddr], transfers| {
            sources.prepare(tool, to)?;
            let begin = Instant::now();
            let peak = sources.copy(tool, to, transfers)?;
            anyhow::Ok((begin.elapsed().as_secs_f64(), peak))
        };
        let name = tool.name();
        let destination = destination(bench)?;
        let (seconds, _) = copy(&[destination.address], tool::AT_ONCE)?;
        self.first.add(name, seconds);
        let counter = Link::start(destination.address, COUNTER)?;
        let (seconds, _) = copy(&[counter.address()], tool::AT_ONCE)?;
        self.again.add(name, seconds);
        let tags = images::repositories().count();
        self.requests
            .add(name, counter.requests() as f64 / tags as f64);
        drop((counter, destination));

        let five: Vec<_> = (0..DESTINATIONS)
            .map(|_| self::destination(bench))
            .collect::<Result<_>>()?;
        let five: Vec<_> = five.iter().map(|server| server.address).collect();
        let (seconds, peak) = copy(&five, TRANSFERS)?;
        self.five.add(name, seconds);
        if tool != Tool::Rule {
            self.peak_mib.add(name, peak);
        }
        rustix::fs::sync();
        Ok(())
    }

    /// The time of one of ours to five, of the fastest other's.
    pub(crate) fn five_to_fastest(&self, ours: &str) -> Option<f64> {
        let fastest = PEERS.iter().filter_map(|peer| self.five.median(peer));
        Some(self.five.median(ours)? / fastest.reduce(f64::min)?)
    }

    pub(crate) fn report(&self) -> String {
        let rows = Tool::ALL.map(|tool| {
            let name = tool.name();
            vec![
                name.to_owned(),
                figure(self.first.median(name), " s"),
                figure(self.again.median(name), " s"),
                figure(self.requests.median(name), ""),
                figure(self.five.median(name), " s"),
                figure(self.peak_mib.median(name), " MiB"),
            ]
        });
        let header = [
            "copied by",
            "to one",
            "again",
            "requests there for a tag, again",
            "to five",
            "peak memory, to five",
        ];
        table(&header, rows)
    }
}

fn destination(bench: &Bench) -> Result<Server> {
    rustix::fs::sync();
    Mirror::Distribution.start_hosting(bench)
}
