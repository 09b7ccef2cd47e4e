//! Many clients ask at once for a blob that the mirror does not have.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cold::DIRECT;
use crate::content::Content;
use crate::link::{Link, Shape};
use crate::plan::KIB;
use crate::pull::pull;
use crate::remote::Remote;
use crate::samples::{Samples, shuffled};
use crate::server::Mirror;
use crate::{Bench, progress};

pub(crate) const PHASE: &str = "crowd";
const REMOTE: Shape = Shape {
    bytes_per_second: 200_000_000,
    round_trip: Duration::ZERO,
};
/// Small, so that the buffers of all clients together stay in the processor's cache.
const CLIENT_BUFFER_BYTES: usize = 128 * KIB;
/// How long a mirror may go on asking the remote after its last client is served.
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Default)]
pub(crate) struct Crowd {
    /// Of the slowest client; of the only one for the direct pull.
    pub(crate) seconds: Samples,
    /// Bytes from the remote ÷ bytes of the blob.
    pub(crate) downloads: Samples,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<Crowd> {
    let remote = Remote::start(bench)?;
    let link = Link::start(remote.address(), REMOTE)?;
    let mirrors = bench.start_mirrors(link.address())?;
    let blobs = remote.push_blobs(bench.plan.crowd_rounds, bench.plan.crowd_bytes)?;

    let mut crowd = Crowd::default();
    for (round, blob) in blobs.iter().enumerate() {
        progress(&format!(
            "{} clients on one cold blob, round {}",
            bench.plan.crowd_clients,
            round + 1
        ));
        let has_peers = round < bench.plan.crowd_peer_rounds;
        let entrants = mirrors
            .iter()
            .filter(|mirror| has_peers || mirror.name == Mirror::Entrepot.name())
            .map(|mirror| (mirror.name, mirror.address, bench.plan.crowd_clients));
        for entrant in shuffled(entrants.chain([(DIRECT, link.address(), 1)])) {
            crowd.visit(entrant, blob, &link)?;
        }
    }
    for mirror in &mirrors {
        bench
            .memory
            .note(mirror.name, PHASE, mirror.daemon.memory()?);
    }
    Ok(crowd)
}

impl Crowd {
    fn visit(
        &mut self,
        (name, address, clients): (&'static str, SocketAddr, usize),
        blob: &Content,
        link: &Link,
    ) -> Result<()> {
        let before = link.bytes_from_remote();
        let slowest = pull_at_once(address, clients, blob)
            .with_context(|| format!("{clients} clients at once, {name}"))?;
        std::thread::sleep(SETTLE);
        let from_remote = link.bytes_from_remote() - before;
        self.seconds.add(name, slowest.as_secs_f64());
        self.downloads
            .add(name, from_remote as f64 / blob.bytes as f64);
        rustix::fs::sync();
        Ok(())
    }
}

/// The time until the last client has everything. The first one keeps the body, which is checked
/// after the clock has stopped; the others count their bytes.
fn pull_at_once(address: SocketAddr, clients: usize, blob: &Content) -> Result<Duration> {
    // Not zero: zeroed pages would be made on first use, within the time.
    let mut kept = vec![1; blob.bytes];
    let ready = Barrier::new(clients);
    let client = |buffer: &mut [u8]| {
        ready.wait();
        let begin = Instant::now();
        pull(address, blob, buffer)?;
        anyhow::Ok((begin, Instant::now()))
    };
    let spans = std::thread::scope(|scope| {
        let keeper = scope.spawn(|| client(&mut kept));
        let counters: Vec<_> = (1..clients)
            .map(|_| scope.spawn(|| client(&mut vec![1; CLIENT_BUFFER_BYTES])))
            .collect();
        let all = counters.into_iter().chain([keeper]);
        all.map(|thread| thread.join().expect("a client does not panic"))
            .collect::<Result<Vec<_>>>()
    })?;
    blob.check(&kept)?;
    let begin = spans
        .iter()
        .map(|(begin, _)| *begin)
        .min()
        .context("no clients")?;
    let end = spans
        .iter()
        .map(|(_, end)| *end)
        .max()
        .context("no clients")?;
    Ok(end - begin)
}
