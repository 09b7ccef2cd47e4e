//! One client pulls a blob that its mirror does not have, beside one that pulls it straight from
//! the remote.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::content::Content;
use crate::link::{Link, Shape};
use crate::plan::Plan;
use crate::pull::pull;
use crate::remote::Remote;
use crate::samples::{Samples, shuffled};
use crate::{Bench, progress};

/// The client that asks the remote itself.
pub(crate) const DIRECT: &str = "direct";
pub(crate) const PHASE: &str = "cold pulls";

/// What lies between the remote and whoever asks it.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    shape: Option<Shape>,
    rounds: usize,
    /// The most that a cold pull may take, as a multiple of the direct one.
    pub(crate) bar: Option<f64>,
}

pub(crate) struct Cold {
    pub(crate) setting: Setting,
    pub(crate) seconds: Samples,
    pub(crate) first_byte_ms: Samples,
}

/// One for each setting, without samples yet.
pub(crate) fn to_measure(plan: &Plan) -> Vec<Cold> {
    let cold = |setting| Cold {
        setting,
        seconds: Samples::default(),
        first_byte_ms: Samples::default(),
    };
    settings(plan).map(cold).into()
}

fn settings(plan: &Plan) -> [Setting; 3] {
    let rounds = &plan.cold_rounds;
    let slow = Shape {
        bytes_per_second: 50_000_000,
        round_trip: Duration::ZERO,
    };
    let distant = Shape {
        bytes_per_second: 200_000_000,
        round_trip: Duration::from_millis(20),
    };
    [
        Setting {
            name: "unlimited",
            shape: None,
            rounds: rounds.unlimited,
            bar: Some(2.0),
        },
        Setting {
            name: "50 MB/s",
            shape: Some(slow),
            rounds: rounds.slow,
            bar: Some(1.05),
        },
        Setting {
            name: "200 MB/s, 20 ms",
            shape: Some(distant),
            rounds: rounds.distant,
            bar: None,
        },
    ]
}

pub(crate) fn measure(bench: &mut Bench, cold: &mut Cold) -> Result<()> {
    let setting = &cold.setting;
    progress(&format!("cold pulls, remote {}", setting.name));
    let remote = Remote::start(bench)?;
    let link = setting
        .shape
        .map(|shape| Link::start(remote.address(), shape))
        .transpose()?;
    // Unlimited, there is nothing in between: a proxy would slow the direct pull down.
    let source = link.as_ref().map_or(remote.address(), Link::address);
    let mirrors = bench.start_mirrors(source)?;
    let blobs = remote.push_blobs(setting.rounds, bench.plan.cold_bytes)?;

    // Not zero: zeroed pages would be made on first use, within somebody's time.
    let mut buffer = vec![1; bench.plan.cold_bytes];
    for blob in &blobs {
        let entrants = mirrors.iter().map(|mirror| (mirror.name, mirror.address));
        for (name, address) in shuffled(entrants.chain([(DIRECT, source)])) {
            cold.visit(name, address, blob, &mut buffer)?;
        }
    }
    for mirror in &mirrors {
        bench
            .memory
            .note(mirror.name, PHASE, mirror.daemon.memory()?);
    }
    Ok(())
}

impl Cold {
    fn visit(
        &mut self,
        name: &'static str,
        address: SocketAddr,
        blob: &Content,
        buffer: &mut [u8],
    ) -> Result<()> {
        let pull = pull(address, blob, buffer).with_context(|| format!("cold pull, {name}"))?;
        self.seconds.add(name, pull.total.as_secs_f64());
        self.first_byte_ms
            .add(name, pull.first_byte.as_secs_f64() * 1000.0);
        blob.check(buffer)
            .with_context(|| format!("cold pull, {name}"))?;
        // What one server still has to write must not slow the next one down.
        rustix::fs::sync();
        Ok(())
    }
}
