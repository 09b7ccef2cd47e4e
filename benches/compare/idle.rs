//! What a mirror takes of memory when it has just started and nobody asks it anything.

use std::time::Duration;

use anyhow::Result;

use crate::remote::Remote;
use crate::samples::Samples;
use crate::{Bench, progress};

const SETTLE: Duration = Duration::from_secs(5);

/// The resident memory of each mirror in MiB.
pub(crate) fn measure(bench: &Bench) -> Result<Samples> {
    progress("idle memory");
    let remote = Remote::start(bench)?;
    let servers = bench.start_mirrors(remote.address())?;
    std::thread::sleep(SETTLE);
    let mut resident = Samples::default();
    for server in servers {
        resident.add(server.name, server.daemon.memory()?.resident_mib);
    }
    Ok(resident)
}
