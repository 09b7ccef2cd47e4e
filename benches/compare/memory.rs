//! What the servers take of memory, and of processors.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Of `/proc`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) peak_mib: f64,
    pub(crate) resident_mib: f64,
}

/// Peak memory by server and phase of the run.
#[derive(Default)]
pub(crate) struct MemoryTable {
    peaks: BTreeMap<(&'static str, &'static str), f64>,
}

impl MemoryTable {
    /// Notes the peak of one process; of several in a phase the highest counts.
    pub(crate) fn note(&mut self, server: &'static str, phase: &'static str, memory: Memory) {
        let peak = self.peaks.entry((server, phase)).or_default();
        *peak = peak.max(memory.peak_mib);
    }

    pub(crate) fn peak_mib(&self, server: &str, phase: &str) -> Option<f64> {
        self.peaks.get(&(server, phase)).copied()
    }
}

/// The memory of a process and of its children (nginx has workers), from `/proc`.
pub(crate) fn read(process: u32) -> Result<Memory> {
    let mut sum = Memory::default();
    for entry in std::fs::read_dir("/proc").context("list the processes")? {
        let Ok(status) = std::fs::read_to_string(entry?.path().join("status")) else {
            continue; // not a process, or one that just ended
        };
        let is_meant = ["Pid:", "PPid:"]
            .iter()
            .any(|key| field(&status, key) == Some(process.into()));
        if is_meant {
            sum.peak_mib += mib(&status, "VmHWM:");
            sum.resident_mib += mib(&status, "VmRSS:");
        }
    }
    Ok(sum)
}

/// The processor time of a process without its children, from `/proc`.
pub(crate) fn processor_seconds(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(path).context("read what a process did")?;
    // The name, in parentheses, may have blanks: what follows is counted from behind it.
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

fn mib(status: &str, key: &str) -> f64 {
    field(status, key).map_or(0.0, |kib| kib as f64 / 1024.0)
}

/// The number of a line like `VmHWM:     1234 kB`.
fn field(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}
